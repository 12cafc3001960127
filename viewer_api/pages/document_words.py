"""Registered documents in the reader's words: what it is, from when, by whom, in which form.

A code without a word is shown with the text it was registered with: no document is hidden because a
table is short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import parse_cx
from viewer_api.pages.language import local_time
from viewer_api.pages.words import gettext, lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from viewer_api.pages.people import SiteBook
    from viewer_api.pages.words import LazyText
    from xds_registry.model import DocumentEntry
    from xds_registry.person_documents import PersonDocument

_URN = "urn:uuid:"
_LOINC = "2.16.840.1.113883.6.1"
_WS_T_500 = "2.16.156.10011.2.4"
_KOS = "1.2.840.10008.5.1.4.1.1.88.59"
_ECG_PREFIX = "1.2.840.10008.5.1.4.1.1.9."

# typeCode by (scheme, code): LOINC, and the documents of WS/T 500 that leave their institution.
TYPE_WORDS: Mapping[tuple[str, str], LazyText] = {
    (_LOINC, "11528-7"): lazy_gettext("Radiology report"),
    (_LOINC, "18726-0"): lazy_gettext("Radiology report"),
    (_LOINC, "18748-4"): lazy_gettext("Imaging report"),
    (_LOINC, "18747-6"): lazy_gettext("CT report"),
    (_LOINC, "18755-9"): lazy_gettext("MR report"),
    (_LOINC, "18760-9"): lazy_gettext("Ultrasound report"),
    (_LOINC, "18782-3"): lazy_gettext("X-ray report"),
    (_LOINC, "24606-6"): lazy_gettext("Mammography report"),
    (_LOINC, "18745-0"): lazy_gettext("Cardiac catheterization report"),
    (_LOINC, "18746-8"): lazy_gettext("Colonoscopy report"),
    (_LOINC, "18751-8"): lazy_gettext("Endoscopy report"),
    (_LOINC, "11524-6"): lazy_gettext("Electrocardiogram"),
    (_LOINC, "34552-0"): lazy_gettext("Cardiac ultrasound report"),
    (_LOINC, "60567-5"): lazy_gettext("Pathology report"),
    (_LOINC, "60568-3"): lazy_gettext("Pathology report"),
    (_LOINC, "11502-2"): lazy_gettext("Laboratory report"),
    (_LOINC, "26436-6"): lazy_gettext("Laboratory report"),
    (_LOINC, "11488-4"): lazy_gettext("Consultation note"),
    (_LOINC, "57133-1"): lazy_gettext("Referral letter"),
    (_LOINC, "18761-7"): lazy_gettext("Transfer summary"),
    (_LOINC, "18842-5"): lazy_gettext("Discharge summary"),
    (_LOINC, "34133-9"): lazy_gettext("Episode summary"),
    (_LOINC, "60591-5"): lazy_gettext("Patient summary"),
    (_LOINC, "34117-2"): lazy_gettext("Medical history"),
    (_LOINC, "11506-3"): lazy_gettext("Progress note"),
    (_LOINC, "28570-0"): lazy_gettext("Procedure note"),
    (_LOINC, "11504-8"): lazy_gettext("Operation note"),
    (_LOINC, "57833-6"): lazy_gettext("Prescription"),
    (_LOINC, "60593-1"): lazy_gettext("Dispensed medication"),
    (_LOINC, "11369-6"): lazy_gettext("Immunizations"),
    (_LOINC, "57016-8"): lazy_gettext("Consent form"),
    (_LOINC, "57017-6"): lazy_gettext("Privacy policy"),
    (_LOINC, "55115-0"): lazy_gettext("Imaging order"),
    (_WS_T_500, "C0001"): lazy_gettext("Medical history"),
    (_WS_T_500, "C0002"): lazy_gettext("Outpatient record"),
    (_WS_T_500, "C0004"): lazy_gettext("Prescription"),
    (_WS_T_500, "C0005"): lazy_gettext("Prescription"),
    (_WS_T_500, "C0006"): lazy_gettext("Examination report"),
    (_WS_T_500, "C0007"): lazy_gettext("Laboratory report"),
    (_WS_T_500, "C0009"): lazy_gettext("Operation note"),
    (_WS_T_500, "C0034"): lazy_gettext("Admission record"),
    (_WS_T_500, "C0053"): lazy_gettext("Discharge summary"),
}
# What the format alone tells better than the type does.
FORMAT_WORDS: Mapping[str, LazyText] = {
    _KOS: lazy_gettext("Images kept elsewhere"),
    "urn:ihe:rad:MADO:fhir-manifest:2026": lazy_gettext("Images kept elsewhere"),
}
MEDIA_WORDS: Mapping[str, LazyText] = {
    "application/pdf": lazy_gettext("PDF"),
    "application/dicom": lazy_gettext("DICOM file"),
    "application/dicom+json": lazy_gettext("DICOM file"),
    "application/fhir+json": lazy_gettext("FHIR data"),
    "application/fhir+xml": lazy_gettext("FHIR data"),
    "application/hl7-v3+xml": lazy_gettext("CDA document"),
    "application/xml": lazy_gettext("CDA document"),
    "text/xml": lazy_gettext("CDA document"),
    "text/plain": lazy_gettext("Text"),
    "text/html": lazy_gettext("Web page"),
    "video/mp4": lazy_gettext("Video"),
}


@dataclass(frozen=True)
class DocumentCard:
    """One document on the axis and at the head of its page; texts are empty where unknown."""

    entry_id: str
    kind: str
    title: str
    day: date | None
    clock: str
    institution: str
    site_ids: frozenset[str]
    author: str
    media: str
    is_here: bool


def document_card(document: PersonDocument, book: SiteBook) -> DocumentCard:
    """Return `document` in the reader's words."""
    entry = document.entry
    kind = kind_word(entry)
    made = local_moment(entry.service_start_time or entry.creation_time)
    sites = _sites(entry, book)
    author = next((one for one in entry.authors if one.person or one.institutions), None)
    names = [book.name(site_id) for site_id in sites]
    institution = author.institutions[0].split("^")[0] if author and author.institutions else ""
    return DocumentCard(
        entry_id=entry.entry_uuid.removeprefix(_URN),
        kind=kind,
        title="" if entry.title == kind else entry.title,
        day=made.date() if made else _day(entry.service_start_time or entry.creation_time),
        clock=f"{made:%H:%M}" if made else "",
        institution=institution or " · ".join(names),
        site_ids=frozenset(sites),
        author=_person(author.person) if author else "",
        media=media_word(entry.mime_type),
        is_here=document.is_here,
    )


