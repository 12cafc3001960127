"""What other communities hold of a person: asked when the reader wants it, never before.

Pictures are fetched as one zip of DICOM files and are not kept here: the numbers in them are those
of the other community.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, render_template, request

from access_control.model import Action, Resource
from viewer_api.pages.document_words import DocumentCard, document_card, is_manifest
from viewer_api.pages.people import PersonLine, person_line, site_book
from viewer_api.portable_media import zipped_files
from viewer_api.security import (
    broken_glass,
    current_subject,
    person_resource,
    refuse,
    require,
    signed_in,
)
from viewer_api.services import services
from xds_registry.gateways.elsewhere import DocumentAddress, NothingRetrievedError, Reader
from xds_registry.person_documents import PersonDocument

if TYPE_CHECKING:
    from patient_index.model import Person
    from xds_registry.model import DocumentEntry

blueprint = Blueprint("elsewhere", __name__)

_LONGEST = 128


@dataclass(frozen=True)
class ForeignDocument:
    """One document of another community; `address` leads to its pictures, if it lists any."""

    card: DocumentCard
    community: str
    address: DocumentAddress | None


@dataclass(frozen=True)
class ElsewhereView:
    """What the page shows."""

    line: PersonLine
    documents: tuple[ForeignDocument, ...]
    unanswered: tuple[str, ...]


@blueprint.get("/patients/<global_id>/elsewhere")
@signed_in
def page(global_id: str) -> str:
    """Ask every other community what it holds of the person."""
    person = _person(global_id)
    asked = services().registry.elsewhere
    found = asked.documents(services().patients.global_identifier(global_id).cx, _reader())
    documents = [_document(entry) for entry in reversed(found.entries)]
    line = person_line(person, site_book(), services().index.studies_of(person.identifiers))
    view = ElsewhereView(line, tuple(documents), found.unanswered)
    return render_template("elsewhere.html", view=view)


@blueprint.get("/patients/<global_id>/elsewhere/pictures.zip")
@signed_in
def pictures(global_id: str) -> Response:
    """Fetch the pictures that a manifest of another community lists; 404 where it gives none."""
    _person(global_id)
    names = ("home", "repository", "document")
    given = [request.args.get(name, "") for name in names]
    if not all(given) or any(len(one) > _LONGEST or not one.isprintable() for one in given):
        abort(404)
    try:
        found = services().registry.elsewhere.pictures(DocumentAddress(*given), _reader())
    except NothingRetrievedError:
        abort(404)
    files = [(f"DICOM/I{n:05d}", one.open) for n, one in enumerate(found)]
    answer = Response(zipped_files(files), content_type="application/zip")
    answer.headers["Content-Disposition"] = 'attachment; filename="pictures.zip"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _person(global_id: str) -> Person:
    """Return the person whose whole record, documents with it, the current subject may see."""
    person = services().patients.person(global_id)
    if person is None or not services().registry.elsewhere.has_communities:
        refuse(Action.RETRIEVE_DOCUMENT, Resource("patient", global_id), detail="unknown")
    resource = person_resource(person)
    require(Action.VIEW_RECORD, resource)
    require(Action.RETRIEVE_DOCUMENT, resource)
    if broken_glass():  # an emergency opens what is here; other communities decide for themselves
        refuse(Action.RETRIEVE_DOCUMENT, resource, detail="emergency")
    return person


def _reader() -> Reader:
    return Reader(current_subject(), request.remote_addr or "")


def _document(entry: DocumentEntry) -> ForeignDocument:
    home = entry.home_community_id
    address = DocumentAddress(home, entry.repository_unique_id, entry.unique_id)
    card = document_card(PersonDocument(entry, None, is_here=False), site_book())
    name = services().registry.elsewhere.name_of(home)
    return ForeignDocument(card, name, address if is_manifest(entry) else None)
