"""Get queries: objects by identifier, and what they are tied to (3.18.4.1.2.3.7.5 to .13)."""

from collections.abc import Collection, Sequence

from xds_registry import store_reading as reading
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    DocumentEntry,
    RegistryObject,
    XdsAssociation,
)
from xds_registry.query_asking import (
    DOCUMENT_LOGICAL_ID,
    DOCUMENT_UNIQUE_ID,
    DOCUMENT_UUID,
    FOLDER_LOGICAL_ID,
    FOLDER_UNIQUE_ID,
    FOLDER_UUID,
    Asking,
)
from xds_registry.store_reading import End
from xds_registry.stored_queries import CONTENTS_FILTERS, document_filter
from xds_registry.tables import SubmissionSetRow

_MEMBERSHIP = (AssociationType.HAS_MEMBER,)
_SET_UUID, _SET_UNIQUE_ID = "$XDSSubmissionSetEntryUUID", "$XDSSubmissionSetUniqueId"
_SET_COLUMNS = {
    _SET_UUID: SubmissionSetRow.entry_uuid,
    _SET_UNIQUE_ID: SubmissionSetRow.unique_id,
}


def get_documents(asking: Asking) -> list[RegistryObject]:
    """GetDocuments, 3.18.4.1.2.3.7.5."""
    names = (DOCUMENT_UUID, DOCUMENT_UNIQUE_ID, DOCUMENT_LOGICAL_ID)
    return list(asking.named_documents(*names))


def get_folders(asking: Asking) -> list[RegistryObject]:
    """GetFolders, 3.18.4.1.2.3.7.6."""
    return list(asking.named_folders(FOLDER_UUID, FOLDER_UNIQUE_ID, FOLDER_LOGICAL_ID))


def get_associations(asking: Asking) -> list[RegistryObject]:
    """GetAssociations, 3.18.4.1.2.3.7.7."""
    uuids = asking.parameters.several("$uuid")
    return list(reading.associations_at(asking.session, uuids, asking.wanted()))


def get_documents_and_associations(asking: Asking) -> list[RegistryObject]:
    """GetDocumentsAndAssociations, 3.18.4.1.2.3.7.8."""
    documents = asking.named_documents(DOCUMENT_UUID, DOCUMENT_UNIQUE_ID)
    return [*documents, *reading.associations_at(asking.session, _ids(documents), asking.wanted())]


def get_submission_sets(asking: Asking) -> list[RegistryObject]:
    """GetSubmissionSets, 3.18.4.1.2.3.7.9: which submissions brought these objects."""
    uuids = asking.parameters.several("$uuid")
    memberships = _members(asking, uuids, End.TARGET)
    sets = reading.submission_sets_by_uuid(asking.session, [one.source for one in memberships])
    known = _ids(sets)
    return [*sets, *(one for one in memberships if one.source in known)]


def get_submission_set_and_contents(asking: Asking) -> list[RegistryObject]:
    """GetSubmissionSetAndContents, 3.18.4.1.2.3.7.10."""
    name, _ = asking.parameters.one_of(_SET_UUID, _SET_UNIQUE_ID)
    value = asking.parameters.required(name)
    wanted = document_filter(asking.parameters, CONTENTS_FILTERS)
    sets = reading.submission_sets(asking.session, _SET_COLUMNS[name] == value)
    members = _members(asking, _ids(sets), End.SOURCE)
    parts = [one.target for one in members]
    documents = [
        entry
        for entry in asking.versions_of_documents(reading.documents_by_uuid(asking.session, parts))
        if entry.document_type in asking.document_types and wanted(entry)
    ]
    folders = asking.versions_of_folders(reading.folders_by_uuid(asking.session, parts))
    submitted = [
        one
        for one in reading.associations_by_uuid(asking.session, parts)
        if one.status in asking.association_statuses
    ]
    within = _members(asking, _ids(folders), End.SOURCE)
    kept = _without_loose_ends([*members, *submitted, *within], _ids([*documents, *folders, *sets]))
    return [*documents, *sets, *folders, *kept]


def get_folder_and_contents(asking: Asking) -> list[RegistryObject]:
    """GetFolderAndContents, 3.18.4.1.2.3.7.11."""
    name, _ = asking.parameters.one_of(FOLDER_UUID, FOLDER_UNIQUE_ID)
    asking.parameters.required(name)
    wanted = document_filter(asking.parameters, CONTENTS_FILTERS)
    folders = asking.named_folders(FOLDER_UUID, FOLDER_UNIQUE_ID)
    members = _members(asking, _ids(folders), End.SOURCE)
    found = reading.documents_by_uuid(asking.session, [one.target for one in members])
    documents = [
        entry
        for entry in asking.versions_of_documents(found)
        if entry.document_type in asking.document_types and wanted(entry)
    ]
    kept = _without_loose_ends(members, _ids([*documents, *folders]))
    return [*documents, *folders, *kept]


def get_folders_for_document(asking: Asking) -> list[RegistryObject]:
    """GetFoldersForDocument, 3.18.4.1.2.3.7.12."""
    name, _ = asking.parameters.one_of(DOCUMENT_UUID, DOCUMENT_UNIQUE_ID)
    asking.parameters.required(name)
    documents = asking.named_documents(DOCUMENT_UUID, DOCUMENT_UNIQUE_ID)
    memberships = _members(asking, _ids(documents), End.TARGET)
    folders = reading.folders_by_uuid(asking.session, [one.source for one in memberships])
    return list(asking.versions_of_folders(folders))


def get_related_documents(asking: Asking) -> list[RegistryObject]:
    """GetRelatedDocuments, 3.18.4.1.2.3.7.13."""
    types = frozenset(asking.parameters.several("$AssociationTypes")) & RELATIONS
    name, _ = asking.parameters.one_of(DOCUMENT_UUID, DOCUMENT_UNIQUE_ID)
    asking.parameters.required(name)
    uuids = _ids(asking.named_documents(DOCUMENT_UUID, DOCUMENT_UNIQUE_ID))
    associations = reading.associations_at(asking.session, uuids, asking.wanted(types))
    ends = {end for one in associations for end in (one.source, one.target)}
    documents = [
        entry
        for entry in asking.versions_of_documents(reading.documents_by_uuid(asking.session, ends))
        if entry.document_type in asking.document_types
    ]
    return [*documents, *associations]


def _members(asking: Asking, uuids: Collection[str], end: End) -> list[XdsAssociation]:
    return reading.associations_at(asking.session, uuids, asking.wanted(_MEMBERSHIP), (end,))


def _ids(items: Sequence[DocumentEntry] | Sequence[RegistryObject]) -> frozenset[str]:
    return frozenset(item.entry_uuid for item in items)


def _without_loose_ends(
    associations: Sequence[XdsAssociation], known: Collection[str]
) -> list[XdsAssociation]:
    """Return the associations between what is answered; a membership may be of one of them."""
    kept = {one.entry_uuid: one for one in associations}
    while True:
        present = {*known, *kept}
        tied = {k: one for k, one in kept.items() if {one.source, one.target} <= present}
        if len(tied) == len(kept):
            return list(tied.values())
        kept = tied
