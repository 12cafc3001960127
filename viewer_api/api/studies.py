"""`/api/v1/studies/{uid}`: proof of arrival — received, archived, registered, rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from access_control.model import Action, Purpose, Resource
from viewer_api.api.forms import moment
from viewer_api.security import permitted, record_access, require_study, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import StudyRecord

blueprint = Blueprint("api_studies", __name__, url_prefix="/api/v1")

RECIPES = ("diagnostic", "clinical", "public")


@blueprint.get("/studies/<uid:study>")
@signed_in
def ledger(study: str) -> Response:
    """Answer how far a study has come; nothing of it names the patient."""
    found = _study_whose_ledger_may_be_seen(study)
    return jsonify(
        {
            "study_instance_uid": found.study_instance_uid,
            "site_id": found.site_id,
            "state": found.state,
            "generation": found.generation,
            "received": {
                "done": found.instance_count > 0,
                "first_at": moment(found.received_at),
                "last_at": moment(found.last_received_at),
                "series": found.series_count,
                "instances": found.instance_count,
            },
            "archived": {
                "done": found.completed_at is not None,
                "completed_at": moment(found.completed_at),
            },
            "registered": _registered(study),
            "rendered": {recipe: _rendered(study, recipe) for recipe in RECIPES},
        }
    )


def _study_whose_ledger_may_be_seen(uid: str) -> StudyRecord:
    """Return the study to its readers, and to who runs the site it came from."""
    study = services().index.study(uid)
    if study is not None:
        own = Resource("study", uid, frozenset({study.site_id}), study.site_id)
        if permitted(Action.VIEW_OPERATIONS, own, Purpose.OPERATIONS):
            record_access(str(Action.VIEW_OPERATIONS), "success", own)
            return study
    return require_study(uid, Action.VIEW_CLINICAL)


def _registered(uid: str) -> dict[str, Any]:
    entry = services().registry.manifest_of(uid)
    if entry is None:
        return {"done": False}
    return {"done": True, "document_unique_id": entry.unique_id, "entry_uuid": entry.entry_uuid}


def _rendered(uid: str, recipe: str) -> dict[str, Any]:
    version = services().eir.version(uid, recipe)
    if version is None:
        return {"done": False}
    return {
        "done": True,
        "version_id": version.version_id,
        "generation": version.generation,
        "pictures": len(version.pictures),
        "created_at": moment(version.created_at),
    }
