"""Turn values into the rows that keep them; `store_content` turns them back."""

from pydantic import TypeAdapter

from xds_registry.model import DocumentEntry, Folder, SubmissionSet, XdsAssociation
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

_ENTRY = TypeAdapter(DocumentEntry)
_SUBMISSION_SET = TypeAdapter(SubmissionSet)
_FOLDER = TypeAdapter(Folder)
_ASSOCIATION = TypeAdapter(XdsAssociation)


def entry_row(entry: DocumentEntry, occurrence: int) -> DocumentEntryRow:
    """Return the row of an entry; `occurrence` counts the earlier ones with its uniqueId."""
    return DocumentEntryRow(
        entry_uuid=entry.entry_uuid,
        unique_id=entry.unique_id,
        occurrence=occurrence,
        linked_identifier=entry.linked_identifier,
        status=entry.status,
        document_type=entry.document_type,
        logical_id=entry.logical_id or entry.entry_uuid,
        version=entry.version,
        content=_ENTRY.dump_json(entry, exclude_defaults=True).decode(),
    )


def submission_set_row(item: SubmissionSet) -> SubmissionSetRow:
    """Return the row of a submission set."""
    return SubmissionSetRow(
        entry_uuid=item.entry_uuid,
        unique_id=item.unique_id,
        linked_identifier=item.linked_identifier,
        status=item.status,
        content=_SUBMISSION_SET.dump_json(item, exclude_defaults=True).decode(),
    )


def folder_row(folder: Folder) -> FolderRow:
    """Return the row of a folder."""
    return FolderRow(
        entry_uuid=folder.entry_uuid,
        unique_id=folder.unique_id,
        linked_identifier=folder.linked_identifier,
        status=folder.status,
        logical_id=folder.logical_id or folder.entry_uuid,
        version=folder.version,
        last_update_time=folder.last_update_time,
        content=_FOLDER.dump_json(folder, exclude_defaults=True).decode(),
    )


def association_row(item: XdsAssociation) -> XdsAssociationRow:
    """Return the row of an association."""
    return XdsAssociationRow(
        entry_uuid=item.entry_uuid,
        association_type=item.association_type,
        source=item.source,
        target=item.target,
        status=item.status,
        content=_ASSOCIATION.dump_json(item, exclude_defaults=True).decode(),
    )
