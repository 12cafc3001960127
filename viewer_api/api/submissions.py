"""`/api/v1/submissions/refused`: what the registry did not accept, corrected or set aside."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from hub_kernel.errors import InvalidValueError
from viewer_api import refused_desk
from viewer_api.api.parameters import json_body, whole_number
from viewer_api.errors import BadQueryError
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from xds_registry.refused_words import RefusedSubmission

blueprint = Blueprint("api_submissions", __name__, url_prefix="/api/v1/submissions/refused")


@blueprint.get("")
@signed_in
def page() -> Response:
    """Answer the submissions of one state, newest first; `before` continues a page."""
    refused_desk.require_list()
    state = request.args.get("state", refused_desk.STATES[0])
    if state not in refused_desk.STATES:
        raise BadQueryError(f"state must be one of {', '.join(refused_desk.STATES)}")
    limit = whole_number("limit", default=50, least=1, most=100)
    before = whole_number("before", default=0, most=1_000_000_000) or None
    rows = refused_desk.desk().page(state, limit=limit, before=before)
    whole = refused_desk.may_correct()
    return jsonify({"submissions": [_form(one, whole=whole) for one in rows]})


@blueprint.get("/<int:refusal_id>")
@signed_in
def submission(refusal_id: int) -> Response:
    """Answer one submission with its XML and its documents."""
    return jsonify(_form(refused_desk.found(refusal_id), whole=True))


@blueprint.post("/<int:refusal_id>/replay")
@signed_in
def replay(refusal_id: int) -> Response:
    """Send the corrected `xml` again, and answer whether it was accepted, or why not."""
    refused_desk.found(refusal_id)
    body = json_body({"xml": str}, required=("xml",))
    try:
        outcome = refused_desk.replay(refusal_id, body["xml"])
    except InvalidValueError as error:
        raise BadQueryError(str(error)) from error
    reasons = [asdict(one) for one in outcome.reasons]
    return jsonify({"accepted": outcome.accepted, "reasons": reasons})


@blueprint.post("/<int:refusal_id>/dismiss")
@signed_in
def dismiss(refusal_id: int) -> Response:
    """Set a submission aside, with a `reason`."""
    refused_desk.found(refusal_id)
    body = json_body({"reason": str}, required=("reason",))
    try:
        refused_desk.dismiss(refusal_id, body["reason"])
    except InvalidValueError as error:
        raise BadQueryError(str(error)) from error
    return jsonify(_form(refused_desk.found(refusal_id), whole=True))


def _form(one: RefusedSubmission, *, whole: bool) -> dict[str, Any]:
    """Return a submission as JSON; not `whole`, its reasons lack what may name a patient."""
    form = asdict(one)
    for name in ("received_at", "last_received_at", "decided_at"):
        form[name] = form[name].isoformat() if form[name] else None
    for document in form["documents"]:
        del document["storage_key"]
    if not whole:
        form["reasons"] = [
            {name: r[name] for name in ("code", "en", "zh")} for r in form["reasons"]
        ]
    return form
