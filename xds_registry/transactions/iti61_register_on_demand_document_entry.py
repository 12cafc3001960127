"""ITI-61 Register On-Demand Document Entry: documents that are made when asked for (3.61)."""

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import vocabulary as v
from xds_registry.ebrim_reading import SUBMIT_OBJECTS_TAG, read_submit_objects_request
from xds_registry.responses import registry_response
from xds_registry.submitting import Submitter
from xds_registry.transacting import Answer, AuditFact
from xds_registry.validation_structure import REGISTER_ON_DEMAND

ACTION = "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"
ANSWER_ACTION = "urn:ihe:iti:2010:RegisterOnDemandDocumentEntryResponse"
REQUEST_TAG = SUBMIT_OBJECTS_TAG


def register_on_demand(body: etree._Element, session: Session, submitter: Submitter) -> Answer:
    """Register the on-demand entries in a SubmitObjectsRequest.

    Raises:
        XdsRefusalsError: all that is wrong with the submission; nothing of it may be committed.
    """
    reading = read_submit_objects_request(body)
    submission = submitter.prepare(session, reading, REGISTER_ON_DEMAND)
    submitter.register(session, submission)
    detail = f"{len(submission.entries)} on-demand documents"
    own = submission.submission_set.unique_id
    fact = AuditFact("success", own, detail, "submission_set")
    return Answer(registry_response(v.RESPONSE_SUCCESS), (fact,))
