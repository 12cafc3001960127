"""What a request for images asks for, as a value and as XML (RAD TF-3 4.69.4.1.2, 4.75.4.1.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim import xml_text
from xds_registry.soap import FaultCode, SoapFaultError

XDSI_B = "urn:ihe:rad:xdsi-b:2009"
REQUEST_TAG = f"{{{XDSI_B}}}RetrieveImagingDocumentSetRequest"
MOST_IMAGES = 10_000
_MOST_SYNTAXES = 100


@dataclass(frozen=True)
class ImageRequest:
    """One instance as it was asked for; any of the texts may be empty or no UID at all."""

    home_community_id: str
    repository_unique_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class ImagingRequest:
    """Instances, and the transfer syntaxes the asker can read, in no order of preference."""

    images: tuple[ImageRequest, ...]
    transfer_syntax_uids: tuple[str, ...]

    def of(self, images: Iterable[ImageRequest]) -> "ImagingRequest":
        """Return the same request for some of its `images`."""
        return ImagingRequest(tuple(images), self.transfer_syntax_uids)


def read_imaging_request(body: etree._Element) -> ImagingRequest:
    """Return what the RetrieveImagingDocumentSetRequest `body` asks for; each instance once.

    Raises:
        SoapFaultError: no instance is asked for, or too many.
    """
    images = tuple(dict.fromkeys(_images(body)))
    if not images or len(images) > MOST_IMAGES:
        raise SoapFaultError(
            FaultCode.SENDER,
            f"ask for 1 to {MOST_IMAGES} instances, each in its series and study",
            f"每次请求 1 至 {MOST_IMAGES} 个实例，并给出其序列和检查",
        )
    listed = body.iterfind(f"{_tag('TransferSyntaxUIDList')}/{_tag('TransferSyntaxUID')}")
    syntaxes = dict.fromkeys((element.text or "").strip() for element in listed)
    if len(syntaxes) > _MOST_SYNTAXES:
        raise SoapFaultError(
            FaultCode.SENDER,
            f"list at most {_MOST_SYNTAXES} transfer syntaxes",
            f"最多列出 {_MOST_SYNTAXES} 种传输语法",
        )
    return ImagingRequest(images, tuple(uid for uid in syntaxes if uid))


def write_imaging_request(request: ImagingRequest) -> etree._Element:
    """Return the RetrieveImagingDocumentSetRequest that asks for `request`."""
    root = etree.Element(REQUEST_TAG, nsmap={"xdsi": XDSI_B, "xdsb": v.XDS_B})
    studies: dict[str, etree._Element] = {}
    series: dict[tuple[str, str], etree._Element] = {}
    for image in request.images:
        study_uid, series_uid = image.study_instance_uid, image.series_instance_uid
        if study_uid not in studies:
            study = etree.SubElement(root, _tag("StudyRequest"))
            study.set("studyInstanceUID", xml_text(study_uid))
            studies[study_uid] = study
        if (study_uid, series_uid) not in series:
            one = etree.SubElement(studies[study_uid], _tag("SeriesRequest"))
            one.set("seriesInstanceUID", xml_text(series_uid))
            series[study_uid, series_uid] = one
        _document_request(series[study_uid, series_uid], image)
    syntaxes = etree.SubElement(root, _tag("TransferSyntaxUIDList"))
    for uid in request.transfer_syntax_uids:
        etree.SubElement(syntaxes, _tag("TransferSyntaxUID")).text = xml_text(uid)
    return root


def _images(body: etree._Element) -> Iterator[ImageRequest]:
    for study in body.iterfind(_tag("StudyRequest")):
        for series in study.iterfind(_tag("SeriesRequest")):
            for document in series.iterfind(f"{{{v.XDS_B}}}DocumentRequest"):
                home, repository, instance = (
                    (document.findtext(f"{{{v.XDS_B}}}{name}") or "").strip()
                    for name in ("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId")
                )
                yield ImageRequest(
                    home,
                    repository,
                    study.get("studyInstanceUID", "").strip(),
                    series.get("seriesInstanceUID", "").strip(),
                    instance,
                )


def _document_request(series: etree._Element, image: ImageRequest) -> None:
    element = etree.SubElement(series, f"{{{v.XDS_B}}}DocumentRequest")
    for name, value in (
        ("HomeCommunityId", image.home_community_id),
        ("RepositoryUniqueId", image.repository_unique_id),
        ("DocumentUniqueId", image.sop_instance_uid),
    ):
        if value:
            etree.SubElement(element, f"{{{v.XDS_B}}}{name}").text = xml_text(value)


def _tag(name: str) -> str:
    return f"{{{XDSI_B}}}{name}"
