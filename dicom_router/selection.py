"""What a C-MOVE or C-GET selects: the unique keys of its level, and the instances behind them.

PS3.4 C.4.2.2.1 and C.4.3.2.1: a level, its unique key (of UIDs a list), and those of the levels
above. Upper keys may be left out, as with relational retrieval; what is there narrows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from sqlalchemy.exc import SQLAlchemyError

from access_control.consent import Consents
from dicom_router.datasets import decode_dataset
from dicom_router.disclosure import holder_of, shown_to
from dicom_router.errors import QueryRefusedError
from dicom_router.model import Caller, Query
from dicom_router.presentation import PATIENT_ROOT
from dicom_router.statuses import (
    MATCHES_UNKNOWN,
    NO_UNIQUE_KEY,
    NOT_AUTHORIZED_TO_RETRIEVE,
    SEVERAL_PATIENTS,
    UNREADABLE_SELECTION,
    WRONG_LEVEL,
)
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid
from hub_kernel.person_names import decode_text
from image_archive.errors import InvalidQueryError
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord
from image_archive.query import IndexQuery, Level
from image_archive.reading import VALUE_ERRORS

_UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
_ISSUER = "IssuerOfPatientID"
_NOT_ONE_VALUE = frozenset("*?\\")


@dataclass(frozen=True)
class Selection:
    """The level asked for, and the keys that select, by keyword."""

    level: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Selector:
    """Finds what a selection means, narrowed to what the caller's queries would show."""

    index: ArchiveIndex
    consents: Consents

    def instances(self, selection: Selection, caller: Caller) -> tuple[InstanceRecord, ...]:
        """Return the instances selected, in order of study, series and number; often none.

        Raises:
            QueryRefusedError: the caller may not retrieve, the index is away, or the patient is not
                one person: 0x0124, 0xA701, 0xA900.
        """
        if not caller.may_query():
            raise QueryRefusedError(NOT_AUTHORIZED_TO_RETRIEVE)
        query = IndexQuery(Level.INSTANCE, selection.keys, site_ids=caller.searchable_sites)
        try:
            found = self.index.find(query).matches
            shown = shown_to(caller, found, self.consents)
        except InvalidQueryError as error:
            raise QueryRefusedError(NO_UNIQUE_KEY) from error
        except SQLAlchemyError as error:
            raise QueryRefusedError(MATCHES_UNKNOWN) from error
        if selection.level == "PATIENT" and len({holder_of(m).issuer.oid for m in shown}) > 1:
            raise QueryRefusedError(SEVERAL_PATIENTS)
        return tuple(match.instance for match in shown if match.instance is not None)


def read_selection(query: Query) -> Selection:
    """Return what the identifier of a C-MOVE or C-GET selects.

    Raises:
        QueryRefusedError: unreadable, a level its model does not have, or no proper unique key.
    """
    try:
        dataset = decode_dataset(query.identifier, query.transfer_syntax_uid)
        values = {
            keyword: _text(dataset, keyword)
            for keyword in ("QueryRetrieveLevel", _ISSUER, *_UNIQUE_KEYS.values())
        }
    except VALUE_ERRORS as error:
        raise QueryRefusedError(UNREADABLE_SELECTION) from error
    level = values.pop("QueryRetrieveLevel")
    levels = list(_UNIQUE_KEYS)
    if level not in (levels if query.sop_class_uid in PATIENT_ROOT else levels[1:]):
        raise QueryRefusedError(WRONG_LEVEL)
    wanted = [*levels[: levels.index(level) + 1]]
    keys = {_UNIQUE_KEYS[one]: values[_UNIQUE_KEYS[one]] for one in wanted} | {
        _ISSUER: values[_ISSUER]
    }
    _require_selective(keys, _UNIQUE_KEYS[level])
    return Selection(level, {keyword: value for keyword, value in keys.items() if value})


def _require_selective(keys: Mapping[str, str], unique: str) -> None:
    """Refuse a key that would select everything: an empty one, a wildcard, or what is no UID."""
    if not keys[unique]:
        raise QueryRefusedError(NO_UNIQUE_KEY)
    for keyword, value in keys.items():
        if keyword == unique and keyword != "PatientID":
            _require_uids(value)
        elif _NOT_ONE_VALUE & set(value):
            raise QueryRefusedError(NO_UNIQUE_KEY)
        elif keyword.endswith("UID") and value:
            _require_uids(value)


def _require_uids(value: str) -> None:
    try:
        for uid in value.split("\\"):
            require_uid(uid, "unique key")
    except InvalidUidError as error:
        raise QueryRefusedError(NO_UNIQUE_KEY) from error


def _text(dataset: Dataset, keyword: str) -> str:
    """Return a key as text, decoded by the hub's own rules; empty when it is not there."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return ""
    charset = (
        dataset.get_item("SpecificCharacterSet") if "SpecificCharacterSet" in dataset else None
    )
    raw = charset.value if isinstance(charset, RawDataElement) else b""
    declared = tuple(one.strip() for one in (raw or b"").decode("latin-1").strip(" \0").split("\\"))
    return decode_text(element.value, declared).text.strip(" \0")
