"""RAD-75 Cross Gateway Retrieve Imaging Document Set: images for others (RAD TF-3 4.75)."""

from collections.abc import Callable

from xds_registry.gateways.merging import RETRIEVE_RESPONSE
from xds_registry.gateways.retrieving import CROSS_GATEWAY_IMAGES, images_asked
from xds_registry.imaging_requests import REQUEST_TAG, ImagingRequest
from xds_registry.transacting import Answer
from xds_registry.transactions.iti39_cross_gateway_retrieve import with_refusals

__all__ = ["ACTION", "ANSWER_ACTION", "REQUEST_TAG", "RESPONSE_TAG", "cross_gateway_images"]

ACTION = CROSS_GATEWAY_IMAGES
ANSWER_ACTION = "urn:ihe:rad:2011:CrossGatewayRetrieveImagingDocumentSetResponse"
RESPONSE_TAG = RETRIEVE_RESPONSE


def cross_gateway_images(
    request: ImagingRequest, local: Callable[[ImagingRequest], Answer], home_community_id: str
) -> Answer:
    """Answer from this archive alone, for each image that names this community."""
    items = images_asked(request)
    own = [item.image for item in items if item.home == home_community_id]
    others = [item for item in items if item.home != home_community_id]
    answer = local(request.of(own)) if own else None
    return with_refusals(answer, others, home_community_id)
