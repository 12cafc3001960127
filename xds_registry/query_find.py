"""Find queries: objects of one patient by what they are like (ITI TF-2 3.18.4.1.2.3.7.1 to .4)."""

from collections.abc import Collection

from xds_registry import store_reading as reading
from xds_registry.model import DocumentEntry, Folder, RegistryObject, SubmissionSet
from xds_registry.query_asking import Asking
from xds_registry.store_content import entry_of, outline_of
from xds_registry.stored_queries import (
    FIND_DOCUMENTS_FILTERS,
    GET_ALL_FILTERS,
    REFERENCE_FILTERS,
    document_filter,
    folder_filter,
    submission_set_filter,
)
from xds_registry.tables import FolderRow, SubmissionSetRow

_DOCUMENT_PATIENT = "$XDSDocumentEntryPatientId"


def find_documents(asking: Asking) -> list[RegistryObject]:
    """FindDocuments, 3.18.4.1.2.3.7.1."""
    patient = asking.parameters.required(_DOCUMENT_PATIENT)
    return list(documents_of(asking, patient, FIND_DOCUMENTS_FILTERS))


def find_documents_by_reference_id(asking: Asking) -> list[RegistryObject]:
    """FindDocumentsByReferenceId, 3.18.4.1.2.3.7.14."""
    patient = asking.parameters.required(_DOCUMENT_PATIENT)
    asking.parameters.several("$XDSDocumentEntryReferenceIdList")
    return list(documents_of(asking, patient, REFERENCE_FILTERS))


def find_submission_sets(asking: Asking) -> list[RegistryObject]:
    """FindSubmissionSets, 3.18.4.1.2.3.7.2."""
    patient = asking.parameters.required("$XDSSubmissionSetPatientId")
    wanted = submission_set_filter(asking.parameters)
    return [item for item in _submission_sets_of(asking, patient) if wanted(item)]


def find_folders(asking: Asking) -> list[RegistryObject]:
    """FindFolders, 3.18.4.1.2.3.7.3."""
    patient = asking.parameters.required("$XDSFolderPatientId")
    wanted = folder_filter(asking.parameters)
    return [item for item in folders_of(asking, patient) if wanted(item)]


def get_all(asking: Asking) -> list[RegistryObject]:
    """GetAll, 3.18.4.1.2.3.7.4: everything of a patient, and what ties it together."""
    patient = asking.parameters.required("$patientId")
    found: list[DocumentEntry | SubmissionSet | Folder] = [
        *documents_of(asking, patient, GET_ALL_FILTERS),
        *_submission_sets_of(asking, patient),
        *folders_of(asking, patient),
    ]
    uuids = [item.entry_uuid for item in found]
    return [*found, *reading.associations_at(asking.session, uuids, asking.wanted())]


def documents_of(asking: Asking, patient: str, filters: Collection[str]) -> list[DocumentEntry]:
    """Return the documents of `patient` that pass the given parameters among `filters`.

    In outline, where references are wanted and no parameter looks at more.
    """
    statuses = asking.statuses("$XDSDocumentEntryStatus")
    wanted, types = document_filter(asking.parameters, filters), asking.document_types
    linked = asking.linked(patient)
    unfiltered = asking.parameters.groups.keys().isdisjoint(filters)
    read = outline_of if asking.references and unfiltered else entry_of
    found = (
        entry
        for entry in reading.documents_of(asking.session, linked, statuses, read)
        if entry.document_type in types and wanted(entry)
    )
    return asking.versions_of_documents(found)


def folders_of(asking: Asking, patient: str) -> list[Folder]:
    """Return the folders of `patient`, of the statuses asked for."""
    statuses = asking.statuses("$XDSFolderStatus")
    return asking.versions_of_folders(
        reading.folders(
            asking.session,
            FolderRow.linked_identifier.in_(asking.linked(patient)),
            FolderRow.status.in_(statuses),
        )
    )


def _submission_sets_of(asking: Asking, patient: str) -> list[SubmissionSet]:
    statuses = asking.statuses("$XDSSubmissionSetStatus")
    return reading.submission_sets(
        asking.session,
        SubmissionSetRow.linked_identifier.in_(asking.linked(patient)),
        SubmissionSetRow.status.in_(statuses),
    )
