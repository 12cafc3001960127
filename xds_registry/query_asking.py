"""One stored query being answered: as whom, for what, and what its shared parameters mean.

ITI TF-2 3.18.4.1.2.3.5: parameters that several queries share mean the same in each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy.orm import Session

from xds_registry import store_reading as reading
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import (
    UPDATING,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    DocumentType,
    Folder,
)
from xds_registry.store_reading import Wanted
from xds_registry.stored_queries import Parameters
from xds_registry.tables import DocumentEntryRow, FolderRow

_LEVELS = ("1", "2")
_ANY_TYPE = frozenset(AssociationType)
DOCUMENT_UUID, DOCUMENT_UNIQUE_ID, DOCUMENT_LOGICAL_ID = (
    f"$XDSDocumentEntry{name}" for name in ("EntryUUID", "UniqueId", "LogicalID")
)
FOLDER_UUID, FOLDER_UNIQUE_ID, FOLDER_LOGICAL_ID = (
    f"$XDSFolder{name}" for name in ("EntryUUID", "UniqueId", "LogicalID")
)
_DOCUMENT_COLUMNS = {
    DOCUMENT_UUID: DocumentEntryRow.entry_uuid,
    DOCUMENT_UNIQUE_ID: DocumentEntryRow.unique_id,
    DOCUMENT_LOGICAL_ID: DocumentEntryRow.logical_id,
}
_FOLDER_COLUMNS = {
    FOLDER_UUID: FolderRow.entry_uuid,
    FOLDER_UNIQUE_ID: FolderRow.unique_id,
    FOLDER_LOGICAL_ID: FolderRow.logical_id,
}


@dataclass
class Asking:
    """One query: where to look, as whom, for what.

    With `references` no more than a reference to each object found is answered.
    """

    session: Session
    people: LinkedPeople
    gate: Gate
    parameters: Parameters
    references: bool = False

    @cached_property
    def all_versions(self) -> bool:
        """Whether the asker knows of versions, `$MetadataLevel` 2 (3.18.4.1.2.3.5.1.1).

        Raises:
            XdsRefusalError: another level, or more than one.
        """
        level = self.parameters.single("$MetadataLevel")
        if level is not None and level not in _LEVELS:
            raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, "$MetadataLevel", " | ".join(_LEVELS))
        return level == "2"

    @cached_property
    def association_statuses(self) -> frozenset[str]:
        """The availability of associations asked for: Approved alone unless versions are known."""
        asked = frozenset(self.parameters.all("$XDSAssociationStatus"))
        if not self.all_versions or not asked:
            return frozenset[str]({AvailabilityStatus.APPROVED})
        return asked & frozenset(AvailabilityStatus)

    @cached_property
    def document_types(self) -> frozenset[str]:
        """The document types asked for: Stable alone unless said otherwise (3.18.4.1.2.5)."""
        asked = frozenset(self.parameters.all("$XDSDocumentEntryType"))
        return asked or frozenset[str]({DocumentType.STABLE})

    def statuses(self, name: str) -> frozenset[str]:
        """Return the statuses asked for; those the registry does not know are not looked at.

        Raises:
            XdsRefusalError: none was asked for.
        """
        return frozenset(self.parameters.several(name)) & frozenset(AvailabilityStatus)

    def wanted(self, types: Iterable[str] = _ANY_TYPE) -> Wanted:
        """Return which associations of `types` may be answered.

        Those that carried an update out are for who knows of versions.
        """
        known = frozenset(types) if self.all_versions else frozenset(types) - UPDATING
        return Wanted(known, self.association_statuses)

    def linked(self, cx: str) -> frozenset[str]:
        """Return what the objects of the patient `cx` are kept under; nothing where unseen."""
        global_id = self.people.global_id_of(cx)
        if global_id is None or not self.gate.sees_person(global_id):
            return frozenset()
        return self.people.linked_to(global_id)

    def versions_of_documents(self, found: Iterable[DocumentEntry]) -> list[DocumentEntry]:
        """Return all versions to who knows of versions, else those that are the latest."""
        return list(found) if self.all_versions else reading.latest_documents(self.session, found)

    def versions_of_folders(self, found: Iterable[Folder]) -> list[Folder]:
        """Return all versions to who knows of versions, else those that are the latest."""
        return list(found) if self.all_versions else reading.latest_folders(self.session, found)

    def named_documents(self, *names: str) -> list[DocumentEntry]:
        """Return the documents that the one given parameter of `names` names.

        Raises:
            XdsRefusalError: none of `names` is given, or two.
        """
        name, values = self.parameters.one_of(*names)
        column = _DOCUMENT_COLUMNS[name]
        return self.versions_of_documents(reading.documents(self.session, column.in_(values)))

    def named_folders(self, *names: str) -> list[Folder]:
        """Return the folders that the one given parameter of `names` names.

        Raises:
            XdsRefusalError: none of `names` is given, or two.
        """
        name, values = self.parameters.one_of(*names)
        column = _FOLDER_COLUMNS[name]
        return self.versions_of_folders(reading.folders(self.session, column.in_(values)))
