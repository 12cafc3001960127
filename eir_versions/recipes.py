"""Recipes: what each version shows, as data. One TOML file, one recipe; the name is the file's."""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eir_versions.errors import InvalidRecipeError
from hub_kernel.config_files import shipped_config
from hub_kernel.errors import NotFoundError

DIAGNOSTIC, CLINICAL, PUBLIC = "diagnostic", "clinical", "public"
_ALLOWED_PLACEHOLDER = "{study_date}"

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Quality = Annotated[int, Field(ge=1, le=100)]
Ratio = Annotated[float, Field(ge=1.0, le=100.0)]
Text = Annotated[str, Field(max_length=120)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Heading(_Part):
    """Who the recipe is. `version` grows with every change of the file."""

    name: Annotated[str, Field(pattern=r"[a-z][a-z_]{0,31}")]
    version: Annotated[int, Field(ge=1)]
    kind: Literal["instances", "pictures"]
    title_zh: Text
    title_en: Text
    notice_zh: Text = ""
    notice_en: Text = ""


class Selection(_Part):
    """Which slices become pictures: fractions of a series, how many at most, tries per slice.

    Where the study holds a key object selection of one of `key_object_titles` (PS3.16 CID 7010,
    codes of the scheme DCM, the most wanted first), what it selects is taken instead.
    """

    positions: Annotated[list[Fraction], Field(min_length=1, max_length=64)] = [0.5]
    max_pictures: Annotated[int, Field(ge=1, le=1000)] = 3
    attempts: Annotated[int, Field(ge=1, le=9)] = 3
    key_object_titles: list[Annotated[str, Field(pattern=r"[0-9]{6}")]] = []


class Ceiling(_Part):
    """The largest compression ratio for a modality, of some body parts or (empty) of all.

    A body part counts when Body Part Examined is that word, or a description contains it.
    """

    modalities: Annotated[list[str], Field(min_length=1)]
    body_parts: list[str] = []
    ratio: Ratio


class PictureStyle(_Part):
    """Size and quality. Without `default_ceiling` the quality is fixed.

    `presentation_state` "latest" has key pictures drawn as the latest softcopy presentation state
    of the study that is for them has them.
    """

    max_edge: Annotated[int, Field(ge=0, le=8192)] = 0
    quality: Quality = 85
    default_ceiling: Ratio | None = None
    ceilings: list[Ceiling] = []
    presentation_state: Literal["none", "latest"] = "none"

    def ceiling_of(self, modality: str, body_part: str, *descriptions: str) -> float | None:
        """Return the ceiling for a series; None when this style has a fixed quality.

        Where nothing at all says which body part it is, the strictest of its modality holds.
        """
        rows = [row for row in self.ceilings if modality in row.modalities]
        part, said = body_part.strip().upper(), " ".join(descriptions).upper()
        if rows and not part and not said.strip():
            return min(row.ratio for row in rows)
        for row in rows:
            words = row.body_parts
            if not words or part in words or any(word in said for word in words):
                return row.ratio
        return self.default_ceiling


class Thumbnail(_Part):
    """The small picture of each series: longest edge in pixels and quality."""

    edge: Annotated[int, Field(ge=32, le=1024)] = 256
    quality: Quality = 85


class Watermark(_Part):
    """What is burned in. Only `{study_date}` may be inserted, so no name can get in."""

    tile: Text
    lines: Annotated[list[Text], Field(min_length=1, max_length=4)]
    ascii_tile: Text
    ascii_lines: Annotated[list[Text], Field(min_length=1, max_length=4)]
    fonts: list[str] = []

    @model_validator(mode="after")
    def _only_the_date(self) -> Self:
        texts = (self.tile, self.ascii_tile, *self.lines, *self.ascii_lines)
        for text in texts:
            rest = text.replace(_ALLOWED_PLACEHOLDER, "")
            if "{" in rest or "}" in rest:
                raise ValueError("a watermark may insert {study_date} and nothing else")
        if not all(text.isascii() for text in (self.ascii_tile, *self.ascii_lines)):
            raise ValueError("ascii_tile and ascii_lines must be ASCII")
        if any("/" in font or "\\" in font for font in self.fonts):
            raise ValueError("fonts are file names, found by the system, not paths")
        return self


class Exclusion(_Part):
    """What must not be shown: thin slices of heads, pictures that carry text in their pixels."""

    thin_slice_mm: Annotated[float, Field(gt=0.0, le=20.0)]
    thin_slice_modalities: list[str]
    head_words: Annotated[list[str], Field(min_length=1)]
    text_modalities: list[str]
    text_sop_classes: list[str]


class BurnedIn(_Part):
    """How text in pixels is looked for: the longest edge that is looked at, what is no hit.

    `scan_suffices` are kinds of pictures that a scan without a hit frees; of the others that may
    carry text a person must see each.
    """

    edge: Annotated[int, Field(ge=256, le=4096)] = 2048
    least_score: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    harmless: list[Text] = []
    scan_suffices: list[str] = []


class Recipe(_Part):
    """One recipe, validated."""

    recipe: Heading
    selection: Selection = Selection()
    picture: PictureStyle = PictureStyle()
    thumbnail: Thumbnail | None = None
    watermark: Watermark | None = None
    exclusion: Exclusion | None = None
    burned_in: BurnedIn | None = None

    @property
    def name(self) -> str:
        """The name readers and events use."""
        return self.recipe.name

    @property
    def version(self) -> int:
        """The version of the recipe itself."""
        return self.recipe.version

    @property
    def digest(self) -> str:
        """SHA-256 over all that the recipe says; comments and layout do not count."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Recipes:
    """The recipes in force, by name."""

    by_name: dict[str, Recipe]

    def __iter__(self) -> Iterator[Recipe]:
        return iter(self.by_name.values())

    def get(self, name: str) -> Recipe:
        """Return the recipe of that name.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self.by_name[name]
        except KeyError as error:
            raise NotFoundError("no such recipe") from error


def load_recipes(folder: Path | None = None) -> Recipes:
    """Read every `*.toml` of the folder; None means the recipes that ship with the hub.

    Raises:
        InvalidRecipeError: a file breaks a rule, or one of the three recipes is missing.
    """
    place = folder or shipped_config("recipes")
    recipes = {path.stem: _load(path) for path in sorted(place.glob("*.toml"))}
    for name in (DIAGNOSTIC, CLINICAL, PUBLIC):
        if name not in recipes:
            raise InvalidRecipeError(f"recipe {name}.toml is missing")
    return Recipes(recipes)


def _load(path: Path) -> Recipe:
    try:
        recipe = Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRecipeError(f"recipe {path.name}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRecipeError(f"recipe {path.name}: {where}: {first['msg']}") from error
    if recipe.name != path.stem:
        raise InvalidRecipeError(f"recipe {path.name}: its name must be {path.stem}")
    return recipe
