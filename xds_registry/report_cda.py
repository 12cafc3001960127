"""A report that is text alone as a document: CDA Release 2 with one section for each heading.

The text is what its author signed, word for word; who and when stand in the header (CDA R2 4.2).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from hub_kernel.identifiers import parse_cx
from xds_registry.model import Code, DocumentEntry

CDA = "urn:hl7-org:v3"
_GENDERS = {"M": "M", "F": "F"}
_GENDER_SCHEME = "2.16.840.1.113883.5.1"
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_INFORMATION = {"nullFlavor": "NI"}

Paragraph = tuple[str, str]
"""The heading of a paragraph, empty where it is that of the one before, and what it says."""


@dataclass(frozen=True)
class TextReport:
    """What a reader of the document reads; `entry` is how the registry describes it."""

    entry: DocumentEntry
    author: str
    paragraphs: Sequence[Paragraph]


def write_cda(report: TextReport) -> bytes:
    """Return the document; the same report gives the same bytes."""
    entry = report.entry
    root = etree.Element(f"{{{CDA}}}ClinicalDocument", nsmap={None: CDA})
    _add(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    _add(root, "id", root=entry.unique_id)
    _code(root, "code", entry.type_code)
    if entry.title:
        _add(root, "title", entry.title)
    _add(root, "effectiveTime", value=f"{entry.creation_time}+0000")
    _code(root, "confidentialityCode", entry.confidentiality_codes[0])
    _add(root, "languageCode", code=entry.language_code)
    _patient(root, entry)
    _author(root, report)
    _custodian(root, entry)
    _authenticator(root, report)
    body = _add(_add(root, "component"), "structuredBody")
    text: etree._Element | None = None
    for title, said in report.paragraphs or [("", "")]:
        if title or text is None:
            text = _section(body, title)
        _lines(_add(text, "paragraph"), said)
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return written


def _section(body: etree._Element, title: str) -> etree._Element:
    """Begin a section and return where its text goes."""
    section = _add(_add(body, "component"), "section")
    if title:
        _add(section, "title", title)
    return _add(section, "text")


def _patient(root: etree._Element, entry: DocumentEntry) -> None:
    """The patient as the study's site described them (sourcePatientInfo)."""
    said = dict(one.split("|", 1) for one in entry.source_patient_info)
    number, authority = parse_cx(entry.source_patient_id)
    role = _add(_add(root, "recordTarget"), "patientRole")
    _add(role, "id", extension=number, root=authority)
    patient = _add(role, "patient")
    family, given = (*said.get("PID-5", "").split("^"), "", "")[:2]
    name = _add(patient, "name", **({} if family or given else _NO_INFORMATION))
    for tag, part in (("family", family), ("given", given)):
        if part:
            _add(name, tag, part)
    gender = _GENDERS.get(said.get("PID-8", ""))
    coded = {"code": gender, "codeSystem": _GENDER_SCHEME} if gender else _NO_INFORMATION
    _add(patient, "administrativeGenderCode", **coded)
    if born := said.get("PID-7", ""):
        _add(patient, "birthTime", value=born)


def _author(root: etree._Element, report: TextReport) -> None:
    author = _add(root, "author")
    _add(author, "time", value=f"{report.entry.creation_time}+0000")
    assigned = _add(author, "assignedAuthor")
    _person(assigned, report.author)
    for institution in _institutions(report.entry):
        _add(_add(assigned, "representedOrganization"), "name", institution)


def _custodian(root: etree._Element, entry: DocumentEntry) -> None:
    custodian = _add(_add(root, "custodian"), "assignedCustodian")
    organization = _add(custodian, "representedCustodianOrganization")
    _add(organization, "id", root=entry.repository_unique_id)


def _authenticator(root: etree._Element, report: TextReport) -> None:
    if report.author:
        signed = _add(root, "legalAuthenticator")
        _add(signed, "time", value=f"{report.entry.creation_time}+0000")
        _add(signed, "signatureCode", code="S")
        _person(_add(signed, "assignedEntity"), report.author)


def _person(assigned: etree._Element, name: str) -> None:
    _add(assigned, "id", **_NO_INFORMATION)
    if name:
        _add(_add(assigned, "assignedPerson"), "name", name)


def _institutions(entry: DocumentEntry) -> Iterator[str]:
    for author in entry.authors:
        yield from (one.split("^")[0] for one in author.institutions[:1])


def _lines(paragraph: etree._Element, said: str) -> None:
    first, *more = _readable(said).split("\n")
    paragraph.text = first
    for line in more:
        _add(paragraph, "br").tail = line


def _code(parent: etree._Element, tag: str, code: Code) -> None:
    words = {"displayName": code.display} if code.display else {}
    _add(parent, tag, code=code.code, codeSystem=code.scheme, **words)


def _add(parent: etree._Element, tag: str, text: str = "", **attributes: str) -> etree._Element:
    kept: Mapping[str, str] = {name: _readable(value) for name, value in attributes.items()}
    child: etree._Element = etree.SubElement(parent, f"{{{CDA}}}{tag}", dict(kept))
    if text:
        child.text = _readable(text)
    return child


def _readable(text: str) -> str:
    """Return the text without what XML cannot hold; line ends are one sign each."""
    return _NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
