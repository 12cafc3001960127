"""ITI-39 Cross Gateway Retrieve: documents for another community (ITI TF-2 3.39)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gateways.merging import RETRIEVE_RESPONSE, Merged, errors_of, responses_of
from xds_registry.gateways.retrieving import (
    CROSS_GATEWAY_RETRIEVE,
    Item,
    documents_asked,
    request_for,
)
from xds_registry.transacting import Answer, AuditFact, Call

ACTION = CROSS_GATEWAY_RETRIEVE
ANSWER_ACTION = "urn:ihe:iti:2007:CrossGatewayRetrieveResponse"
REQUEST_TAG = f"{{{v.XDS_B}}}RetrieveDocumentSetRequest"
RESPONSE_TAG = RETRIEVE_RESPONSE
_LONGEST_ID = 128


def cross_gateway_retrieve(
    call: Call, local: Callable[[Call], Answer], home_community_id: str
) -> Answer:
    """Answer from this repository alone, for each document that names this community.

    Raises:
        SoapFaultError: no document is asked for, or too many.
    """
    items = list(documents_asked(call.body))
    own = [item for item in items if item.home == home_community_id]
    if not own and items:
        return with_refusals(None, items, home_community_id)
    body = request_for(own) if own else call.body
    others = [item for item in items if item.home != home_community_id]
    return with_refusals(local(replace(call, body=body)), others, home_community_id)


def with_refusals(answer: Answer | None, others: Sequence[Item], home_community_id: str) -> Answer:
    """Return `answer` with the refusals of what names no community, or not this one, added.

    Every error says that it comes from here.
    """
    merged = Merged()
    facts: list[AuditFact] = []
    attachments = answer.attachments if answer else ()
    if answer is not None:
        merged = Merged(
            1, responses_of(answer.payload), errors_of(answer.payload, home_community_id)
        )
        facts += answer.facts
    refusals = [_refusal(item) for item in others]
    merged.refuse(refusals)
    facts += [
        AuditFact("refused", item.owner_id[:_LONGEST_ID], str(refusal))
        for item, refusal in zip(others, refusals, strict=True)
    ]
    payload: etree._Element = merged.as_retrieve_response()
    return Answer(payload, tuple(facts), attachments)


def _refusal(item: Item) -> XdsRefusalError:
    if not item.home:
        return XdsRefusalError(ErrorCode.MISSING_HOME_COMMUNITY, item.unique_id)
    return XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, item.home)
