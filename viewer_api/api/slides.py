"""`/api/v1/studies/{uid}/series/{uid}/pyramid`: the levels of a whole-slide series."""

from __future__ import annotations

from flask import Blueprint, Response, abort, jsonify

from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.located import dicomweb_root, located
from viewer_api.dicomweb.slide_levels import pyramid_of
from viewer_api.security import signed_in
from viewer_api.services import services

blueprint = Blueprint("api_slides", __name__, url_prefix="/api/v1")


@blueprint.get("/studies/<uid:study>/series/<uid:series>/pyramid")
@signed_in
def pyramid(study: str, series: str) -> Response:
    """Answer the levels of a slide, the largest first; 404 where the series holds no slide.

    Each level's tiles are the frames below its `frames_url`.
    """
    instances = located(study, series).instances
    levels = pyramid_of(services(), instances)
    if not levels:
        abort(404)
    root = dicomweb_root()
    places = {one.sop_instance_uid: instance_address(one, root) for one in instances}
    for level in levels:
        level["frames_url"] = f"{places[level['sop_instance_uid']]}/frames/"
    return jsonify({"study_instance_uid": study, "series_instance_uid": series, "levels": levels})
