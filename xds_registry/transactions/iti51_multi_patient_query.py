"""ITI-51 Multi-Patient Stored Query: documents and folders of many patients by code (3.51).

Who may be seen is decided for each person, as for ITI-18; what is held back is not counted, so that
an answer does not tell that there is more. Candidates come from the index of codes, at most 5,000
of them, and are then matched as in every other query.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from lxml import etree
from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from xds_registry import store_reading as reading
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.model import RegistryObject
from xds_registry.query_answer import (
    MOST_OBJECTS,
    REQUEST_TAG,
    QueryAnswer,
    Run,
    Viewpoint,
    answer,
    refuse_too_many,
)
from xds_registry.query_asking import Asking
from xds_registry.store_codes import CLASS, EVENT, FACILITY, FOLDER, CodeAlternatives, carriers
from xds_registry.stored_queries import (
    FIND_DOCUMENTS_FILTERS,
    code_keys,
    document_filter,
    folder_filter,
    moment_of,
)
from xds_registry.tables import DocumentEntryRow, FolderRow

__all__ = ["ACTION", "ANSWER_ACTION", "REQUEST_TAG", "multi_patient_query"]

ACTION = "urn:ihe:iti:2009:MultiPatientStoredQuery"
ANSWER_ACTION = "urn:ihe:iti:2009:MultiPatientStoredQueryResponse"

_KIND_OF = {
    "$XDSDocumentEntryClassCode": CLASS,
    "$XDSDocumentEntryEventCodeList": EVENT,
    "$XDSDocumentEntryHealthcareFacilityTypeCode": FACILITY,
}
_FOLDER_CODES = "$XDSFolderCodeList"


def multi_patient_query(body: etree._Element, viewpoint: Viewpoint) -> QueryAnswer:
    """Answer an AdhocQueryRequest; what is refused comes back as a Failure response."""
    return answer(body, MULTI_PATIENT_QUERIES, viewpoint, single_patient=False)


def _find_documents(asking: Asking) -> list[RegistryObject]:
    """FindDocumentsForMultiplePatients, 3.51.4.1.2.3.1: at least one of three codes is needed."""
    parameters = asking.parameters
    statuses = asking.statuses("$XDSDocumentEntryStatus")
    if not any(parameters.all(name) for name in _KIND_OF):
        raise XdsRefusalError(ErrorCode.STORED_QUERY_MISSING_PARAM, " | ".join(_KIND_OF))
    wanted = document_filter(parameters, FIND_DOCUMENTS_FILTERS)
    where: list[ColumnElement[bool]] = [DocumentEntryRow.status.in_(statuses)]
    patients = parameters.all("$XDSDocumentEntryPatientId")
    if patients:
        where.append(DocumentEntryRow.linked_identifier.in_(_linked(asking, patients)))
    else:
        where += _carrying(asking, DocumentEntryRow.entry_uuid, _KIND_OF)
    found = reading.documents(asking.session, *where, limit=MOST_OBJECTS + 1)
    refuse_too_many(found)
    matching = (e for e in found if e.document_type in asking.document_types and wanted(e))
    return list(asking.versions_of_documents(matching))


def _find_folders(asking: Asking) -> list[RegistryObject]:
    """FindFoldersForMultiplePatients, 3.51.4.1.2.3.2: folder codes are needed."""
    parameters = asking.parameters
    statuses = asking.statuses("$XDSFolderStatus")
    parameters.several(_FOLDER_CODES)
    wanted = folder_filter(parameters)
    where: list[ColumnElement[bool]] = [FolderRow.status.in_(statuses)]
    patients = parameters.all("$XDSFolderPatientId")
    if patients:
        where.append(FolderRow.linked_identifier.in_(_linked(asking, patients)))
    else:
        where += _carrying(asking, FolderRow.entry_uuid, {_FOLDER_CODES: FOLDER})
    found = reading.folders(asking.session, *where, limit=MOST_OBJECTS + 1)
    refuse_too_many(found)
    return list(asking.versions_of_folders(folder for folder in found if wanted(folder)))


MULTI_PATIENT_QUERIES: Mapping[str, Run] = {
    "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f": _find_documents,
    "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df": _find_folders,
}


def _linked(asking: Asking, patients: Iterable[str]) -> frozenset[str]:
    return reduce(or_, (asking.linked(cx) for cx in patients), frozenset())


def _carrying(
    asking: Asking, uuid: "InstrumentedAttribute[str]", kinds: Mapping[str, str]
) -> list[ColumnElement[bool]]:
    """Return conditions that every object which carries the codes asked for fulfils."""
    parameters = asking.parameters
    start, end = (
        moment_of(parameters, f"$XDSDocumentEntryCreationTime{x}") for x in ("From", "To")
    )
    return [
        uuid.in_(carriers(CodeAlternatives(kind, code_keys(name, group)), start, end))
        for name, kind in kinds.items()
        for group in parameters.groups.get(name, ())
    ]
