"""Table E.1-1 of DICOM PS3.15 as data, and what the chosen options make of an attribute."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydicom.tag import BaseTag

from hub_kernel.config_files import shipped_config

EDITION = "DICOM PS3.15 2026c"
_TABLE = "deidentification/ps3_15_e1_1.tsv"
_NONE = "-"


class Option(StrEnum):
    """The options of PS3.15 E.3 that can be chosen; the value is the word of the command line."""

    CLEAN_PIXELS = "clean-pixel-data"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    MODIFIED_DATES = "modified-dates"
    PATIENT_CHARACTERISTICS = "patient-characteristics"
    DEVICE_IDENTITY = "device-identity"
    INSTITUTION_IDENTITY = "institution-identity"
    RETAIN_UIDS = "retain-uids"


class Action(StrEnum):
    """What becomes of an attribute (PS3.15 Table E.1-1a)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    REPLACE_UID = "U"
    REFERENCES = "U*"
    KEEP = "K"
    CLEAN = "C"


# Code and meaning for De-identification Method Code Sequence (PS3.16 CID 7050).
BASIC_PROFILE = ("113100", "Basic Application Confidentiality Profile")
OPTION_CODES: Mapping[Option, tuple[str, str]] = {
    Option.CLEAN_PIXELS: ("113101", "Clean Pixel Data Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.MODIFIED_DATES: (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    Option.PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}
# The column of the table that an option reads; what is retained is named by the first that is set.
_COLUMNS: tuple[tuple[Option, str], ...] = (
    (Option.INSTITUTION_IDENTITY, "institution"),
    (Option.DEVICE_IDENTITY, "device"),
    (Option.PATIENT_CHARACTERISTICS, "patient"),
    (Option.RETAIN_UIDS, "uids"),
    (Option.MODIFIED_DATES, "dates"),
    (Option.CLEAN_DESCRIPTORS, "descriptors"),
)
# Where the table leaves a choice, what keeps every object conformant is taken.
_BASIC: Mapping[str, Action] = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.REPLACE_UID,
    "Z/D": Action.DUMMY,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.REFERENCES,
}


@dataclass(frozen=True)
class Row:
    """One row of the table: the basic profile's word, and each option's, by its column."""

    keyword: str
    basic: str
    options: Mapping[str, str]


@functools.cache
def table() -> Mapping[str, Row]:
    """Return the table by tag, eight lower-case digits; repeating groups have `xx` in them."""
    text = shipped_config(_TABLE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    columns = lines[0].split("\t")[3:]
    rows = {}
    for line in lines[1:]:
        tag, keyword, basic, *options = line.split("\t")
        rows[tag] = Row(keyword, basic, dict(zip(columns, options, strict=True)))
    return rows


@dataclass(frozen=True)
class Profile:
    """The Basic Profile with these options."""

    options: frozenset[Option] = frozenset()

    def action(self, tag: BaseTag) -> Action | None:
        """Return what becomes of an attribute; None where the table does not name it.

        An option that keeps an attribute goes before one that cleans it.
        """
        row = table().get(f"{tag:08x}")
        if row is None:
            return None
        words = [row.options[column] for option, column in _COLUMNS if option in self.options]
        if "K" in words:
            return Action.KEEP
        if "C" in words:
            return Action.CLEAN
        return _BASIC[row.basic]

    def basic_action(self, tag: BaseTag) -> Action:
        """Return what the Basic Profile alone makes of an attribute the table names."""
        return _BASIC[table()[f"{tag:08x}"].basic]

    @property
    def cleans_pixels(self) -> bool:
        """Say whether text is looked for in every frame and blackened."""
        return Option.CLEAN_PIXELS in self.options

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning of the profile and its options, in order of the codes."""
        return (BASIC_PROFILE, *sorted(OPTION_CODES[option] for option in self.options))
