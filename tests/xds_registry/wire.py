"""SOAP messages as another system would write them, and their answers taken apart."""

from collections.abc import Sequence
from email.parser import BytesParser

import requests
from lxml import etree

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
XDSB = "urn:ihe:iti:xds-b:2007"
XOP = "http://www.w3.org/2004/08/xop/include"

FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
FIND_SUBMISSION_SETS = "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9"
GET_ALL = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
GET_DOCUMENTS = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
GET_ASSOCIATIONS = "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155"
GET_DOCUMENTS_AND_ASSOCIATIONS = "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a"
GET_SUBMISSION_SETS = "urn:uuid:51224314-5390-4169-9b91-b1980040715a"
GET_SUBMISSION_SET_AND_CONTENTS = "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83"
GET_RELATED_DOCUMENTS = "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6"
FIND_DOCUMENTS_BY_REFERENCE_ID = "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492"
FIND_FOLDERS = "urn:uuid:958f3006-baad-4929-a4de-ff1114824431"
GET_FOLDERS = "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4"
GET_FOLDER_AND_CONTENTS = "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7"
GET_FOLDERS_FOR_DOCUMENT = "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578"
FIND_DOCUMENTS_FOR_MULTIPLE_PATIENTS = "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f"
FIND_FOLDERS_FOR_MULTIPLE_PATIENTS = "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df"
APPROVED = "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')"
DEPRECATED = "('urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated')"
ITI18 = "urn:ihe:iti:2007:RegistryStoredQuery"
ITI51 = "urn:ihe:iti:2009:MultiPatientStoredQuery"
ITI43 = "urn:ihe:iti:2007:RetrieveDocumentSet"

Slots = Sequence[tuple[str, str]]


def envelope(body: etree._Element, action: str, reply_to: str = "") -> bytes:
    root = etree.Element(f"{{{SOAP}}}Envelope")
    header = etree.SubElement(root, f"{{{SOAP}}}Header")
    for name, text in (("Action", action), ("MessageID", "urn:uuid:m-1")):
        etree.SubElement(header, f"{{{WSA}}}{name}").text = text
    if reply_to:
        to = etree.SubElement(header, f"{{{WSA}}}ReplyTo")
        etree.SubElement(to, f"{{{WSA}}}Address").text = reply_to
    etree.SubElement(root, f"{{{SOAP}}}Body").append(body)
    return etree.tostring(root)


def query(
    query_id: str,
    slots: Slots,
    return_type: str = "LeafClass",
    *,
    action: str = ITI18,
    home: str = "",
) -> bytes:
    request = etree.Element(f"{{{QUERY}}}AdhocQueryRequest")
    option = etree.SubElement(request, f"{{{QUERY}}}ResponseOption")
    option.set("returnType", return_type)
    option.set("returnComposedObjects", "true")
    adhoc = etree.SubElement(request, f"{{{RIM}}}AdhocQuery", id=query_id)
    if home:
        adhoc.set("home", home)
    for name, value in slots:
        slot = etree.SubElement(adhoc, f"{{{RIM}}}Slot", name=name)
        values = etree.SubElement(slot, f"{{{RIM}}}ValueList")
        etree.SubElement(values, f"{{{RIM}}}Value").text = value
    return envelope(request, action)


def retrieve(*requests_: tuple[str, str], home: str = "") -> bytes:
    body = etree.Element(f"{{{XDSB}}}RetrieveDocumentSetRequest")
    for repository, document in requests_:
        one = etree.SubElement(body, f"{{{XDSB}}}DocumentRequest")
        if home:
            etree.SubElement(one, f"{{{XDSB}}}HomeCommunityId").text = home
        etree.SubElement(one, f"{{{XDSB}}}RepositoryUniqueId").text = repository
        etree.SubElement(one, f"{{{XDSB}}}DocumentUniqueId").text = document
    return envelope(body, ITI43)


def payload(response: requests.Response) -> etree._Element:
    """Return the element in the Body of a plain SOAP answer."""
    assert response.headers["Content-Type"].startswith("application/soap+xml"), response.text
    return etree.fromstring(response.content).find(f"{{{SOAP}}}Body")[0]


def unpack(response: requests.Response) -> tuple[etree._Element, dict[str, bytes]]:
    """Return the payload of an MTOM answer, its documents inlined, and the parts by content id."""
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    root, *parts = BytesParser().parsebytes(head + response.content).get_payload()
    documents = {p["Content-ID"].strip("<>"): p.get_payload(decode=True) for p in parts}
    body = etree.fromstring(root.get_payload(decode=True)).find(f"{{{SOAP}}}Body")[0]
    return body, documents


def status(answer: etree._Element) -> str:
    found = answer if answer.get("status") else answer.find("{*}RegistryResponse")
    return str(found.get("status")).rpartition(":")[2]


def errors(answer: etree._Element) -> list[str]:
    return [str(one.get("errorCode")) for one in answer.iter("{*}RegistryError")]


def objects(answer: etree._Element, name: str) -> list[str]:
    """Return the ids of the answer's objects of that kind."""
    return [
        str(one.get("id"))
        for one in answer.iterfind(f".//{{{RIM}}}RegistryObjectList/{{{RIM}}}{name}")
    ]
