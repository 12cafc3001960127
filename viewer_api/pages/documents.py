"""One registered document of a person: read on the page where that is safe, else downloaded.

A document is somebody else's content. Text and CDA are shown as escaped text, pictures as pictures,
PDF in a frame of its own; nothing of it may run on the hub's pages or load from anywhere.
"""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, make_response, render_template, request

from access_control.model import Action, Resource
from viewer_api.pages.document_words import DocumentCard, document_card
from viewer_api.pages.narrative import MOST_BYTES, Narrative, read_narrative
from viewer_api.pages.people import site_book
from viewer_api.security import person_resource, refuse, require, signed_in
from viewer_api.security.headers import CONTENT_SECURITY_POLICY, SANDBOXED_POLICY
from viewer_api.services import services
from xds_registry.errors import DocumentCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patient_index.model import Person
    from xds_registry.person_documents import OpenedDocument, PersonDocument

blueprint = Blueprint("documents", __name__)

_LONGEST_ID = 128
_PDF = "application/pdf"
_PICTURES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_CDA = frozenset({"application/hl7-v3+xml", "application/xml", "text/xml"})
# A browser shows no PDF in a sandbox. Its viewer is another origin with its own rights, and the
# policy leaves nothing for the document to load.
PDF_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
SELF_FRAMING_POLICY = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"


@dataclass(frozen=True)
class Shown:
    """What of a document is shown, and how: `form` is pdf, picture, text, narrative or file."""

    form: str
    media_type: str = ""
    size: int = 0
    text: str = ""
    narrative: Narrative | None = None
    chunks: Iterable[bytes] = ()


@dataclass(frozen=True)
class DocumentView:
    """What the page shows; `state` is here, elsewhere, missing or damaged."""

    card: DocumentCard
    person: Person
    state: str
    shown: Shown


@blueprint.get("/documents/<entry_id>")
@signed_in
def page(entry_id: str) -> Response:
    """Show one document of a person, or say why it cannot be shown here."""
    document, person = _required(entry_id)
    state, shown = _read(document)
    view = DocumentView(document_card(document, site_book()), person, state, shown)
    answer = make_response(render_template("document.html", view=view))
    answer.headers["Content-Security-Policy"] = SELF_FRAMING_POLICY
    return answer


@blueprint.get("/documents/<entry_id>/content")
@signed_in
def content(entry_id: str) -> Response:
    """Answer the bytes: a PDF or picture as it is shown, anything else, or on request, to keep."""
    document, _ = _required(entry_id)
    opened = _opened(document) if document.is_here else None
    if opened is None:
        abort(404)
    shown = _shown(opened)
    if "download" in request.args or shown.form not in {"pdf", "picture"}:
        return _download(entry_id, opened)
    answer = Response(shown.chunks, content_type=shown.media_type)
    answer.content_length = shown.size
    is_pdf = shown.form == "pdf"
    answer.headers["Content-Security-Policy"] = PDF_POLICY if is_pdf else SANDBOXED_POLICY
    answer.headers["X-Frame-Options"] = "SAMEORIGIN" if is_pdf else "DENY"
    return answer


def _required(entry_id: str) -> tuple[PersonDocument, Person]:
    """Return the document when the current subject may retrieve it; the access is on record."""
    document = services().registry.documents.find(f"urn:uuid:{entry_id}")
    global_id = document.global_id if document else None
    person = services().patients.person(global_id) if global_id else None
    if document is None or person is None:
        unknown = Resource("document", entry_id[:_LONGEST_ID])
        refuse(Action.RETRIEVE_DOCUMENT, unknown, detail="unknown")
    resource = replace(
        person_resource(person), kind="document", resource_id=document.entry.unique_id
    )
    require(Action.RETRIEVE_DOCUMENT, resource)
    return document, person


def _read(document: PersonDocument) -> tuple[str, Shown]:
    if not document.is_here:
        return "elsewhere", Shown("file")
    try:
        opened = services().registry.documents.open(document.entry.unique_id)
    except DocumentCorruptError:
        return "damaged", Shown("file")
    return ("here", _shown(opened)) if opened else ("missing", Shown("file"))


def _opened(document: PersonDocument) -> OpenedDocument | None:
    try:
        return services().registry.documents.open(document.entry.unique_id)
    except DocumentCorruptError:
        return None


def _shown(opened: OpenedDocument) -> Shown:
    media_type = opened.media_type.partition(";")[0].strip().lower()
    if media_type == _PDF:
        return Shown("pdf", _PDF, opened.size, chunks=opened.chunks())
    if media_type in _PICTURES:
        return Shown("picture", media_type, opened.size, chunks=opened.chunks())
    if opened.size > MOST_BYTES or media_type not in {*_CDA, "text/plain"}:
        return Shown("file", media_type, opened.size)
    data = b"".join(opened.chunks())
    if media_type == "text/plain":
        return _shown_bytes(media_type, data)
    narrative = read_narrative(data)
    if narrative is None:
        return Shown("file", media_type, opened.size)
    if narrative.enclosed is not None:
        return _shown_bytes(narrative.enclosed.media_type, narrative.enclosed.data)
    return Shown("narrative", media_type, opened.size, narrative=narrative)


def _shown_bytes(media_type: str, data: bytes) -> Shown:
    """Return how bytes that are already here are shown; what is enclosed once, not further."""
    if media_type == _PDF or media_type in _PICTURES:
        form = "pdf" if media_type == _PDF else "picture"
        return Shown(form, media_type, len(data), chunks=[data])
    if media_type == "text/plain":
        return Shown("text", media_type, len(data), text=_decoded(data))
    return Shown("file", media_type, len(data))


def _decoded(data: bytes) -> str:
    """Return text as Unicode: UTF-8, else GB18030, which Chinese systems write without a word."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def _download(entry_id: str, opened: OpenedDocument) -> Response:
    media_type = opened.media_type.partition(";")[0].strip().lower()
    ending = ".dcm" if media_type == "application/dicom" else mimetypes.guess_extension(media_type)
    answer = Response(opened.chunks(), content_type="application/octet-stream")
    answer.content_length = opened.size
    plain = "".join(letter for letter in entry_id[:8] if letter.isascii() and letter.isalnum())
    name = f"document-{plain}{ending or '.bin'}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Content-Security-Policy"] = SANDBOXED_POLICY
    return answer
