"""Documents as other systems would have provided them, registered about a person of the region."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from tests.viewer_api.pages.region import Region
from tests.xds_registry.samples import entry, submission
from xds_registry import store
from xds_registry.model import Author, Code, DocumentEntry
from xds_registry.repository import DocumentRepository, RepositoryDocument

LOINC = "2.16.840.1.113883.6.1"
FORMATS = "1.3.6.1.4.1.19376.1.2.3"
RADIOLOGY_REPORT = Code("11528-7", LOINC, "Radiology Report")
PDF_FORMAT = Code("urn:ihe:rad:PDF", FORMATS, "XDS-I PDF")
CDA_FORMAT = Code("urn:ihe:rad:TEXT", FORMATS, "CDA")
ECG_FORMAT = Code("1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.840.10008.2.6.1", "12-lead ECG")
KOS_FORMAT = Code("1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.2.6.1", "KOS")
EVIL = "<script>parent.hacked=1</script><img src=x onerror=parent.hacked=1>"


def pdf(text: str = "Chest CT: no nodule") -> bytes:
    """Return a small valid PDF that shows `text`."""
    drawn = f"BT /F1 24 Tf 60 740 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    written, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj%s endobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(written)
    return written + (
        b"xref\n0 6\n0000000000 65535 f \n" + table
        + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start
    )  # fmt: skip


def cda(body: str = "") -> bytes:
    """Return a CDA report with a table, a list and markup that must stay text."""
    narrative = body or (
        "<structuredBody><component><section><title>检查所见</title><text>"
        "<paragraph>双肺纹理清晰，<content>未见结节</content>。</paragraph>"
        "<table><thead><tr><th>部位</th><th>所见</th></tr></thead>"
        "<tbody><tr><td>右肺</td><td>清晰</td></tr></tbody></table>"
        "<list><item>建议随访</item></list></text></section></component>"
        "<component><section><title>诊断意见</title><text>第一行<br/>第二行 "
        f"{EVIL.replace('<', '&lt;').replace('>', '&gt;')}</text></section></component>"
        "</structuredBody>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<?xml-stylesheet type="text/xsl" href="http://evil.example/x.xsl"?>'
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><title>胸部 CT 检查报告</title>'
        f"<component>{narrative}</component></ClinicalDocument>"
    ).encode()


def wrapped(data: bytes, media_type: str = "application/pdf") -> bytes:
    """Return `data` as XDS-SD wraps it."""
    text = base64.b64encode(data).decode()
    return cda(
        f'<nonXMLBody><text mediaType="{media_type}" representation="B64">{text}</text>'
        "</nonXMLBody>"
    )


def put(region: Region, name: str, data: bytes | None, **changes: Any) -> DocumentEntry:
    """Register a document about the person known as L0427 at Sijing; without `data`, elsewhere."""
    ours = region.hub.settings.registry.repository_unique_id
    local = "L0427^^^&1.2.826.99.1&ISO"
    made = entry(
        name,
        **{
            "linked_identifier": local,
            "source_patient_id": local,
            "patient_id": local,
            "repository_unique_id": ours if data is not None else "1.2.3.999",
            "type_code": RADIOLOGY_REPORT,
            "authors": (Author(person="D1^王^医生", institutions=("市第一医院^^^^^&1.2&ISO",)),),
            "creation_time": "20261120023000",
        }
        | changes,
    )
    with region.database.unit_of_work() as work:
        if data is not None:
            repository = DocumentRepository(region.hub.base.backend, work.clock, ours)
            stored = repository.store(data)
            document = RepositoryDocument(made.unique_id, made.mime_type, stored)
            repository.record(work.session, document)
            made = replace(made, sha1=stored.sha1, size=stored.size)
        store.register(work.session, submission(made))
    return made


def address(document: DocumentEntry) -> str:
    """Return where the hub shows `document`."""
    return f"/documents/{document.entry_uuid.removeprefix('urn:uuid:')}"
