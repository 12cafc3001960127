"""`/api/v1/me`: who the hub takes the asker for."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from viewer_api.security import current_subject, signed_in

blueprint = Blueprint("api_subject", __name__, url_prefix="/api/v1")


@blueprint.get("/me")
@signed_in
def me() -> Response:
    """Answer the signed-in subject with its roles and sites; `sites: null` is the whole region."""
    subject = current_subject()
    return jsonify(
        {
            "kind": subject.kind,
            "subject_id": subject.subject_id,
            "display": subject.display,
            "roles": sorted(subject.roles),
            "sites": None if subject.sites is None else sorted(subject.sites),
            "language": subject.language,
        }
    )
