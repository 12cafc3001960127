"""The desk for pictures with text in their pixels: see one, mask it, clear it or keep it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for

from eir_versions.deidentification.boxes import parse_boxes
from eir_versions.deidentification.burned_in import CaseState, Cause, Verdict
from eir_versions.deidentification.desk import Decision
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from hub_kernel.errors import InvalidValueError
from viewer_api import burned_in_desk
from viewer_api.pages.language import site_name
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.security import current_subject, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response as BaseResponse

    from eir_versions.deidentification.boxes import Box
    from eir_versions.deidentification.burned_in import Case
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("burned_in", __name__)

_ROWS = 50
_UNDRAWN = (UnrenderableInstanceError, FrameNotFoundError)
STATES: Mapping[CaseState, LazyText] = {
    CaseState.HELD: lazy_gettext("To decide"),
    CaseState.KEPT: lazy_gettext("Kept back"),
    CaseState.MASKED: lazy_gettext("Masked"),
    CaseState.CLEARED: lazy_gettext("Cleared"),
}
CAUSES: Mapping[Cause, LazyText] = {
    Cause.TEXT: lazy_gettext("Text was found in the picture"),
    Cause.STATED: lazy_gettext("The image says itself that it carries text"),
    Cause.KIND: lazy_gettext("Pictures of this kind usually carry text"),
    Cause.FAILED: lazy_gettext("The picture could not be looked at"),
    Cause.NONE: lazy_gettext("Nothing was found"),
}
_VERDICTS = {verdict.value for verdict in Verdict}


@blueprint.get("/burned-in")
@signed_in
def page() -> str:
    """Show the pictures of one state."""
    burned_in_desk.require_desk()
    asked = request.args.get("state", "")
    state = CaseState(asked) if asked in {one.value for one in STATES} else CaseState.HELD
    desk, sites = services().eir.burned_in, current_subject().sites
    start = _number(request.args.get("start", ""))
    cases = desk.cases(state, sites, limit=_ROWS, offset=start)
    return render_template(
        "burned_in.html",
        cases=cases,
        total=desk.total(state, sites),
        start=start,
        rows=_ROWS,
        state=state,
        states=STATES,
        causes=CAUSES,
        can_look=desk.can_look,
        sites={site.site_id: site_name(site) for site in services().sites.all()},
    )


@blueprint.get("/burned-in/<case_id>")
@signed_in
def case(case_id: str) -> str:
    """Show one picture, what was read in it, and what can be done."""
    return _shown(burned_in_desk.case_of(case_id))


@blueprint.post("/burned-in/<case_id>")
@signed_in
def decide(case_id: str) -> BaseResponse | tuple[str, int]:
    """Mask, clear or keep a picture back."""
    found, form = burned_in_desk.case_of(case_id), request.form
    try:
        verdict = _verdict(form.get("verdict", ""))
        masks = _masks(found) if verdict is Verdict.MASK else ()
        decision = Decision(verdict, current_subject().subject_id, form.get("reason", ""), masks)
        burned_in_desk.decide(found, decision)
    except InvalidValueError as refused:
        return _shown(found, str(refused)), 422
    except _UNDRAWN:
        return _shown(found, gettext("The picture cannot be drawn.")), 422
    return redirect(url_for("burned_in.page"), code=303)


@blueprint.get("/burned-in/<case_id>/picture")
@signed_in
def picture(case_id: str) -> Response:
    """Answer the picture as it is, for whoever decides about it; with `masked=1` as masked."""
    found = burned_in_desk.case_of(case_id)
    masks = (found.masks or found.proposed) if request.args.get("masked") == "1" else ()
    try:
        drawn = services().eir.burned_in.picture(found, masks)
    except _UNDRAWN:
        abort(404)
    answer = Response(drawn.data, content_type=drawn.media_type)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _shown(found: Case, refused: str = "") -> str:
    return render_template(
        "burned_in_case.html",
        case=found,
        states=STATES,
        causes=CAUSES,
        refused=refused,
        site=next(
            (site_name(s) for s in services().sites.all() if s.site_id == found.site_id),
            found.site_id,
        ),
    )


def _verdict(text: str) -> Verdict:
    if text not in _VERDICTS:
        raise InvalidValueError("verdict: mask, clear or keep")
    return Verdict(text)


def _masks(found: Case) -> tuple[Box, ...]:
    """The proposed rectangles that are ticked, and those that were written or drawn beside them."""
    ticked = {_number(text) for text in request.form.getlist("box")}
    kept = tuple(box for place, box in enumerate(found.proposed, start=1) if place in ticked)
    masks = (*kept, *parse_boxes(request.form.get("more", "")))
    if not masks:
        raise InvalidValueError(gettext("Choose at least one rectangle to mask."))
    return masks


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
