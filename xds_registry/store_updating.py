"""Read and change what metadata updates touch, inside the caller's transaction (3.57.4.1.3.3).

Rows that will be changed are locked: of two who update one version the second sees the first.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from xds_registry import store_reading as reading
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_content import association_of, entry_of, folder_of
from xds_registry.store_reading import Wanted
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

Changeable = DocumentEntry | Folder | XdsAssociation
Version = TypeVar("Version", DocumentEntryRow, FolderRow)
Row = TypeVar("Row", DocumentEntryRow, FolderRow, XdsAssociationRow)

_ROW_OF: Mapping[
    type[Changeable], type[DocumentEntryRow] | type[FolderRow] | type[XdsAssociationRow]
] = {
    DocumentEntry: DocumentEntryRow,
    Folder: FolderRow,
    XdsAssociation: XdsAssociationRow,
}
_STANDING = Wanted(
    RELATIONS | {AssociationType.HAS_MEMBER}, frozenset({AvailabilityStatus.APPROVED})
)


def latest_version(session: Session, item: DocumentEntry | Folder) -> DocumentEntry | Folder | None:
    """Return the last registered version of the logical object of `item`, locked, or None."""
    if isinstance(item, DocumentEntry):
        entry = session.scalar(_latest(DocumentEntryRow, item.logical_id))
        return entry_of(entry) if entry else None
    folder = session.scalar(_latest(FolderRow, item.logical_id))
    return folder_of(folder) if folder else None


def registered(session: Session, entry_uuid: str) -> Changeable | SubmissionSet | None:
    """Return the object with this id, locked if it can change, or None."""
    if entry := session.scalar(_locked(DocumentEntryRow, entry_uuid)):
        return entry_of(entry)
    if folder := session.scalar(_locked(FolderRow, entry_uuid)):
        return folder_of(folder)
    if association := session.scalar(_locked(XdsAssociationRow, entry_uuid)):
        return association_of(association)
    sets = reading.submission_sets_by_uuid(session, [entry_uuid])
    return sets[0] if sets else None


def set_status(session: Session, item: Changeable, status: AvailabilityStatus) -> None:
    """Set the availability of one registered object."""
    row = _ROW_OF[type(item)]
    session.execute(update(row).where(row.entry_uuid == item.entry_uuid).values(status=status))


def standing(session: Session, uuids: Collection[str]) -> list[XdsAssociation]:
    """Return the associations in force at `uuids`, but not memberships of submission sets."""
    found = reading.associations_at(session, uuids, _STANDING)
    sources = {one.source for one in found}
    sets = set(
        session.scalars(
            select(SubmissionSetRow.entry_uuid).where(SubmissionSetRow.entry_uuid.in_(sources))
        )
    )
    return [one for one in found if one.source not in sets]


def _latest(row: type[Version], logical_id: str) -> Select[Version]:
    found = select(row).where(row.logical_id == logical_id)
    return _fresh(found.order_by(row.version.desc()).limit(1))


def _locked(row: type[Row], entry_uuid: str) -> Select[Row]:
    return _fresh(select(row).where(row.entry_uuid == entry_uuid))


def _fresh(statement: Select[Any]) -> Select[Any]:
    return statement.with_for_update().execution_options(populate_existing=True)
