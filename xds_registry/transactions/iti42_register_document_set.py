"""ITI-42 Register Document Set-b: metadata of documents that a repository holds (ITI TF-2 3.42)."""

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import vocabulary as v
from xds_registry.ebrim_reading import SUBMIT_OBJECTS_TAG, read_submit_objects_request
from xds_registry.responses import registry_response
from xds_registry.submitting import Submitter
from xds_registry.transacting import Answer, AuditFact

ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"
ANSWER_ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-bResponse"
REQUEST_TAG = SUBMIT_OBJECTS_TAG


def register_document_set(body: etree._Element, session: Session, submitter: Submitter) -> Answer:
    """Register everything in a SubmitObjectsRequest.

    Raises:
        XdsRefusalsError: all that is wrong with the submission; nothing of it may be committed.
    """
    submission = submitter.prepare(session, read_submit_objects_request(body))
    submitter.register(session, submission)
    submission_set = submission.submission_set
    detail = f"{len(submission.entries)} documents, {len(submission.folders)} folders"
    fact = AuditFact("success", submission_set.unique_id, detail, "submission_set")
    return Answer(registry_response(v.RESPONSE_SUCCESS), (fact,))