def is_manifest(entry: DocumentEntry) -> bool:
    """Tell whether it lists images rather than says something itself."""
    return entry.format_code.code in FORMAT_WORDS


def kind_word(entry: DocumentEntry) -> str:
    """Return what kind of document it is."""
    by_format = FORMAT_WORDS.get(entry.format_code.code)
    if by_format is not None:
        return str(by_format)
    if entry.format_code.code.startswith(_ECG_PREFIX):
        return gettext("Electrocardiogram")
    by_type = TYPE_WORDS.get((entry.type_code.scheme, entry.type_code.code))
    return str(by_type or "") or entry.type_code.display or gettext("Document")


def media_word(media_type: str) -> str:
    """Return the form the bytes have."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain.startswith("image/"):
        return gettext("Picture")
    return str(MEDIA_WORDS.get(plain, plain))


def local_moment(dtm: str) -> datetime | None:
    """Return a DTM with hours (in UTC) at the hub's region, None where it is no exact moment."""
    form = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(dtm))
    if form is None:
        return None
    try:
        return datetime.strptime(dtm, form).replace(tzinfo=UTC).astimezone(local_time())
    except ValueError:
        return None  # a leap second, or a day no month has


def _day(dtm: str) -> date | None:
    try:
        return datetime.strptime(dtm[:8], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _sites(entry: DocumentEntry, book: SiteBook) -> list[str]:
    """Return the sites whose patient number the source gave."""
    try:
        _, oid = parse_cx(entry.source_patient_id)
    except InvalidValueError:
        return []
    return [site.site_id for site in book.all() if site.assigning_authority.oid == oid]


def _person(xcn: str) -> str:
    """Return the name in an XCN (identifier^family^given…), or the identifier without one."""
    parts = xcn.split("^")
    name = [part for part in parts[1:3] if part]
    joined = (
        "".join(name)
        if any(ord(letter) > 0x2E80 for letter in "".join(name))
        else " ".join(reversed(name))
    )
    return joined or parts[0]
