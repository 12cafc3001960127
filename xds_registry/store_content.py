"""Turn stored rows back into values: `content` is JSON, the columns say what changed since.

Status, version and time of update live in columns, because they change while content does not.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from xds_registry.model import (
    NO_CODE,
    AvailabilityStatus,
    DocumentEntry,
    DocumentType,
    Folder,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.tables import FolderRow, SubmissionSetRow, XdsAssociationRow


@dataclass(frozen=True, kw_only=True)
class _Outline:
    """What `outline_of` reads of a document entry."""

    entry_uuid: str
    unique_id: str
    patient_id: str
    linked_identifier: str
    creation_time: str
    home_community_id: str = ""
    document_type: DocumentType = DocumentType.STABLE
    logical_id: str = ""
    version: int = 1
    status: AvailabilityStatus = AvailabilityStatus.APPROVED


_UNSAID = DocumentEntry(
    entry_uuid="",
    unique_id="",
    patient_id="",
    linked_identifier="",
    source_patient_id="",
    mime_type="",
    class_code=NO_CODE,
    type_code=NO_CODE,
    format_code=NO_CODE,
    practice_setting_code=NO_CODE,
    healthcare_facility_type_code=NO_CODE,
    confidentiality_codes=(),
    language_code="",
    creation_time="",
)
_OUTLINE = TypeAdapter(_Outline)
_ENTRY = TypeAdapter(DocumentEntry)
_SUBMISSION_SET = TypeAdapter(SubmissionSet)
_FOLDER = TypeAdapter(Folder)
_ASSOCIATION = TypeAdapter(XdsAssociation)


class Kept(Protocol):
    """What of a row its value is read from: the row itself, or a selection of its columns."""

    @property
    def content(self) -> Any:
        """The JSON form."""
        ...

    @property
    def status(self) -> Any:
        """The availability today."""
        ...


T = TypeVar("T", bound=DocumentEntry | SubmissionSet | Folder | XdsAssociation)


def entry_of(row: Kept) -> DocumentEntry:
    """Return the document entry of a row."""
    return _with_status(_ENTRY.validate_json(row.content), row.status)


def outline_of(row: Kept) -> DocumentEntry:
    """Return of the document entry of a row which it is, whose, of what kind, and from when.

    All else is empty, as if it had never been said. A third of the price of `entry_of`, for answers
    that hold references alone.
    """
    said = vars(_OUTLINE.validate_json(row.content))
    return _with_status(altered(_UNSAID, **said), row.status)


def submission_set_of(row: SubmissionSetRow) -> SubmissionSet:
    """Return the submission set of a row."""
    return _with_status(_SUBMISSION_SET.validate_json(row.content), row.status)


def folder_of(row: FolderRow) -> Folder:
    """Return the folder of a row, with the time it was last changed."""
    folder = _with_status(_FOLDER.validate_json(row.content), row.status)
    if folder.last_update_time == row.last_update_time:
        return folder
    return altered(folder, last_update_time=row.last_update_time)


def association_of(row: XdsAssociationRow) -> XdsAssociation:
    """Return the association of a row."""
    return _with_status(_ASSOCIATION.validate_json(row.content), row.status)


def _with_status(item: T, status: str) -> T:
    return item if item.status == status else altered(item, status=AvailabilityStatus(status))


def altered(item: T, **values: object) -> T:
    """Return a copy with other values, as `replace` does, of what was checked when it was stored.

    Answers alter every object they hold; checking each again would cost ten times the copy.
    """
    copy = object.__new__(type(item))
    copy.__dict__.update(item.__dict__, **values)
    return copy
