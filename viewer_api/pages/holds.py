"""Legal holds: all in force, and those of one person, placed and lifted by the registrar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from access_control.errors import InvalidHoldError
from hub_kernel.errors import InvalidValueError, NotFoundError
from viewer_api import hold_desk, identity_desk
from viewer_api.pages.identity_words import decider_word
from viewer_api.pages.language import site_name
from viewer_api.pages.people import site_book
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from access_control.legal_holds import LegalHold
    from image_archive.model import StudyRecord
    from patient_index.model import Person

blueprint = Blueprint("holds", __name__)


@dataclass(frozen=True)
class Line:
    """One hold as a page shows it; `study` is None for all of the person, or one not held here."""

    hold: LegalHold
    placed_by: str
    lifted_by: str
    study: StudyRecord | None = None
    person: Person | None = None


@blueprint.get("/holds")
@signed_in
def page() -> str:
    """List the holds in force on people the reader is responsible for."""
    hold_desk.require_desk()
    names = identity_desk.deciders()
    lines = [_line(hold, names, person=person) for hold, person in hold_desk.in_force()]
    return render_template("holds.html", lines=lines)


@blueprint.get("/identity/people/<global_id>/holds")
@signed_in
def person_page(global_id: str) -> str:
    """Show what of a person is held and was held, and let it be held."""
    return _page(hold_desk.require_person(global_id))


@blueprint.post("/identity/people/<global_id>/holds")
@signed_in
def change(global_id: str) -> Response | tuple[str, int]:
    """Place a hold, or lift the one that the form names."""
    person = hold_desk.require_person(global_id)
    form = request.form
    try:
        if "hold" in form:
            hold_desk.lift(person, form.get("hold", 0, type=int), form.get("reason", ""))
        else:
            hold_desk.place(person, form.get("study", ""), form.get("reason", ""))
    except InvalidHoldError:
        return _page(person, failed=True), 400
    except (InvalidValueError, NotFoundError):
        abort(404)
    return redirect(url_for("holds.person_page", global_id=global_id, written="1"), code=303)


def _page(person: Person, *, failed: bool = False) -> str:
    names = identity_desk.deciders()
    studies = hold_desk.studies_of(person)
    by_uid = {one.study_instance_uid: one for one in studies}
    lines = [
        _line(one, names, study=by_uid.get(one.study_instance_uid))
        for one in hold_desk.holds_of(person)
    ]
    return render_template(
        "person_holds.html",
        person=person,
        site_names=[site_name(site) for site in site_book().knowing(person.identifiers)],
        studies=studies,
        standing=[one for one in lines if one.hold.lifted_at is None],
        lifted=[one for one in lines if one.hold.lifted_at is not None],
        failed=failed,
        written=bool(request.args.get("written")),
    )


def _line(
    hold: LegalHold,
    names: dict[str, str],
    *,
    study: StudyRecord | None = None,
    person: Person | None = None,
) -> Line:
    lifted_by = decider_word(hold.lifted_by, names) if hold.lifted_by else ""
    return Line(hold, decider_word(hold.placed_by, names), lifted_by, study, person)
