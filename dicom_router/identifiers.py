"""Read a C-FIND identifier: level, keys asked for, values to match (PS3.4 C.2.2, C.4.1.1.3).

Nothing is trusted: elements are read raw, text is decoded by the hub's own rules, and whatever
breaks them is one error with a status.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_router.errors import QueryRefusedError
from dicom_router.presentation import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from dicom_router.statuses import TOO_MANY_KEYS, WRONG_LEVEL
from hub_kernel.person_names import decode_text
from image_archive.query import Level

_MAX_KEYS = 512
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
_NOT_KEYS = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel", "TimezoneOffsetFromUTC"})
_TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI"}
)


@dataclass(frozen=True)
class AskedKey:
    """One key of the identifier; `value` is empty for "give it to me whatever it is"."""

    tag: BaseTag
    keyword: str
    vr: str
    value: str


@dataclass(frozen=True)
class Identifier:
    """What a C-FIND asks. `character_sets` is the asker's own declaration, empty when absent."""

    level: Level
    level_as_asked: str
    keys: tuple[AskedKey, ...]
    character_sets: tuple[str, ...]

    @property
    def matches(self) -> Mapping[str, str]:
        """The keys that narrow the answer, by keyword."""
        return {key.keyword: key.value for key in self.keys if key.keyword and key.value}


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
        raise QueryRefusedError(WRONG_LEVEL)
    keys = (_key(dataset, tag, declared) for tag in dataset.keys())  # noqa: SIM118 (no values read)
    return Identifier(
        level=level,
        level_as_asked=asked,
        keys=tuple(key for key in keys if key.keyword not in _NOT_KEYS and key.tag.element),
        character_sets=declared if charset else (),
    )


def _key(dataset: Dataset, tag: BaseTag, declared: tuple[str, ...]) -> AskedKey:
    keyword = keyword_for_tag(tag)
    vr = dictionary_VR(tag) if keyword else "UN"
    element = dataset.get_item(tag)
    value = ""
    if vr in _TEXT_VRS and isinstance(element, RawDataElement):
        value = decode_text(element.value or b"", declared).text.strip()
    return AskedKey(tag, keyword, vr, "" if value == "*" else value)


def _raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword) if keyword in dataset else None
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        return element.value
    return b""
