"""`/api/v1/forwarding`: destinations, what waits for them, and what an engineer does about it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Response, jsonify, request

from hub_kernel.errors import InvalidValueError
from viewer_api import forwarding_desk
from viewer_api.api.forms import moment
from viewer_api.api.parameters import json_body, whole_number
from viewer_api.errors import BadQueryError
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

blueprint = Blueprint("api_forwarding", __name__, url_prefix="/api/v1/forwarding")


@blueprint.get("")
@signed_in
def destinations() -> Response:
    """Answer every destination with its queue, its breaker and its last error."""
    forwarding_desk.require_view()
    views = forwarding_desk.desk().destinations()
    return jsonify({"destinations": [_form(view) for view in views]})


@blueprint.get("/<destination>/rows")
@signed_in
def rows(destination: str) -> Response:
    """Answer the rows of one state, the oldest first; `after` continues a page."""
    forwarding_desk.found_destination(destination)
    state = request.args.get("state", "parked")
    if state not in forwarding_desk.STATES:
        raise BadQueryError(f"state must be one of {', '.join(forwarding_desk.STATES)}")
    limit = whole_number("limit", default=100, least=1, most=500)
    after = whole_number("after", default=0, most=1_000_000_000_000) or None
    found = forwarding_desk.desk().items(destination, state, limit=limit, after=after)
    return jsonify({"rows": [_form(row) for row in found]})


@blueprint.get("/rows/<int:row_id>")
@signed_in
def row(row_id: int) -> Response:
    """Answer one row of the ledger."""
    return jsonify(_form(forwarding_desk.found_row(row_id)))


@blueprint.post("/<destination>/<act>")
@signed_in
def change_destination(destination: str, act: str) -> Response:
    """Do `retry`, `release` (what is parked), `hold` or `resume`; answer the destination."""
    forwarding_desk.change_destination(destination, act)
    return jsonify(_form(forwarding_desk.desk().destination(destination)))


@blueprint.post("/rows/<int:row_id>/<act>")
@signed_in
def change_row(row_id: int, act: str) -> Response:
    """Do `retry` or `park` (with a `reason`) on one row; answer it."""
    body = json_body({"reason": str}) if request.data else {}
    try:
        forwarding_desk.change_row(row_id, act, body.get("reason", ""))
    except InvalidValueError as error:
        raise BadQueryError(str(error)) from error
    return jsonify(_form(forwarding_desk.desk().item(row_id)))


def _form(record: object) -> dict[str, Any]:
    """Return a record as JSON; it holds no patient data."""
    values = asdict(cast("DataclassInstance", record))
    return {
        name: moment(value) if isinstance(value, datetime) else value
        for name, value in values.items()
        if name not in {"lease_owner", "held_by"}
    }
