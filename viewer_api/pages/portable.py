"""Download one study as portable media, for the person it is of: a signed-in reader hands it out.

No shared link opens this: links show pictures without identity.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort

from access_control.model import Action
from viewer_api.errors import MediumTooLargeError
from viewer_api.medium_texts import texts_of
from viewer_api.portable_media import MOST_INSTANCES, listing, zipped
from viewer_api.security import record_access, require_study, signed_in, study_resource
from viewer_api.services import services

blueprint = Blueprint("portable", __name__)


@blueprint.get("/studies/<uid:study_uid>/medium.zip")
@signed_in
def medium(study_uid: str) -> Response:
    """Send the study with its DICOMDIR as one zip; more than a medium holds is refused (413)."""
    study = require_study(study_uid, Action.VIEW_DIAGNOSTIC)
    if study.instance_count > MOST_INSTANCES:
        raise MediumTooLargeError(str(MOST_INSTANCES))
    archive = services().archive
    found = listing(services().index.instances_of(study_uid), archive.open_instance)
    if not found.places:
        abort(404)
    detail = f"medium: {len(found.places)} images"
    record_access("retrieve_document", "success", study_resource(study), detail=detail)
    body = zipped(found, texts_of(study, found), archive.backend)
    answer = Response(body, content_type="application/zip")
    answer.headers["Content-Disposition"] = 'attachment; filename="examination.zip"'
    answer.headers["Cache-Control"] = "no-store"
    return answer
