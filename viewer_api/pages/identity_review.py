"""The review desk: questions by risk, two people side by side, one key per decision, undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from hub_kernel.errors import InvalidValueError
from patient_index.errors import UnknownReviewError
from viewer_api import identity_desk
from viewer_api.identity_desk import ASKED, DECIDED, WAITING, Case
from viewer_api.identity_queue import following, page_of
from viewer_api.pages.identity_compare import compared
from viewer_api.pages.identity_words import asked_word, decider_word
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from viewer_api.pages.words import LazyText

blueprint = Blueprint("identity_review", __name__)

_ROWS = 50
STATES: Mapping[str, LazyText] = {
    WAITING: lazy_gettext("To decide"),
    ASKED: lazy_gettext("Site was asked"),
    DECIDED: lazy_gettext("Decided"),
}
VERDICT_WORDS: Mapping[str, LazyText] = {
    "linked": lazy_gettext("One person: linked"),
    "keep-apart": lazy_gettext("Two people: kept apart"),
    "ask-site": lazy_gettext("The site was asked"),
    "": lazy_gettext("One person meanwhile"),
}
DONE_WORDS: Mapping[str, LazyText] = {
    "link": lazy_gettext("Linked: they are one person from now on."),
    "keep-apart": lazy_gettext("Kept apart: no rule will link them."),
    "ask-site": lazy_gettext("Noted that the site was asked."),
    "take-back": lazy_gettext("Taken back: the question waits again."),
}


@dataclass(frozen=True)
class Done:
    """What was just decided, and whether it can still be undone from here."""

    review_id: int
    word: str
    can_undo: bool


@blueprint.get("/identity")
@signed_in
def page() -> str:
    """Show one queue of the desk."""
    identity_desk.require_desk()
    state = request.args.get("state", WAITING)
    state = state if state in STATES else WAITING
    start = _number(request.args.get("start", "")) or 0
    shown = page_of(state, limit=_ROWS, start=start)
    return render_template(
        "identity_queue.html",
        queue=shown,
        cases=shown.cases,
        state=state,
        states=STATES,
        verdicts=VERDICT_WORDS,
        asked_word=asked_word,
        done=_done(),
    )


@blueprint.get("/identity/reviews/<int:review_id>")
@signed_in
def case(review_id: int) -> str:
    """Show one question: both people side by side."""
    return _shown(_case(review_id))


@blueprint.post("/identity/reviews/<int:review_id>")
@signed_in
def decide(review_id: int) -> Response:
    """Carry out a decision and go on to the next question."""
    found = _case(review_id)
    verdict, reason = request.form.get("verdict", ""), request.form.get("reason", "")
    behind, _ = following(review_id)
    try:
        if verdict == "take-back":
            identity_desk.take_back(found, reason)
            return redirect(
                url_for("identity_review.case", review_id=review_id, did=verdict), code=303
            )
        identity_desk.answer(found, verdict, reason)
    except InvalidValueError:
        # Decided meanwhile by somebody else: show how it stands now.
        return redirect(url_for("identity_review.case", review_id=review_id), code=303)
    place = (
        url_for("identity_review.case", review_id=behind, done=review_id, did=verdict)
        if behind
        else url_for("identity_review.page", done=review_id, did=verdict)
    )
    return redirect(place, code=303)


def _shown(found: Case) -> str:
    both = found.mine is not None and found.theirs is not None and len(found.people) == 2
    behind, waiting = following(found.review.review_id)
    answer = found.answer
    return render_template(
        "identity_case.html",
        case=found,
        pair=compared(found.mine, found.theirs, found.review.explanation)  # type: ignore[arg-type]
        if both
        else None,
        rule=asked_word(found.review),
        verdict=VERDICT_WORDS.get(found.verdict, found.verdict),
        decided_by=decider_word(answer.by, identity_desk.deciders()) if answer else "",
        following=behind,
        waiting=waiting,
        done=_done(),
    )


def _case(review_id: int) -> Case:
    try:
        return identity_desk.case_of(review_id)
    except UnknownReviewError:
        abort(404)


def _done() -> Done | None:
    did, review_id = request.args.get("did", ""), _number(request.args.get("done", ""))
    if did not in DONE_WORDS:
        return None
    return Done(review_id or 0, str(DONE_WORDS[did]), can_undo=review_id is not None)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
