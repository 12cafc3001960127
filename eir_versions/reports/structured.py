"""DICOM documents to plain words: SR trees, encapsulated PDF, key object selections (PS3.3 A.35).

Runs in a decoder child. The bytes are hostile until proved otherwise: the walk is a loop, not a
recursion, and stops after so many items and characters.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, BinaryIO

from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import integer, items, text, value_of
from eir_versions.reports.model import ReportLine, ReportStatus, ReportText
from image_archive.reading import read_dataset

# Basic, Enhanced and Comprehensive Text, Comprehensive 3D and Extensible SR: what people write.
# Dose, CAD and procedure logs are data of machines, no report.
REPORT_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (11, 22, 33, 34, 35)
)
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
MOST_LINES = 2_000
MOST_CHARACTERS = 200_000
MOST_PDF_BYTES = 64 * 1024 * 1024
_MOST_ITEMS = 20_000
_DEEPEST = 16
_LONGEST_NAME = 200
_MOST_SELECTED = 1_000
_SR, _PDF = "sr", "pdf"
_ABOUT_PEOPLE = frozenset({"PNAME", "UIDREF"})
_DATES = {"DATE": "Date", "TIME": "Time", "DATETIME": "DateTime"}


def read_report(source: BinaryIO) -> ReportText:
    """Return what the document says.

    A document without VERIFIED is not signed, whatever else it claims (PS3.3 C.17.2, C.24.2).

    Raises:
        UnrenderableInstanceError: it is no such document or has no PDF.
    """
    dataset = read_dataset(source, stop_before_pixels=True)
    sop_class, uid = text(dataset, "SOPClassUID"), text(dataset, "SOPInstanceUID")
    if sop_class not in REPORT_CLASSES and sop_class != PDF_CLASS:
        raise UnrenderableInstanceError(reasons.NO_IMAGE_OBJECTS)
    is_pdf = sop_class == PDF_CLASS
    title = _title(dataset)
    lines, cut = ([], False) if is_pdf else _lines(dataset)
    own = f"pdf:{text(dataset, 'StudyInstanceUID')}:{title}" if is_pdf else f"sop:{uid}"
    return ReportText(
        source_key=f"sop:{uid}",
        chain_key=_predecessor(dataset) or own[:128],
        kind=_PDF if is_pdf else _SR,
        status=_status(dataset),
        title=title,
        author=_author(dataset),
        issued_at=_issued_at(dataset),
        lines=tuple(lines),
        cut=cut,
        pdf=_pdf(dataset) if is_pdf else None,
    )


def report_answer(found: ReportText) -> tuple[dict[str, Any], bytes]:
    """Return the report as the head and the body of a message; the PDF follows the words."""
    words = {name: value for name, value in asdict(found).items() if name != "pdf"}
    words["issued_at"] = found.issued_at.isoformat() if found.issued_at else None
    encoded = json.dumps(words).encode()
    return {"words": len(encoded), "has_pdf": found.pdf is not None}, encoded + (found.pdf or b"")


def read_key_object(source: BinaryIO) -> tuple[str, list[tuple[str, int]]]:
    """Return the code of the title (scheme DCM) and what is selected: instance UID and frame.

    The frame is 0 where none is named. Content is taken, evidence where there is none.
    """
    dataset = read_dataset(source, stop_before_pixels=True)
    titles = items(dataset, "ConceptNameCodeSequence")
    dcm = bool(titles) and text(titles[0], "CodingSchemeDesignator") == "DCM"
    code = text(titles[0], "CodeValue") if dcm else ""
    selected = list(_selected(dataset)) or list(_evidence(dataset))
    return code, selected[:_MOST_SELECTED]


def _lines(dataset: Dataset) -> tuple[list[ReportLine], bool]:
    """Return the lines of the tree in reading order, and whether some were left out."""
    lines: list[ReportLine] = []
    pending = [(item, 0, False) for item in reversed(_children(dataset))]
    characters = seen = 0
    while pending:
        item, level, personal = pending.pop()
        seen += 1
        personal = personal or text(item, "RelationshipType") == "HAS OBS CONTEXT"
        line = _line(item, level, personal=personal)
        if line is not None:
            lines.append(line)
            characters += len(line.text) + len(line.name)
        if seen >= _MOST_ITEMS or len(lines) >= MOST_LINES or characters >= MOST_CHARACTERS:
            return lines, True
        if level < _DEEPEST:
            pending += [(child, level + 1, personal) for child in reversed(_children(item))]
    return lines, False


def _children(item: Dataset) -> list[Dataset]:
    return items(item, "ContentSequence")[:_MOST_ITEMS]


def _line(item: Dataset, level: int, *, personal: bool) -> ReportLine | None:
    kind = text(item, "ValueType").upper()
    name = _meaning(item, "ConceptNameCodeSequence")
    if kind == "CONTAINER":
        return ReportLine("", name, level, heading=True, personal=personal) if name else None
    said = _said(item, kind)
    if not said:
        return None
    return ReportLine(said, name, level, personal=personal or kind in _ABOUT_PEOPLE)


def _said(item: Dataset, kind: str) -> str:
    if kind == "TEXT":
        return _plain(str(value_of(item, "TextValue") or ""), MOST_CHARACTERS)
    if kind == "CODE":
        return _meaning(item, "ConceptCodeSequence")
    if kind == "NUM":
        return " ".join(filter(None, map(_measured, items(item, "MeasuredValueSequence")[:8])))
    if kind == "PNAME":
        return _name(item, "PersonName")
    return _plain(text(item, _DATES[kind])) if kind in _DATES else ""


def _measured(value: Dataset) -> str:
    units = items(value, "MeasurementUnitsCodeSequence")
    unit = _plain(text(units[0], "CodeValue")) if units else ""
    return f"{_plain(text(value, 'NumericValue'))} {'' if unit == '1' else unit}".strip()


def _meaning(item: Dataset, keyword: str) -> str:
    codes = items(item, keyword)
    if not codes:
        return ""
    return _plain(text(codes[0], "CodeMeaning") or text(codes[0], "CodeValue"))


def _title(dataset: Dataset) -> str:
    stated = _plain(text(dataset, "DocumentTitle"))
    return stated or _meaning(dataset, "ConceptNameCodeSequence")


def _status(dataset: Dataset) -> ReportStatus:
    verified = _flag(dataset, "VerificationFlag") == "VERIFIED"
    partial = "PARTIAL" in _flag(dataset, "CompletionFlag")
    if not verified or partial or "PRELIMINARY" in _flag(dataset, "PreliminaryFlag"):
        return ReportStatus.PRELIMINARY
    return ReportStatus.CORRECTED if _predecessor(dataset) else ReportStatus.FINAL


def _flag(dataset: Dataset, keyword: str) -> str:
    """Return a flag, which has one value; several are none of the words it may be."""
    return str(value_of(dataset, keyword) or "").strip().upper()


def _author(dataset: Dataset) -> str:
    verifiers = items(dataset, "VerifyingObserverSequence")
    return _name(verifiers[-1], "VerifyingObserverName") if verifiers else ""


def _name(item: Dataset, keyword: str) -> str:
    """Return a name as it is written: the ideographic group where there is one."""
    groups = str(value_of(item, keyword) or "").split("=")
    written = next((group for group in (*groups[1:2], groups[0]) if group.strip("^ ")), "")
    return " ".join(_plain(written).replace("^", " ").split())


def _predecessor(dataset: Dataset) -> str:
    for study in items(dataset, "PredecessorDocumentsSequence"):
        for series in items(study, "ReferencedSeriesSequence"):
            for one in items(series, "ReferencedSOPSequence"):
                uid = text(one, "ReferencedSOPInstanceUID")
                if uid:
                    return f"sop:{uid}"[:128]
    return ""


def _issued_at(dataset: Dataset) -> datetime | None:
    """When it was verified, else when its content was made; naive where no offset is given."""
    verifiers = items(dataset, "VerifyingObserverSequence")
    stamps = [text(verifiers[-1], "VerificationDateTime")] if verifiers else []
    stamps.append(text(dataset, "ContentDate") + text(dataset, "ContentTime"))
    offset = text(dataset, "TimezoneOffsetFromUTC")
    found = (_moment(stamp, offset) for stamp in stamps)
    return next((moment for moment in found if moment is not None), None)


def _moment(stamp: str, offset: str) -> datetime | None:
    digits, zone = stamp[:14], stamp[-5:] if stamp[-5:-4] in {"+", "-"} else offset
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits))
    try:
        made = datetime.strptime(digits, form).replace(tzinfo=_zone(zone)) if form else None
        return made.astimezone(UTC) if made and made.tzinfo else made
    except (ValueError, OverflowError):
        return None


def _zone(offset: str) -> timezone | None:
    try:
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    except (ValueError, IndexError):
        return None


def _pdf(dataset: Dataset) -> bytes:
    data = value_of(dataset, "EncapsulatedDocument")
    if not isinstance(data, bytes) or not data.startswith(b"%PDF-") or len(data) > MOST_PDF_BYTES:
        raise UnrenderableInstanceError(reasons.UNREADABLE)
    length = integer(dataset, "EncapsulatedDocumentLength", len(data))
    return data[:length] if 0 < length <= len(data) else data


def _selected(dataset: Dataset) -> Iterator[tuple[str, int]]:
    for item in items(dataset, "ContentSequence")[:_MOST_SELECTED]:
        for one in items(item, "ReferencedSOPSequence"):
            uid = text(one, "ReferencedSOPInstanceUID")
            if uid and text(item, "ValueType") in {"IMAGE", "COMPOSITE"}:
                yield uid, max(integer(one, "ReferencedFrameNumber", 0), 0)


def _evidence(dataset: Dataset) -> Iterator[tuple[str, int]]:
    for study in items(dataset, "CurrentRequestedProcedureEvidenceSequence"):
        for series in items(study, "ReferencedSeriesSequence"):
            for one in items(series, "ReferencedSOPSequence")[:_MOST_SELECTED]:
                yield text(one, "ReferencedSOPInstanceUID"), 0


def _plain(said: str, longest: int = _LONGEST_NAME) -> str:
    """Return the text without what could break or reorder a page; line ends stay."""
    kept = said.replace("\r\n", "\n").replace("\r", "\n")[:longest]
    return "".join(one for one in kept if one == "\n" or one.isprintable()).strip()
