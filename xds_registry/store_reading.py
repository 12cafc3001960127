"""What queries read beside `store`: folders, versions, associations by what they are.

Statements only; whose objects they are and who may see them is decided by the queries.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import ColumnElement, bindparam, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from xds_registry.model import (
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_content import (
    Kept,
    association_of,
    entry_of,
    folder_of,
    submission_set_of,
)
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

_BATCH = 500


class End(StrEnum):
    """An end of an association: the whole or the newer, the part or the older."""

    SOURCE = "source"
    TARGET = "target"


# Asked of nearly every query; a statement that is made once need not be understood again.
_DOCUMENTS = select(DocumentEntryRow.content, DocumentEntryRow.status)
_ENTRIES = DocumentEntryRow.__table__.c  # without the mapper, who asks of everything once more
_DOCUMENTS_OF = select(_ENTRIES.content, _ENTRIES.status).where(
    _ENTRIES.linked_identifier.in_(bindparam("linked", expanding=True)),
    _ENTRIES.status.in_(bindparam("statuses", expanding=True)),
)
BOTH_ENDS = (End.SOURCE, End.TARGET)
_COLUMN_OF = {End.SOURCE: XdsAssociationRow.source, End.TARGET: XdsAssociationRow.target}


@dataclass(frozen=True)
class Wanted:
    """Which associations are asked for: of what types, of what availability."""

    types: Collection[str]
    statuses: Collection[str]


Versioned = TypeVar("Versioned", DocumentEntry, Folder)


def documents(
    session: Session, *where: ColumnElement[bool], limit: int | None = None
) -> list[DocumentEntry]:
    """Return the entries that match, at most `limit`, oldest first."""
    return _in_order(session.execute(_DOCUMENTS.where(*where).limit(limit)).all())


def documents_of(
    session: Session,
    linked: Collection[str],
    statuses: Collection[str],
    read: Callable[[Kept], DocumentEntry] = entry_of,
) -> list[DocumentEntry]:
    """Return the entries under the identifiers `linked`, of any of `statuses`, oldest first.

    `read` may be `outline_of` for who needs no more than that.
    """
    if not linked or not statuses:
        return []
    asked = {"linked": sorted(linked), "statuses": sorted(statuses)}
    return _in_order(session.connection().execute(_DOCUMENTS_OF, asked), read)


def folders(
    session: Session, *where: ColumnElement[bool], limit: int | None = None
) -> list[Folder]:
    """Return the folders that match, at most `limit`, the longest unchanged first."""
    found = map(folder_of, session.scalars(select(FolderRow).where(*where).limit(limit)))
    return sorted(found, key=lambda item: (item.last_update_time, item.unique_id, item.version))


def submission_sets(session: Session, *where: ColumnElement[bool]) -> list[SubmissionSet]:
    """Return the submission sets that match, oldest first."""
    found = map(submission_set_of, session.scalars(select(SubmissionSetRow).where(*where)))
    return sorted(found, key=lambda item: (item.submission_time, item.unique_id))


def documents_by_uuid(session: Session, uuids: Iterable[str]) -> list[DocumentEntry]:
    """Return the entries with these entryUUIDs, whatever their status."""
    return [
        entry
        for batch in _batches(uuids)
        for entry in documents(session, DocumentEntryRow.entry_uuid.in_(batch))
    ]


def folders_by_uuid(session: Session, uuids: Iterable[str]) -> list[Folder]:
    """Return the folders with these entryUUIDs, whatever their status."""
    return [
        folder
        for batch in _batches(uuids)
        for folder in folders(session, FolderRow.entry_uuid.in_(batch))
    ]


def submission_sets_by_uuid(session: Session, uuids: Iterable[str]) -> list[SubmissionSet]:
    """Return the submission sets with these entryUUIDs."""
    return [
        item
        for batch in _batches(uuids)
        for item in submission_sets(session, SubmissionSetRow.entry_uuid.in_(batch))
    ]


def associations_by_uuid(session: Session, uuids: Iterable[str]) -> list[XdsAssociation]:
    """Return the associations with these ids."""
    return _associations(session, uuids, (XdsAssociationRow.entry_uuid,), ())


def associations_at(
    session: Session, uuids: Iterable[str], wanted: Wanted, ends: Collection[End] = BOTH_ENDS
) -> list[XdsAssociation]:
    """Return the associations that are wanted and have one of `uuids` at one of `ends`."""
    where = (
        XdsAssociationRow.association_type.in_(wanted.types),
        XdsAssociationRow.status.in_(wanted.statuses),
    )
    return _associations(session, uuids, [_COLUMN_OF[end] for end in ends], where)


def latest_documents(session: Session, entries: Iterable[DocumentEntry]) -> list[DocumentEntry]:
    """Return those of `entries` that no later version follows."""
    found = list(entries)
    newest = _newest(session, DocumentEntryRow.logical_id, DocumentEntryRow.version, found)
    return [item for item in found if item.version >= newest.get(logical_id(item), 0)]


def latest_folders(session: Session, items: Iterable[Folder]) -> list[Folder]:
    """Return those folders that no later version follows."""
    found = list(items)
    newest = _newest(session, FolderRow.logical_id, FolderRow.version, found)
    return [item for item in found if item.version >= newest.get(logical_id(item), 0)]


def logical_id(item: DocumentEntry | Folder) -> str:
    """Return what all versions of an object share (ITI TF-3 4.2.3.2.31)."""
    return item.logical_id or item.entry_uuid


def _in_order(
    rows: Iterable[Kept], read: Callable[[Kept], DocumentEntry] = entry_of
) -> list[DocumentEntry]:
    found = map(read, rows)
    return sorted(found, key=lambda item: (item.creation_time, item.unique_id, item.version))


def _newest(
    session: Session,
    logical: "InstrumentedAttribute[str]",
    version: "InstrumentedAttribute[int]",
    items: Sequence[Versioned],
) -> dict[str, int]:
    """Return the last version of each object; a current one needs no look, for it is the last.

    An update deprecates the version before it (ITI TF-2 3.57.4.1.3), so that only a deprecated
    object can have a successor.
    """
    doubtful = {logical_id(item) for item in items if item.status != AvailabilityStatus.APPROVED}
    newest: dict[str, int] = {}
    for batch in _batches(doubtful):
        statement = select(logical, func.max(version)).where(logical.in_(batch)).group_by(logical)
        newest.update((one, number) for one, number in session.execute(statement))
    return newest


def _associations(
    session: Session,
    uuids: Iterable[str],
    columns: Collection["InstrumentedAttribute[str]"],
    where: Collection[ColumnElement[bool]],
) -> list[XdsAssociation]:
    found: dict[str, XdsAssociation] = {}
    for batch in _batches(uuids):
        named = or_(*(column.in_(batch) for column in columns))
        statement = select(XdsAssociationRow).where(named, *where)
        for row in session.scalars(statement.order_by(XdsAssociationRow.entry_uuid)):
            found[row.entry_uuid] = association_of(row)
    return list(found.values())


def _batches(uuids: Iterable[str]) -> Iterable[Sequence[str]]:
    """Cut a list to what every database takes as parameters of one statement."""
    wanted = sorted(set(uuids))
    return [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
