"""ITI-41 and ITI-86 requests as a document source would write them."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lxml import etree

from tests.xds_registry import wire
from tests.xds_registry.samples import TOWNSHIP, entry, submission
from xds_registry.ebrim import leaf_class
from xds_registry.model import Code, DocumentEntry, Submission

ITI41 = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
ITI86 = "urn:ihe:iti:2017:RemoveDocuments"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
RMD = "urn:ihe:iti:rmd:2017"
STRUCTURED_REPORT = Code("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.2.6.1", "SR")
BOUNDARY = "MIMEBoundary_a1"
CONTENT_TYPE = (
    f'multipart/related; boundary="{BOUNDARY}"; type="application/xop+xml"; start="<root@test>"; '
    f'start-info="application/soap+xml"; action="{ITI41}"'
)


@dataclass(frozen=True)
class Sent:
    """One document as it is sent; `None` data is left out."""

    entry: DocumentEntry
    data: bytes | None = b"document"


def described(cx: str, name: str = "document", **changes: object) -> DocumentEntry:
    """Return what a source says of a document: neither hash nor size nor repository.

    It is called a structured report: of a manifest the repository would want to see one.
    """
    plain: dict[str, object] = {
        "format_code": STRUCTURED_REPORT,
        "patient_id": cx,
        "source_patient_id": f"L-1^^^&{TOWNSHIP.oid}&ISO",
        "sha1": "",
        "size": 0,
        "repository_unique_id": "",
    }
    return entry(name, **{**plain, **changes})


def objects(what: Submission) -> etree._Element:
    """Return the SubmitObjectsRequest of a submission."""
    request = etree.Element(f"{{{LCM}}}SubmitObjectsRequest")
    items = etree.SubElement(request, f"{{{wire.RIM}}}RegistryObjectList")
    for item in (what.submission_set, *what.folders, *what.entries, *what.associations):
        items.append(leaf_class(item))
    return request


def body(
    what: Submission, hrefs: Mapping[str, str], inline: Mapping[str, bytes] | None = None
) -> etree._Element:
    """Return the request: documents by entry id, as cid references or as base64."""
    root = etree.Element(f"{{{wire.XDSB}}}ProvideAndRegisterDocumentSetRequest")
    root.append(objects(what))
    for entry_id, href in hrefs.items():
        document = etree.SubElement(root, f"{{{wire.XDSB}}}Document", id=entry_id)
        etree.SubElement(document, f"{{{wire.XOP}}}Include", href=href)
    for entry_id, data in (inline or {}).items():
        document = etree.SubElement(root, f"{{{wire.XDSB}}}Document", id=entry_id)
        document.text = base64.encodebytes(data).decode()
    return root


def provide(*sent: Sent, what: Submission | None = None) -> bytes:
    """Return the MTOM body of a submission of these documents."""
    what = what or submission(*(one.entry for one in sent))
    given = [one for one in sent if one.data is not None]
    hrefs = {one.entry.entry_uuid: f"cid:part{n}@test" for n, one in enumerate(given)}
    parts = [(f"part{n}@test", one.data or b"") for n, one in enumerate(given)]
    return package(wire.envelope(body(what, hrefs), ITI41), parts)


def provide_inline(*sent: Sent) -> bytes:
    """Return the same as plain SOAP with base64 inside."""
    what = submission(*(one.entry for one in sent))
    inline = {one.entry.entry_uuid: one.data or b"" for one in sent}
    return wire.envelope(body(what, {}, inline), ITI41)


def package(root: bytes, parts: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an MTOM package for `CONTENT_TYPE`."""
    out = [_part("root@test", "application/xop+xml; charset=UTF-8", root)]
    out += [_part(name, "application/octet-stream", data) for name, data in parts]
    return b"".join(out) + f"--{BOUNDARY}--\r\n".encode()


def remove(*requests_: tuple[str, str]) -> bytes:
    root = etree.Element(f"{{{RMD}}}RemoveDocumentsRequest")
    for repository, document in requests_:
        one = etree.SubElement(root, f"{{{wire.XDSB}}}DocumentRequest")
        etree.SubElement(one, f"{{{wire.XDSB}}}RepositoryUniqueId").text = repository
        etree.SubElement(one, f"{{{wire.XDSB}}}DocumentUniqueId").text = document
    return wire.envelope(root, ITI86)


def sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def renamed(what: Submission, name: str) -> Submission:
    """Return the same submission under another submission set uniqueId."""
    fresh = submission(*what.entries, name=name)
    return replace(fresh, entries=what.entries)


def _part(content_id: str, content_type: str, data: bytes) -> bytes:
    head = (
        f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{content_id}>\r\n\r\n"
    )
    return head.encode() + data + b"\r\n"
