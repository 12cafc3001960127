"""Refused HL7 messages: what came and why it was refused, corrected here and sent again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import InvalidValueError, NotFoundError
from patient_index.hl7v2.tables import DISMISSED, OPEN, REPLAYED
from viewer_api.identity_desk import deciders
from viewer_api.language import asker_language
from viewer_api.pages.identity_words import decider_word
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import current_subject, record_access, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from patient_index.hl7v2.refusals import RefusedMessage, ReplayOutcome
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("refused_messages", __name__)

_ROWS = 50
_LONGEST_TEXT = 900_000
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[([0-9]{1,4})\])?")
STATES: Mapping[str, LazyText] = {
    OPEN: lazy_gettext("To correct"),
    REPLAYED: lazy_gettext("Carried out"),
    DISMISSED: lazy_gettext("Set aside"),
}


@dataclass(frozen=True)
class Segment:
    """One segment of the message; `wrong` marks the one the refusal points at."""

    number: int
    text: str
    wrong: bool


@blueprint.get("/identity/messages")
@signed_in
def page() -> str:
    """Show the messages of one state, latest first."""
    _require("list")
    state = request.args.get("state", OPEN)
    state = state if state in STATES else OPEN
    found = services().refused_messages.page(state, limit=_ROWS + 1, before=_before())
    return render_template(
        "messages_refused.html",
        messages=found[:_ROWS],
        older=found[_ROWS - 1].refusal_id if len(found) > _ROWS else None,
        state=state,
        states=STATES,
        why=_why,
    )


@blueprint.get("/identity/messages/<int:message_id>")
@signed_in
def message(message_id: int) -> str:
    """Show one message, the place that is wrong, and the form to correct it."""
    return _shown(_found(message_id))


@blueprint.post("/identity/messages/<int:message_id>/replay")
@signed_in
def replay(message_id: int) -> Response | tuple[str, int]:
    """Send the corrected message as if its sender had; refused again, say why."""
    found = _found(message_id)
    corrected = request.form.get("text", "")[:_LONGEST_TEXT]
    try:
        outcome = services().refused_messages.replay(
            message_id, corrected, current_subject().subject_id
        )
    except InvalidValueError:
        return _here(message_id)
    _on_record(message_id, "replayed" if outcome.accepted else "refused again")
    if outcome.accepted:
        return redirect(url_for("refused_messages.message", message_id=message_id, did="replay"))
    return _shown(found, text=corrected, outcome=outcome), 422


@blueprint.post("/identity/messages/<int:message_id>/dismiss")
@signed_in
def dismiss(message_id: int) -> Response:
    """Close a message that is not to be sent again."""
    _found(message_id)
    try:
        services().refused_messages.dismiss(
            message_id, current_subject().subject_id, request.form.get("reason", "")[:400]
        )
    except InvalidValueError:
        return _here(message_id)
    _on_record(message_id, "set aside")
    return _here(message_id)


def _shown(
    found: RefusedMessage, *, text: str | None = None, outcome: ReplayOutcome | None = None
) -> str:
    shown = found.text if text is None else text.replace("\r\n", "\n")
    place = outcome.place if outcome else found.place
    segments = _segments(shown, place)
    return render_template(
        "message_refused.html",
        message=found,
        text=shown,
        segments=segments,
        place=place,
        why=_why(outcome or found),
        again=outcome is not None,
        states=STATES,
        decided_by=decider_word(found.decided_by, deciders()),
        did=request.args.get("did", ""),
    )


def _segments(text: str, place: str) -> list[Segment]:
    """The lines of the message; the one the refusal points at is marked."""
    at = _PLACE.match(place)
    name, wanted = (at[1], int(at[2] or 1)) if at else ("", 0)
    seen, segments = 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        seen += line.startswith(name) if name else 0
        segments.append(
            Segment(number, line, bool(name) and line.startswith(name) and seen == wanted)
        )
    return segments


def _why(refused: RefusedMessage | ReplayOutcome) -> str:
    return refused.english if asker_language() == "en" else refused.chinese


def _require(detail: str) -> None:
    """A message is of no site before it is understood, so only who has all sites sees it."""
    everywhere = frozenset(site.site_id for site in services().sites.all())
    require(
        Action.REVIEW_IDENTITY,
        Resource("message", site_ids=everywhere),
        Purpose.OPERATIONS,
        detail=detail,
    )


def _found(message_id: int) -> RefusedMessage:
    _require(f"refused message {message_id}")
    try:
        return services().refused_messages.get(message_id)
    except NotFoundError:
        abort(404)


def _here(message_id: int) -> Response:
    return redirect(url_for("refused_messages.message", message_id=message_id), code=303)


def _on_record(message_id: int, what: str) -> None:
    record_access("correct_message", "success", Resource("message", str(message_id)), detail=what)


def _before() -> int | None:
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
