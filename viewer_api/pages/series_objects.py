"""Series that hold no pictures, as what they are: reports, PDF, key objects, presentation states.

Structured reports (PS3.3 A.35), encapsulated documents (A.45), key object selections (A.35.4) and
presentation states (A.33). Whatever the objects say is untrusted: text is text, links lead only to
pictures of the same study.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eir_versions.presentation_states import is_left_out
from viewer_api.pages.content_tree import ContentLine, content_lines
from viewer_api.pages.referenced_pictures import PictureLink, picture_links
from viewer_api.pages.slice_facts import header_of
from viewer_api.pages.unapplied_states import would_show
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

    from image_archive.model import InstanceRecord, SeriesRecord
    from viewer_api.pages.words import LazyText

MOST_OBJECTS = 20
_PDF = "application/pdf"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# The first row whose beginning fits says what kind of object a SOP class is.
_KINDS: tuple[tuple[str, str, LazyText], ...] = (
    ("88.59", "selection", lazy_gettext("Key images")),
    ("88.", "report", lazy_gettext("Structured report")),
    ("11.", "presentation", lazy_gettext("Presentation state")),
    ("104.1", "pdf", lazy_gettext("PDF document")),
    ("104.", "other", lazy_gettext("Enclosed document")),
    ("9.", "other", lazy_gettext("Waveforms")),
    ("481.", "other", lazy_gettext("Radiotherapy object")),
    ("66.", "other", lazy_gettext("Registration or segmentation")),
)
_OTHER = ("other", lazy_gettext("Data without pictures"))
_SIGNED: Mapping[str, LazyText] = {
    "VERIFIED": lazy_gettext("Verified"),
    "UNVERIFIED": lazy_gettext("Not verified: a draft"),
}


@dataclass(frozen=True)
class SeriesObject:
    """One object: `kind` is report, selection, presentation, pdf or other; texts may be empty.

    A presentation state of a kind that is not applied is unapplied. `state` says so, or whether a
    report is verified. `readable` is False where its bytes cannot be read.
    """

    sop_instance_uid: str
    kind: str
    word: str
    title: str
    state: str
    is_signed: bool
    readable: bool
    lines: tuple[ContentLine, ...] = ()
    pictures: tuple[PictureLink, ...] = ()


@dataclass(frozen=True)
class SeriesObjects:
    """The objects of a series; `left_out` more are not listed."""

    shown: tuple[SeriesObject, ...]
    left_out: int

    @property
    def holds_pdf(self) -> bool:
        """Whether a PDF is framed on the page."""
        return any(one.kind == "pdf" and one.readable for one in self.shown)


def objects_of(series: SeriesRecord) -> SeriesObjects:
    """Return the objects of a series without pictures, in order."""
    found = services().index.instances_of(series.study_instance_uid, series.series_instance_uid)
    return SeriesObjects(
        shown=tuple(_object(one) for one in found[:MOST_OBJECTS]),
        left_out=max(0, len(found) - MOST_OBJECTS),
    )


def kind_of(sop_class_uid: str) -> tuple[str, LazyText]:
    """Return the kind of a SOP class and its word."""
    tail = sop_class_uid.removeprefix(_STORAGE)
    for beginning, kind, word in _KINDS:
        if tail != sop_class_uid and (tail.startswith(beginning) or tail == beginning):
            return kind, word
    return _OTHER


def enclosed_pdf(instance: InstanceRecord) -> bytes | None:
    """Return the PDF an instance encloses (PS3.3 C.24.2), None when it encloses none."""
    header = header_of(instance)
    if header is None or str(header.get("MIMETypeOfEncapsulatedDocument", "")).lower() != _PDF:
        return None
    data = bytes(header.get("EncapsulatedDocument") or b"")
    length = header.get("EncapsulatedDocumentLength")
    if isinstance(length, int) and 0 < length <= len(data):
        data = data[:length]
    return data if data.lstrip()[:5] == b"%PDF-" else None


def _object(instance: InstanceRecord) -> SeriesObject:
    kind, word = kind_of(instance.sop_class_uid)
    left_out = is_left_out(instance.sop_class_uid)
    kind = "unapplied" if left_out else kind
    header = header_of(instance)
    if header is None:
        return SeriesObject(
            instance.sop_instance_uid, kind, str(word), "", "", is_signed=False, readable=False
        )
    verified = str(header.get("VerificationFlag", "") or "") if kind == "report" else ""
    return SeriesObject(
        sop_instance_uid=instance.sop_instance_uid,
        kind=kind,
        word=str(word),
        title=_title(header),
        state=_not_applied(instance) if left_out else str(_SIGNED.get(verified, "")),
        is_signed=verified == "VERIFIED",
        readable=kind != "pdf" or enclosed_pdf(instance) is not None,
        lines=content_lines(header) if kind in {"report", "selection"} else (),
        pictures=picture_links(header, instance.study_instance_uid, kind),
    )


def _not_applied(instance: InstanceRecord) -> str:
    would = would_show(instance.sop_class_uid)
    return gettext("Not applied by the hub (%(would)s): its pictures are as stored.", would=would)


def _title(header: Dataset) -> str:
    """What the object calls itself, the most telling first."""
    named = list(header.get("ConceptNameCodeSequence") or ())[:1]
    told = [str(one.get("CodeMeaning", "") or "") for one in named]
    told += [
        str(header.get(keyword, "") or "")
        for keyword in ("DocumentTitle", "ContentLabel", "ContentDescription", "RTPlanLabel")
    ]
    return next((text.strip() for text in told if text.strip()), "")
