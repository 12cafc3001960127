"""Recipes as data: what ships is right, what is wrong is refused by name."""

import shutil
from pathlib import Path

import pytest

from eir_versions.errors import InvalidRecipeError
from eir_versions.recipes import Recipes, load_recipes
from hub_kernel.config_files import shipped_config
from hub_kernel.errors import NotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_config("recipes"), tmp_path / "recipes"))


@pytest.fixture(scope="module")
def recipes() -> Recipes:
    return load_recipes()


def change(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_three_recipes_ship_with_the_hub(recipes: Recipes) -> None:
    assert {recipe.name for recipe in recipes} == {"diagnostic", "clinical", "public"}
    assert recipes.get("diagnostic").recipe.kind == "instances"
    with pytest.raises(NotFoundError):
        recipes.get("none")


@pytest.mark.parametrize(
    ("modality", "body_part", "ratio"),
    [
        ("CT", "BRAIN", 5),
        ("CT", "head ", 5),
        ("CT", "CHEST", 8),
        ("CT", "", 5),
        ("CR", "", 10),
        ("DX", "", 10),
        ("MG", "", 15),
        ("MR", "BRAIN", 7),
        ("RF", "", 6),
        ("XA", "", 6),
        ("US", "", 12),
        ("NM", "", 11),
        ("PT", "", 5),
        ("", "", 5),
    ],
)
def test_ceilings_are_the_strictest_guideline(
    recipes: Recipes, modality: str, body_part: str, ratio: float
) -> None:
    assert recipes.get("clinical").picture.ceiling_of(modality, body_part) == ratio


def test_the_public_recipe_is_small_marked_and_guarded(recipes: Recipes) -> None:
    public = recipes.get("public")
    assert public.selection.max_pictures <= 3
    assert 0 < public.picture.max_edge <= 1024
    assert public.exclusion is not None
    assert public.watermark is not None
    assert public.watermark.tile == "仅供浏览"
    assert "软件提供的信息不作为医生诊断和治疗的依据" in public.watermark.lines


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("clinical", "quality = 80", "quality = 101", "picture.quality"),
        ("clinical", "quality = 80", 'quality = "80"', "picture.quality"),
        ("clinical", "max_edge", "maximum_edge", "maximum_edge"),
        ("clinical", "ratio = 8.0", "ratio = 0.5", "ratio"),
        ("clinical", "[0.25, 0.5, 0.75]", "[1.0]", "positions"),
        ("clinical", "[0.25, 0.5, 0.75]", "[]", "positions"),
        ("clinical", "[thumbnail]", "[thumbnail", "clinical.toml"),
        ("public", "{study_date}", "{patient_name}", "study_date"),
        ("public", '"wqy-zenhei.ttc"', '"../fonts/x.ttf"', "fonts"),
        ("public", "FOR VIEWING ONLY", "仅供浏览", "ASCII"),
        ("diagnostic", 'name = "diagnostic"', 'name = "other"', "diagnostic"),
        ("diagnostic", "version = 1", "version = 0", "version"),
        ("diagnostic", '"instances"', '"everything"', "kind"),
    ],
)
def test_a_wrong_recipe_is_refused_by_file_and_place(
    folder: Path, name: str, old: str, new: str, told: str
) -> None:
    change(folder, name, old, new)
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipes(folder)
    assert f"{name}.toml" in str(caught.value)
    assert told in str(caught.value)


def test_a_missing_recipe_is_named(folder: Path) -> None:
    (folder / "public.toml").unlink()
    with pytest.raises(InvalidRecipeError, match="public"):
        load_recipes(folder)


def test_comments_do_not_change_the_digest_and_rules_do(folder: Path, recipes: Recipes) -> None:
    change(folder, "public", "# Public viewing", "# The public viewing")
    assert load_recipes(folder).get("public").digest == recipes.get("public").digest
    change(folder, "public", "max_edge = 1024", "max_edge = 1000")
    assert load_recipes(folder).get("public").digest != recipes.get("public").digest


def test_a_region_may_add_a_recipe_of_its_own(folder: Path) -> None:
    text = (folder / "diagnostic.toml").read_text(encoding="utf-8")
    added = text.replace('name = "diagnostic"', 'name = "teaching"')
    (folder / "teaching.toml").write_text(added, encoding="utf-8")
    assert load_recipes(folder).get("teaching").version == 1
