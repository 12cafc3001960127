"""Read a C-FIND identifier: level, keys asked for, values to match (PS3.4 C.2.2, C.4.1.1.3).

Nothing is trusted: elements are read raw, text is decoded by the hub's own rules, and whatever
breaks them is one error with a status.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_router.errors import QueryRefusedError
from dicom_router.presentation import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from dicom_router.statuses import MISSING_UNIQUE_KEY, TOO_MANY_KEYS, WRONG_LEVEL
from hub_kernel.character_sets import UTF_8, character_set
from hub_kernel.person_names import decode_text
from image_archive.query import Level

_MAX_KEYS = 512
_LEVEL_TAG = 0x00080052
_LEVELS: dict[str, dict[str, Level]] = {
    PATIENT_ROOT_FIND: {
        "PATIENT": Level.PATIENT,
        "STUDY": Level.STUDY,
        "SERIES": Level.SERIES,
        "IMAGE": Level.INSTANCE,
    },
    STUDY_ROOT_FIND: {
        "STUDY": Level.STUDY,
        "SERIES": Level.SERIES,
        "IMAGE": Level.INSTANCE,
    },
}
# The unique key of each level (PS3.4 C.6.1.1, C.6.2.1).
_UNIQUE_KEYS: dict[Level, tuple[str, int]] = {
    Level.PATIENT: ("PatientID", 0x00100020),
    Level.STUDY: ("StudyInstanceUID", 0x0020000D),
    Level.SERIES: ("SeriesInstanceUID", 0x0020000E),
}
# Sequences whose nested attributes the index holds.
KNOWN_SEQUENCES = frozenset({"RequestAttributesSequence"})
_NOT_KEYS = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel"})
_TEXT_VRS = frozenset(
    "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split()  # noqa: SIM905 (a list of words)
)
_NUMBER_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i"}


@dataclass(frozen=True)
class AskedKey:
    """One key of the identifier; `value` is empty for "give it to me whatever it is".

    `items` are the keys inside the one item of a known sequence (PS3.4 C.2.2.2.6).
    """

    tag: BaseTag
    keyword: str
    vr: str
    value: str
    items: tuple["AskedKey", ...] = ()


@dataclass(frozen=True)
class Identifier:
    """What a C-FIND asks. `character_sets` is the asker's own declaration, empty when absent.

    `timezone_offset` is the asker's, as `+0800`, empty when absent.
    """

    level: Level
    level_as_asked: str
    keys: tuple[AskedKey, ...]
    character_sets: tuple[str, ...]
    timezone_offset: str

    @property
    def matches(self) -> Mapping[str, str]:
        """The keys that narrow the answer, by keyword; those inside a sequence by theirs."""
        return {key.keyword: key.value for key in self._leaves() if key.keyword and key.value}

    @property
    def returning(self) -> frozenset[str]:
        """The keywords asked for."""
        return frozenset(key.keyword for key in self._leaves() if key.keyword)

    def _leaves(self) -> Iterator[AskedKey]:
        for key in self.keys:
            yield from key.items or (key,)


def read_identifier(dataset: Dataset, model: str) -> Identifier:
    """Return the identifier of a C-FIND in the information model `model` (a SOP class UID).

    Raises:
        QueryRefusedError: no level, a level the model does not have, or too many keys.
    """
    if len(dataset) > _MAX_KEYS:
        raise QueryRefusedError(TOO_MANY_KEYS)
    charset = _raw(dataset, "SpecificCharacterSet").decode("latin-1").strip(" \0")
    declared = tuple(value.strip() for value in charset.split("\\"))
    asked = _raw(dataset, "QueryRetrieveLevel").decode("latin-1").strip(" \0")
    level = _LEVELS[model].get(asked)
    if level is None:
        raise QueryRefusedError(WRONG_LEVEL, _LEVEL_TAG)
    offset = _raw(dataset, "TimezoneOffsetFromUTC").decode("latin-1").strip(" \0")
    return Identifier(
        level=level,
        level_as_asked=asked,
        keys=tuple(_keys(dataset, declared)),
        character_sets=declared if charset else (),
        timezone_offset=offset,
    )


def require_unique_keys(identifier: Identifier, model: str) -> None:
    """Refuse a query that names no single entity of each level above its own (PS3.4 C.4.1.2.1).

    Raises:
        QueryRefusedError: a unique key is missing, or is no single value.
    """
    matches = identifier.matches
    for level in _LEVELS[model].values():
        if level is identifier.level:
            return
        keyword, tag = _UNIQUE_KEYS[level]
        value = matches.get(keyword, "")
        if not value or set(value) & set("*?\\"):
            raise QueryRefusedError(MISSING_UNIQUE_KEY, tag)


def _keys(dataset: Dataset, declared: tuple[str, ...]) -> Iterator[AskedKey]:
    for tag in dataset.keys():  # noqa: SIM118 (iterating a Dataset decodes it)
        key = _key(dataset, tag, declared)
        if key.keyword not in _NOT_KEYS and tag.element:
            yield key


def _key(dataset: Dataset, tag: BaseTag, declared: tuple[str, ...]) -> AskedKey:
    keyword = keyword_for_tag(tag)
    vr = dictionary_VR(tag).split(" ")[0] if keyword else "UN"
    if vr == "SQ":
        known = keyword in KNOWN_SEQUENCES
        return AskedKey(tag, keyword, vr, "", _items(dataset, tag, declared) if known else ())
    element = dataset.get_item(tag)
    value = ""
    if isinstance(element, RawDataElement):
        value = _value(element, vr, declared)
    return AskedKey(tag, keyword, vr, "" if value == "*" else value)


def _value(element: RawDataElement, vr: str, declared: tuple[str, ...]) -> str:
    raw = element.value or b""
    if vr in _TEXT_VRS:
        return _text(raw, declared).strip(" \0")
    form = _NUMBER_FORMATS.get(vr)
    if form is None or not raw:
        return ""
    order = "<" if element.is_little_endian else ">"
    size = struct.calcsize(form)
    numbers = struct.unpack(f"{order}{len(raw) // size}{form}", raw[: len(raw) // size * size])
    return "\\".join(map(str, numbers))


def _text(raw: bytes, declared: tuple[str, ...]) -> str:
    """Read a value: UTF-8 that says it is UTF-8 is, however unlikely the word; else as any text."""
    if declared and character_set(declared[0]) is UTF_8:
        with suppress(UnicodeDecodeError):
            return raw.decode("utf-8")
    return decode_text(raw, declared).text


def _items(dataset: Dataset, tag: BaseTag, declared: tuple[str, ...]) -> tuple[AskedKey, ...]:
    """Return the keys of the first item; a query has no other."""
    items = dataset[tag].value
    if not items or len(items[0]) > _MAX_KEYS:
        return ()
    return tuple(_keys(items[0], declared))


def _raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword) if keyword in dataset else None
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return element.value
    return b""
