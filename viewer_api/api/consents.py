"""`/api/v1/patients/{id}/consents` and `…/accesses`: what a person refuses, and who looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from access_control.model import Action
from viewer_api import accesses, consent_desk, identity_desk
from viewer_api.api.forms import moment
from viewer_api.api.parameters import json_body, whole_number
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from access_control.consent import ConsentEntry
    from patient_index.model import Person
    from viewer_api.accesses import Access

blueprint = Blueprint("api_consents", __name__, url_prefix="/api/v1")


@blueprint.get("/patients/<string:global_id>/consents")
@signed_in
def listed(global_id: str) -> Response:
    """Answer what holds for each scope, and everything that was ever said."""
    person = _person(global_id)
    consents = services().consents
    return jsonify(
        {
            "current": [_form(entry) for entry in consents.current(person.global_id)],
            "history": [_form(entry) for entry in consents.history(person.global_id)],
            "scopes": consent_desk.scopes(),
        }
    )


@blueprint.post("/patients/<string:global_id>/consents")
@signed_in
def record(global_id: str) -> tuple[Response, int]:
    """Write down a consent (`grant`) or a refusal (`refuse`) for one scope."""
    person = _person(global_id)
    wanted = json_body(
        {"kind": str, "scope": str, "reason": str}, required=("kind", "scope", "reason")
    )
    entry = consent_desk.record(person, wanted["kind"], wanted["scope"], wanted["reason"])
    return jsonify(_form(entry)), 201


@blueprint.get("/patients/<string:global_id>/accesses")
@signed_in
def accessed(global_id: str) -> Response:
    """Answer every access to a person's record, pictures and documents, latest first."""
    before = request.args.get("before")
    found = accesses.of_person(
        _person(global_id),
        whole_number("before", default=0, most=10**15) if before is not None else None,
    )
    return jsonify(
        {"accesses": [_access_form(access) for access in found.found], "next_before": found.older}
    )


def _person(global_id: str) -> Person:
    return identity_desk.require_person(global_id, Action.MANAGE_CONSENT)


def _form(entry: ConsentEntry) -> dict[str, Any]:
    return {
        "entry_id": entry.entry_id,
        "kind": entry.kind,
        "scope": entry.scope,
        "by": entry.by,
        "reason": entry.reason,
        "recorded_at": moment(entry.recorded_at),
    }


def _access_form(access: Access) -> dict[str, Any]:
    record = access.record
    return {
        "sequence": record.sequence,
        "at": moment(record.recorded_at),
        "who": {
            "kind": record.subject_kind,
            "id": record.subject_id,
            "display": record.display,
            "roles": list(record.roles),
        },
        "action": record.action,
        "outcome": record.outcome,
        "about": {"kind": record.resource_kind, "id": record.resource_id},
        "study_instance_uid": access.study.study_instance_uid if access.study else None,
        "from": record.address,
    }
