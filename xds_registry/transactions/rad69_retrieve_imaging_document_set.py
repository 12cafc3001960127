"""RAD-69 Retrieve Imaging Document Set: each image is given or named as missing (RAD TF-3 4.69)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim import xml_text
from xds_registry.imaging_documents import ImageOutcome, ImagingSource, find_images
from xds_registry.imaging_requests import REQUEST_TAG, ImagingRequest, read_imaging_request
from xds_registry.mtom import Attachment
from xds_registry.responses import registry_response

__all__ = [
    "ACTION",
    "ANSWER_ACTION",
    "REQUEST_TAG",
    "RESPONSE_TAG",
    "ImagingAnswer",
    "answer_images",
    "read_imaging_request",
]

ACTION = "urn:ihe:rad:2009:RetrieveImagingDocumentSet"
ANSWER_ACTION = "urn:ihe:rad:2009:RetrieveImagingDocumentSetResponse"
RESPONSE_TAG = f"{{{v.XDS_B}}}RetrieveDocumentSetResponse"
_MEDIA_TYPE = "application/dicom"


@dataclass(frozen=True)
class ImagingAnswer:
    """What goes back; the attachments follow the payload in the order of its references."""

    payload: etree._Element
    attachments: tuple[Attachment, ...]
    outcomes: tuple[ImageOutcome, ...]


def answer_images(request: ImagingRequest, source: ImagingSource) -> ImagingAnswer:
    """Answer for the images of this archive; nothing of one is read before its turn to be sent."""
    outcomes = find_images(request, source)
    payload = etree.Element(RESPONSE_TAG, nsmap={"xdsb": v.XDS_B, "xop": v.XOP})
    refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
    status = retrieval_status(asked=len(outcomes), refused=len(refusals))
    payload.append(registry_response(status, refusals))
    attachments: list[Attachment] = []
    numbers = count(1)
    for outcome in outcomes:
        if outcome.exported is not None:
            content_id = f"image-{next(numbers)}@eirhub"
            exported = outcome.exported
            attachments.append(Attachment(content_id, _MEDIA_TYPE, exported.size, exported.open))
            payload.append(_document_response(outcome, content_id))
    return ImagingAnswer(payload, tuple(attachments), tuple(outcomes))


def retrieval_status(*, asked: int, refused: int) -> str:
    """Return the status of an answer: all, none, or some (ITI TF-3 Table 4.2.4.2-3)."""
    if not refused:
        return v.RESPONSE_SUCCESS
    return v.RESPONSE_FAILURE if refused >= asked else v.RESPONSE_PARTIAL


def studies_of(outcomes: Sequence[ImageOutcome]) -> dict[str, list[ImageOutcome]]:
    """Return the outcomes by study: one access to a study is one record, however many images."""
    studies: dict[str, list[ImageOutcome]] = {}
    for outcome in outcomes:
        studies.setdefault(outcome.request.study_instance_uid, []).append(outcome)
    return studies


def _document_response(outcome: ImageOutcome, content_id: str) -> etree._Element:
    image = outcome.request
    element = etree.Element(f"{{{v.XDS_B}}}DocumentResponse")
    for name, value in (
        ("HomeCommunityId", image.home_community_id),
        ("RepositoryUniqueId", image.repository_unique_id),
        ("DocumentUniqueId", image.sop_instance_uid),
        ("mimeType", _MEDIA_TYPE),
    ):
        if value:
            etree.SubElement(element, f"{{{v.XDS_B}}}{name}").text = xml_text(value)
    content = etree.SubElement(element, f"{{{v.XDS_B}}}Document")
    etree.SubElement(content, f"{{{v.XOP}}}Include").set("href", f"cid:{content_id}")
    return element
