"""Requests for images and for other communities as another system would write them."""

from collections.abc import Iterable

from lxml import etree

from tests.xds_registry import wire
from tests.xds_registry.wire import XDSB
from xds_registry.manifest_metadata import MANIFEST_FORMAT_CODE

XDSI = "urn:ihe:rad:xdsi-b:2009"
RAD69 = "urn:ihe:rad:2009:RetrieveImagingDocumentSet"
RAD75 = "urn:ihe:rad:2011:CrossGatewayRetrieveImagingDocumentSet"
ITI38 = "urn:ihe:iti:2007:CrossGatewayQuery"
ITI39 = "urn:ihe:iti:2007:CrossGatewayRetrieve"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"

Image = tuple[str, str, str]
"""Study, series, instance."""


def images(
    *wanted: Image,
    repository: str,
    home: str = "",
    syntaxes: Iterable[str] = (EXPLICIT,),
    action: str = RAD69,
) -> bytes:
    """Return a request for `wanted`, each image in a study and series element of its own."""
    body = etree.Element(f"{{{XDSI}}}RetrieveImagingDocumentSetRequest")
    for study_uid, series_uid, instance_uid in wanted:
        study = etree.SubElement(body, f"{{{XDSI}}}StudyRequest", studyInstanceUID=study_uid)
        series = etree.SubElement(study, f"{{{XDSI}}}SeriesRequest", seriesInstanceUID=series_uid)
        one = etree.SubElement(series, f"{{{XDSB}}}DocumentRequest")
        if home:
            etree.SubElement(one, f"{{{XDSB}}}HomeCommunityId").text = home
        etree.SubElement(one, f"{{{XDSB}}}RepositoryUniqueId").text = repository
        etree.SubElement(one, f"{{{XDSB}}}DocumentUniqueId").text = instance_uid
    listed = etree.SubElement(body, f"{{{XDSI}}}TransferSyntaxUIDList")
    for uid in syntaxes:
        etree.SubElement(listed, f"{{{XDSI}}}TransferSyntaxUID").text = uid
    return wire.envelope(body, action)


def documents(*wanted: tuple[str, str, str], action: str = wire.ITI43) -> bytes:
    """Return a request for documents given as (home, repository, document)."""
    body = etree.Element(f"{{{XDSB}}}RetrieveDocumentSetRequest")
    for home, repository, document in wanted:
        one = etree.SubElement(body, f"{{{XDSB}}}DocumentRequest")
        if home:
            etree.SubElement(one, f"{{{XDSB}}}HomeCommunityId").text = home
        etree.SubElement(one, f"{{{XDSB}}}RepositoryUniqueId").text = repository
        etree.SubElement(one, f"{{{XDSB}}}DocumentUniqueId").text = document
    return wire.envelope(body, action)


def find_documents(cx: str, return_type: str = "LeafClass", **options: str) -> bytes:
    """Return a FindDocuments query for the manifests of the patient `cx`, without versions."""
    code = MANIFEST_FORMAT_CODE
    slots = [
        ("$XDSDocumentEntryPatientId", f"'{cx}'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
        ("$XDSDocumentEntryFormatCode", f"('{code.code}^^{code.scheme}')"),
    ]
    return wire.query(wire.FIND_DOCUMENTS, slots, return_type, **options)


def homes(answer: etree._Element) -> list[str]:
    """Return the community of every registry object of an answer."""
    return [str(one.get("home")) for one in answer.find(f"{{{wire.RIM}}}RegistryObjectList")]


def values(answer: etree._Element, name: str) -> list[str]:
    """Return the texts of every element `name` of an answer."""
    return [str(one.text) for one in answer.iter(f"{{{XDSB}}}{name}")]
