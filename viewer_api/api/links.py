"""`/api/v1/studies/{uid}/links`: make, list and revoke shared links to one study."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from access_control.model import Action
from access_control.shared_links import LinkStatus, ShareRequest
from viewer_api.api.forms import moment
from viewer_api.api.parameters import json_object
from viewer_api.errors import BadQueryError
from viewer_api.health_links.payload import page_address, two_doors
from viewer_api.security import current_subject, require_study, signed_in
from viewer_api.services import services

blueprint = Blueprint("api_links", __name__, url_prefix="/api/v1")

_DEFAULT_DAYS = 7
_FIELDS = {"expires_in_days": int, "passcode": str, "max_views": int}


@blueprint.get("/studies/<uid:study>/links")
@signed_in
def listed(study: str) -> Response:
    """Answer every link ever made to a study, newest first; never a token or passcode."""
    require_study(study, Action.SHARE)
    return jsonify({"links": [_status_form(link) for link in services().links.links_of(study)]})


@blueprint.post("/studies/<uid:study>/links")
@signed_in
def create(study: str) -> tuple[Response, int]:
    """Make a link; its address and passcode are in this answer and never shown again."""
    found = require_study(study, Action.SHARE)
    wanted = _wanted()
    expires_at = services().clock.now() + timedelta(
        days=wanted.get("expires_in_days", _DEFAULT_DAYS)
    )
    link = services().links.create(
        ShareRequest(
            study_instance_uid=study,
            global_id=services().patients.resolve(found.patient) or "",
            created_by=current_subject().subject_id,
            expires_at=expires_at,
            passcode=wanted.get("passcode"),
            max_views=wanted.get("max_views"),
        )
    )
    body = {
        "link_id": link.link_id,
        "url": page_address(link.token),
        "health_link": two_doors(link.token, expires_at, once=wanted.get("max_views") is not None),
        "passcode": link.passcode,
        "expires_at": moment(expires_at),
    }
    return jsonify(body), 201


@blueprint.delete("/studies/<uid:study>/links/<string:link_id>")
@signed_in
def revoke(study: str, link_id: str) -> tuple[str, int]:
    """End a link at once; ending it again changes nothing."""
    require_study(study, Action.SHARE)
    if link_id not in {link.link_id for link in services().links.links_of(study)}:
        abort(404)
    services().links.revoke(link_id)
    return "", 204


def _wanted() -> dict[str, Any]:
    """Return the fields of the request's JSON body; no body at all asks for the defaults.

    Raises:
        BadQueryError: the body is no JSON object, or a field is unknown or of another type.
    """
    body = json_object() if request.content_length else {}
    for name, value in body.items():
        kind = _FIELDS.get(name)
        if kind is None:
            raise BadQueryError(f"a field is unknown; known are {', '.join(_FIELDS)}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadQueryError(f"{name} must be {'a number' if kind is int else 'text'}")
    days = body.get("expires_in_days", _DEFAULT_DAYS)
    if not 1 <= days <= 3650:
        raise BadQueryError("expires_in_days must be at least 1")
    return body


def _status_form(link: LinkStatus) -> dict[str, Any]:
    return {
        "link_id": link.link_id,
        "created_by": link.created_by,
        "created_at": moment(link.created_at),
        "expires_at": moment(link.expires_at),
        "revoked_at": moment(link.revoked_at),
        "locked": link.locked,
        "views": link.views,
        "max_views": link.max_views,
    }
