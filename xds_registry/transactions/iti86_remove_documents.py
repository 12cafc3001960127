"""ITI-86 Remove Documents: documents leave the repository for good (IHE RMD supplement, 3.86).

The registry's metadata are another matter: ITI-62 removes them. Each document is removed or named
with the reason why not; some of each is PartialSuccess.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree
from sqlalchemy import select
from sqlalchemy.orm import Session

from xds_registry import store
from xds_registry.errors import ErrorCode, ErrorText, XdsRefusalError
from xds_registry.gate import HELD, Gate, ItemHeld
from xds_registry.report_documents import is_own_report
from xds_registry.repository import DocumentRepository, RepositoryDocument
from xds_registry.repository_intake import DocumentIntake
from xds_registry.responses import registry_response
from xds_registry.tables import StudyManifestRow
from xds_registry.transacting import Answer, AuditFact, Call
from xds_registry.transactions.iti43_retrieve_document_set import (
    DocumentRequest,
    read_document_requests,
    status_of,
)
from xds_registry.version_documents import is_own_version

ACTION = "urn:ihe:iti:2017:RemoveDocuments"
ANSWER_ACTION = "urn:ihe:iti:2017:RemoveDocumentsResponse"
RMD = "urn:ihe:iti:rmd:2017"
REQUEST_TAG = f"{{{RMD}}}RemoveDocumentsRequest"
_LONGEST_ID = 128
_OWN_DOCUMENT = ErrorText(
    "this document describes a study in the archive and is kept in step with it; reject the study's"
    " instances in the archive, or take the report back where it came from, and the document"
    " follows",
    "该文档由影像归档中的检查自动生成并保持同步，不能单独删除；请在归档中作废相应影像，或由来源系统撤回报告，"
    "文档会随之更新",
)


@dataclass(frozen=True)
class Removal:
    """Where documents are removed, and as whom; `is_derived` knows what the hub itself wrote.

    Whatever `is_held` says that an entry describes is kept.
    """

    repository: DocumentRepository
    intake: DocumentIntake
    gate: Gate
    home_community_id: str
    is_derived: Callable[[Session, str], bool]
    is_held: ItemHeld


def remove_documents(call: Call, removal: Removal) -> Answer:
    """Carry out a RemoveDocumentsRequest.

    Raises:
        SoapFaultError: no document is named, or too many.
    """
    requests = read_document_requests(call.body)
    refusals: list[XdsRefusalError] = []
    facts = []
    for request in requests:
        unique_id = request.document_unique_id[:_LONGEST_ID]
        try:
            document = _removable(call.session, request, removal)
        except XdsRefusalError as refusal:
            refusals.append(refusal)
            facts.append(AuditFact("refused", unique_id, str(refusal)))
            continue
        removal.repository.forget(call.session, document)
        removal.intake.release(call.session, [document.stored.storage_key])
        facts.append(AuditFact("success", unique_id))
    payload: etree._Element = registry_response(status_of(len(requests), len(refusals)), refusals)
    return Answer(payload, tuple(facts))


def is_own_document(session: Session, unique_id: str) -> bool:
    """Tell whether the hub made this document, manifest, version or report, of a study here."""
    found = session.scalar(
        select(StudyManifestRow.unique_id).where(StudyManifestRow.unique_id == unique_id).limit(1)
    )
    if found is not None:
        return True
    return is_own_version(session, unique_id) or is_own_report(session, unique_id)


def _removable(session: Session, request: DocumentRequest, removal: Removal) -> RepositoryDocument:
    """Return the document to remove.

    Raises:
        XdsRefusalError: not ours, not there, not for this administrator, derived from DICOM,
            or held.
    """
    ours, unique_id = removal.repository.repository_unique_id, request.document_unique_id
    if request.home_community_id not in {"", removal.home_community_id}:
        raise XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, request.home_community_id)
    if request.repository_unique_id != ours:
        raise XdsRefusalError(ErrorCode.UNKNOWN_REPOSITORY, request.repository_unique_id, ours)
    found = removal.repository.find(session, [unique_id])
    entries = store.documents_by_unique_id(session, [unique_id])
    # Metadata may have gone first (ITI-62): what nobody describes any more is the region's alone.
    allowed = any(map(removal.gate.sees, entries)) if entries else removal.gate.sees_person("")
    if not found or not allowed:
        raise XdsRefusalError(ErrorCode.DOCUMENT_UNIQUE_ID, unique_id)
    if removal.is_derived(session, unique_id):
        raise XdsRefusalError(ErrorCode.REPOSITORY_ERROR, unique_id, rule=_OWN_DOCUMENT)
    if any(removal.is_held(session, entry) for entry in entries):
        raise XdsRefusalError(ErrorCode.REPOSITORY_ERROR, unique_id, rule=HELD)
    return found[0]
