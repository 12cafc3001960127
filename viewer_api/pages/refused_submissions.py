"""Refused submissions: what came and why it was refused, corrected here and sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from hub_kernel.errors import InvalidValueError
from viewer_api import refused_desk
from viewer_api.identity_desk import deciders
from viewer_api.language import asker_language
from viewer_api.pages.identity_words import decider_word
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import signed_in
from xds_registry.tables_refused import DISMISSED, OPEN, REPLAYED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from viewer_api.pages.words import LazyText
    from xds_registry.refused_submissions import ReplayOutcome
    from xds_registry.refused_words import Reason, RefusedSubmission

blueprint = Blueprint("refused_submissions", __name__)

_ROWS = 50
STATES: Mapping[str, LazyText] = {
    OPEN: lazy_gettext("To correct"),
    REPLAYED: lazy_gettext("Carried out"),
    DISMISSED: lazy_gettext("Set aside"),
}


@blueprint.get("/submissions/refused")
@signed_in
def page() -> str:
    """Show the submissions of one state, latest first; who may not correct sees reasons alone."""
    refused_desk.require_list()
    state = request.args.get("state", OPEN)
    state = state if state in STATES else OPEN
    found = refused_desk.desk().page(state, limit=_ROWS + 1, before=_before())
    return render_template(
        "submissions_refused.html",
        submissions=found[:_ROWS],
        older=found[_ROWS - 1].refusal_id if len(found) > _ROWS else None,
        state=state,
        states=STATES,
        why=_why,
        may_correct=refused_desk.may_correct(),
    )


@blueprint.get("/submissions/refused/<int:refusal_id>")
@signed_in
def submission(refusal_id: int) -> str:
    """Show one submission, every reason, and the form to correct it."""
    return _shown(refused_desk.found(refusal_id))


@blueprint.post("/submissions/refused/<int:refusal_id>/replay")
@signed_in
def replay(refusal_id: int) -> Response | tuple[str, int]:
    """Send the corrected submission as if its sender had; refused again, say why."""
    found = refused_desk.found(refusal_id)
    xml = request.form.get("xml", "")
    try:
        outcome = refused_desk.replay(refusal_id, xml)
    except InvalidValueError:
        return _here(refusal_id)
    if outcome.accepted:
        return _here(refusal_id)
    return _shown(found, xml=xml.replace("\r\n", "\n"), outcome=outcome), 422


@blueprint.post("/submissions/refused/<int:refusal_id>/dismiss")
@signed_in
def dismiss(refusal_id: int) -> Response:
    """Close a submission that is not to be sent again; its documents are let go."""
    refused_desk.found(refusal_id)
    try:
        refused_desk.dismiss(refusal_id, request.form.get("reason", ""))
    except InvalidValueError:
        return _here(refusal_id)
    return _here(refusal_id)


def _shown(
    found: RefusedSubmission, *, xml: str | None = None, outcome: ReplayOutcome | None = None
) -> str:
    shown = found.xml if xml is None else xml
    return render_template(
        "submission_refused.html",
        submission=found,
        xml=shown,
        too_long=len(found.xml) > refused_desk.LONGEST_XML,
        reasons=outcome.reasons if outcome else found.reasons,
        why=_why,
        again=outcome is not None,
        states=STATES,
        decided_by=decider_word(found.decided_by, deciders()),
    )


def _why(reason: Reason) -> str:
    return reason.en if asker_language() == "en" else reason.zh


def _here(refusal_id: int) -> Response:
    return redirect(url_for("refused_submissions.submission", refusal_id=refusal_id), code=303)


def _before() -> int | None:
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
