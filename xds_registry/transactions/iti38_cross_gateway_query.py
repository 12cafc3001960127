"""ITI-38 Cross Gateway Query: another community asks this one's registry (ITI TF-2 3.38).

The query is ITI-18's; what differs is the community: it has to be named where no patient is, and is
said of every object that comes back.
"""

from collections.abc import Callable

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gateways.merging import QUERY_RESPONSE, objects_of, stamp_homes
from xds_registry.gateways.querying import (
    CROSS_GATEWAY_QUERY,
    PATIENT_PARAMETERS,
    read_stored_query,
)
from xds_registry.transacting import Answer, Call

ACTION = CROSS_GATEWAY_QUERY
ANSWER_ACTION = "urn:ihe:iti:2007:CrossGatewayQueryResponse"
REQUEST_TAG = f"{{{v.QUERY}}}AdhocQueryRequest"
RESPONSE_TAG = QUERY_RESPONSE
_ERROR = f"{{{v.RS}}}RegistryError"


def cross_gateway_query(
    call: Call, local: Callable[[Call], Answer], home_community_id: str
) -> Answer:
    """Answer from this registry alone: a question is never passed on, so that none can go round.

    Raises:
        XdsRefusalError: the community is not named where it has to be, or is not this one.
    """
    query = read_stored_query(call.body)
    home = query.home_community_id
    if not home and query.query_id not in PATIENT_PARAMETERS:
        raise XdsRefusalError(ErrorCode.MISSING_HOME_COMMUNITY, "AdhocQuery/@home")
    if home not in {"", home_community_id}:
        raise XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, home)
    answer = local(call).whole()
    stamp_homes(objects_of(answer.payload), home_community_id)
    say_where(answer.payload, home_community_id)
    return answer


def say_where(payload: etree._Element, home_community_id: str) -> None:
    """Name this community in every error of an answer (ITI TF-2 3.38.4.1.3)."""
    for error in payload.iter(_ERROR):
        error.set("location", home_community_id)
