"""Emergency access: a doctor opens the record of one person without a right to it, for an hour."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from access_control.errors import InvalidBreakGlassError, TooManyOpenError
from hub_kernel.errors import NotFoundError
from viewer_api import break_glass_desk
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from patient_index.model import Person
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("break_glass", __name__, url_prefix="/emergency")

_LONGEST = 128
_FAILURES: Mapping[str, LazyText] = {
    "no-reason": lazy_gettext("Say in a few words why the record must be opened."),
    "nobody": lazy_gettext("Nobody has exactly this number. A name needs a birth date beside it."),
    "several": lazy_gettext("Several people have this number. Add the birth date, or another one."),
    "too-many": lazy_gettext("You have too many records open: end one of them first."),
}


@blueprint.get("")
@signed_in
def page() -> str:
    """Show the form, and what the reader has open."""
    break_glass_desk.require_reader()
    return _page()


@blueprint.post("")
@signed_in
def enter() -> Response | tuple[str, int]:
    """Open the record of the one person meant; else say why nothing was opened, on record."""
    break_glass_desk.require_reader()
    reason = request.form.get("reason", "")
    if not reason.strip():
        return _refused("no-reason")
    who = request.form.get("who", "").strip()[:_LONGEST]
    people = break_glass_desk.meant(who, _born()) if who else []
    if len(people) != 1:
        return _refused("several" if people else "nobody")
    return _opened(people[0], reason)


@blueprint.post("/<int:glass_id>/end")
@signed_in
def end(glass_id: int) -> Response:
    """End what the reader has open, before its hour is over."""
    break_glass_desk.require_reader()
    try:
        break_glass_desk.end(glass_id)
    except NotFoundError:
        abort(404)
    return redirect(url_for("break_glass.page"), code=303)


def _opened(person: Person, reason: str) -> Response | tuple[str, int]:
    record = redirect(url_for("record.page", global_id=person.global_id), code=303)
    if break_glass_desk.is_open_anyway(person):
        return record
    try:
        break_glass_desk.open_record(person, reason)
    except TooManyOpenError:
        return _refused("too-many", person)
    except InvalidBreakGlassError:
        return _refused("no-reason", person)
    return record


def _refused(why: str, person: Person | None = None) -> tuple[str, int]:
    """Show the form again; whatever was wrong answers 404, as what does not exist."""
    break_glass_desk.record_refusal(why, person)
    return _page(str(_FAILURES[why])), 404


def _page(failed: str = "") -> str:
    form = request.form
    return render_template(
        "break_glass.html",
        standing=break_glass_desk.open_now(),
        failed=failed,
        who=form.get("who", ""),
        born=form.get("born", ""),
        reason=form.get("reason", ""),
    )


def _born() -> date | None:
    try:
        return date.fromisoformat(request.form.get("born", ""))
    except ValueError:
        return None
