"""What each level of agreement is worth, and when that is enough: data, read from TOML."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_kernel.config_files import shipped_config
from hub_kernel.errors import ConfigurationError
from patient_index.matching import field_levels
from patient_index.matching.field_levels import Comparator

NAME_FIELDS = ("family_name", "given_name")
COMPARATORS: dict[str, Comparator] = {
    "birth_date": field_levels.birth_date,
    "sex": field_levels.sex,
    "province": field_levels.province,
    "city": field_levels.city,
    "street": field_levels.street,
    "house": field_levels.house,
    "second_line": field_levels.second_line,
    "postal_code": field_levels.postal_code,
    "phone": field_levels.phone,
    "mother": field_levels.mother,
    "resident_number": field_levels.resident_number,
    "card": field_levels.card,
    "local_number": field_levels.local_number,
    "birth_order": field_levels.birth_order,
}
"""Every field beside the names, in the order in which an explanation shows them."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where decisions change, in bits."""

    link: float
    """At least this: one person, unattended."""
    review: float
    """At least this: a person looks; below: another person."""
    margin: float
    """By how much the best candidate must lead the next one to be linked unattended."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How common the values of a field are: bits by which agreement on one exceeds the average."""

    bits: Mapping[str, float]
    rare: float
    """For a value that the table does not hold."""

    def of(self, value: str) -> float:
        """Return the bits to add when two records agree on this value, the least of several."""
        if "|" in value:
            return min(self.bits.get(one, self.rare) for one in value.split("|"))
        return self.bits.get(value, self.rare)


@dataclass(frozen=True, slots=True)
class FieldWeights:
    """The weight of every level of one field, per alternative explanation."""

    name: str
    levels: Mapping[str, tuple[float, ...]]
    frequencies: Mapping[str, Frequencies]
    """By level: whose value counts more when it is rare."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Fields that say one thing between them: together worth no more, and no less, than this."""

    name: str
    members: tuple[int, ...]
    lowest: float
    highest: float


@dataclass(frozen=True)
class Weights:
    """Everything a comparison needs. `alternatives` names who else the second record could be."""

    name: str
    version: str
    thresholds: Thresholds
    alternatives: tuple[str, ...]
    priors: tuple[float, ...]
    """log2 of the odds, before any field was seen, of the same person to each alternative."""
    fields: tuple[FieldWeights, ...]
    comparators: tuple[Comparator, ...]
    """Of the fields after the two of the name, in the same order."""
    limits: tuple[Limit, ...] = ()

    @property
    def label(self) -> str:
        """Name and version, to be kept with every decision."""
        return f"{self.name} {self.version}"


def load_weights(path: Path | None = None) -> Weights:
    """Return the weights in a TOML file, those shipped with the hub when `path` is None.

    Raises:
        ConfigurationError: the file cannot be read or lacks something; the message says what.
    """
    chosen = path or shipped_config("matching/china.toml")
    data = _read(chosen)
    try:
        tables = _frequency_tables(chosen, data)
        return weights_from(data, tables)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{chosen.name}: wrong or missing: {error}") from None


def weights_from(data: Mapping[str, Any], tables: Mapping[str, Mapping[str, float]]) -> Weights:
    """Return the weights that parsed TOML describes; `tables` are shares by value, by table name.

    Raises:
        KeyError, TypeError, ValueError: something is missing or ill-formed.
    """
    alternatives = tuple(data["alternatives"])
    names = [*NAME_FIELDS, *(name for name in COMPARATORS if name in data["fields"])]
    unknown = set(data["fields"]) - set(names)
    if unknown:
        raise ValueError(f"fields {sorted(unknown)}; known are {[*NAME_FIELDS, *COMPARATORS]}")
    fields = tuple(_field(name, data, tables, len(alternatives)) for name in names)
    return Weights(
        name=str(data["name"]),
        version=str(data["version"]),
        thresholds=Thresholds(**{key: float(bits) for key, bits in data["thresholds"].items()}),
        alternatives=alternatives,
        priors=tuple(float(bits) for bits in data["alternatives"].values()),
        fields=fields,
        comparators=tuple(COMPARATORS[name] for name in names[len(NAME_FIELDS) :]),
        limits=tuple(_limit(name, limit, names) for name, limit in data.get("limits", {}).items()),
    )


def frequencies_of(
    shares: Mapping[str, float], others: Mapping[str, float] | None = None
) -> Frequencies:
    """Return bits above the average agreement on `shares`.

    `others` are shares of values that are met on the same level but not in the average: names in
    letters. Values that are not listed count as rare, within `MOST_BITS_FOR_RARITY`.
    """
    left = max(1.0 - sum(shares.values()), 0.0)
    rarest = min(shares.values(), default=1e-6)
    average = sum(share * share for share in shares.values()) + left * rarest
    bits = {
        value: min(math.log2(average / share), MOST_BITS_FOR_RARITY)
        for value, share in {**(others or {}), **shares}.items()
    }
    return Frequencies(bits, min(math.log2(average / rarest), MOST_BITS_FOR_RARITY))


MOST_BITS_FOR_RARITY = 7.0
"""A rare name may also be a slip of the pen that is repeated."""

FREQUENCY_LEVELS: dict[str, dict[str, tuple[str, str]]] = {
    field: {
        "same": (table, f"{table}_sound"),
        "variant": (table, ""),
        "swapped": (table, f"{table}_sound"),
        "same_sound": (f"{table}_sound", ""),
        "same_pinyin": (f"{table}_sound", ""),
    }
    for field, table in (("family_name", "family"), ("given_name", "given"))
}
"""Which table knows how common the value behind a level is, and which one knows it in letters."""


def _field(
    name: str,
    data: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, float]],
    alternatives: int,
) -> FieldWeights:
    levels = {}
    for level, shares in data["fields"][name].items():
        if len(shares) != alternatives + 1:
            raise ValueError(f"fields.{name}.{level}: {alternatives + 1} numbers are needed")
        levels[level] = tuple(math.log2(shares[0] / other) for other in shares[1:])
    frequencies = {
        level: frequencies_of(tables[table], tables.get(letters))
        for level, (table, letters) in FREQUENCY_LEVELS.get(name, {}).items()
        if table in tables
    }
    return FieldWeights(name, levels, frequencies)


def _limit(name: str, limit: Mapping[str, Any], names: list[str]) -> Limit:
    members = tuple(names.index(member) for member in limit["fields"])
    return Limit(name, members, float(limit["lowest"]), float(limit["highest"]))


def _frequency_tables(path: Path, data: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Read the tables beside the weights: words of a value and its share in a million."""
    name = data.get("term_frequency")
    if name is None:
        return {}
    tables: dict[str, dict[str, float]] = {}
    for table, text in _read(path.parent / name).items():
        if isinstance(text, str) and table not in {"version", "source"}:
            words = text.split()
            pairs = zip(words[::2], words[1::2], strict=True)
            tables[table] = {value: float(share) / 1e6 for value, share in pairs}
    return tables


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path.name} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} is not TOML: {error}") from None
