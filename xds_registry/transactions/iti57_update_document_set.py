"""ITI-57 Update Document Set: new versions, states and associations (XDS Metadata Update, 3.57)."""

from collections.abc import Callable

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import vocabulary as v
from xds_registry.ebrim_reading import SUBMIT_OBJECTS_TAG, read_submit_objects_request
from xds_registry.responses import registry_response
from xds_registry.transacting import Answer, AuditFact
from xds_registry.updating import Updated, Updater

ACTION = "urn:ihe:iti:2010:UpdateDocumentSet"
ANSWER_ACTION = "urn:ihe:iti:2010:UpdateDocumentSetResponse"
REQUEST_TAG = SUBMIT_OBJECTS_TAG
Tell = Callable[[Updated], None]


def update_document_set(
    body: etree._Element, session: Session, updater: Updater, tell: Tell
) -> Answer:
    """Carry out the updates in a SubmitObjectsRequest, and `tell` of it in the same transaction.

    Raises:
        XdsRefusalsError: all that is wrong with them; nothing of it may be committed.
    """
    return _answer(body, session, updater, tell, restricted=False)


def restricted_update_document_set(
    body: etree._Element, session: Session, updater: Updater, tell: Tell
) -> Answer:
    """Carry out the updates in a SubmitObjectsRequest of ITI-92, and `tell` of it likewise.

    Raises:
        XdsRefusalsError: all that is wrong with them; nothing of it may be committed.
    """
    return _answer(body, session, updater, tell, restricted=True)


def _answer(
    body: etree._Element, session: Session, updater: Updater, tell: Tell, *, restricted: bool
) -> Answer:
    done = updater.update(session, read_submit_objects_request(body), restricted=restricted)
    tell(done)
    detail = f"{done.versions} versions, {done.changes} states, {done.additions} associations"
    fact = AuditFact("success", done.submission_set.unique_id, detail, "submission_set")
    return Answer(registry_response(v.RESPONSE_SUCCESS), (fact,))
