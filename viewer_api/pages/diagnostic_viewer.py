"""The door to the full diagnostic viewer: one click from a study, for that person's studies."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect

from access_control.model import Action
from viewer_api.language import asker_language
from viewer_api.security import require_study, session_token, signed_in, viewer_root
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

blueprint = Blueprint("diagnostic_viewer", __name__)

_VIEWER_LANGUAGES = {"zh": "zh", "en": "en-US"}


@blueprint.get("/studies/<uid:study_uid>/viewer")
@signed_in
def enter(study_uid: str) -> Response:
    """Lead to the viewer's origin with a token for the studies of this study's person.

    The token is in the fragment: browsers send it to nobody. Who comes with a machine's token has
    no session for the viewer to hang on, and is answered as if there were no viewer.
    """
    study = require_study(study_uid, Action.VIEW_DIAGNOSTIC)
    root = viewer_root()
    if not root or not session_token():
        abort(404)
    token = services().viewer_grants.give(session_token(), study.patient)
    language = _VIEWER_LANGUAGES[asker_language()]
    fragment = urlencode({"token": token, "study": study_uid, "lng": language})
    return redirect(f"{root}/open#{fragment}", code=303)
