"""The pictures a stack is scrolled through, why one cannot be shown, and where each frame lies.

Every picture is the rendering pipeline's. The reference stays below the clinical recipe's ceiling
of compression for its modality and body part; a picture for reading loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, jsonify, request

from access_control.model import Action
from eir_versions import reasons
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.jobs import JPEG, PNG
from eir_versions.model import RenderRequest
from eir_versions.recipes import CLINICAL
from hub_kernel.identifiers import require_uid
from viewer_api.dicomweb.located import located, located_instance, located_state
from viewer_api.dicomweb.rendering_parameters import parse_rendering
from viewer_api.pages.picture_words import picture_refusal
from viewer_api.pages.slice_facts import facts_of_series
from viewer_api.pages.stack_facts import stack_facts
from viewer_api.pages.stacks import picture_instances
from viewer_api.security import signed_in
from viewer_api.security.remembered import remembered
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord

blueprint = Blueprint("pictures", __name__)

_SERIES = "/studies/<uid:study>/series/<uid:series>"
_PICTURE = f"{_SERIES}/pictures/<uid:instance>/<int:frame>"
_REFERENCE_QUALITY = 95


@blueprint.get(f"{_PICTURE}.png")
@signed_in
def lossless(study: str, series: str, instance: str, frame: int) -> Response:
    """Answer one frame as PNG; `window` replaces the stored one, with `suv=1` in SUVbw.

    `palette` shows grey in colour, `state` as a presentation state has it, `native=1` without the
    subtraction that the device recommends.
    """
    found = located_instance(study, series, instance, Action.VIEW_CLINICAL)
    return _answer(found, _request(found, frame, PNG))


@blueprint.get(f"{_PICTURE}.jpg")
@signed_in
def reference(study: str, series: str, instance: str, frame: int) -> Response:
    """Answer one frame below the ceiling of compression, with the arguments of `lossless`."""
    found = located_instance(study, series, instance, Action.VIEW_CLINICAL)
    ceiling = remembered(
        ("ceiling", found.series_instance_uid), lambda: _ceiling(found), timeless=True
    )
    return _answer(found, _request(found, frame, JPEG, ceiling))


@blueprint.get(f"{_SERIES}/facts")
@signed_in
def facts(study: str, series: str) -> Response:
    """Answer where in the body each frame of a stack lies, in the order of the stack."""
    found = located(study, series, Action.VIEW_CLINICAL)
    instances = picture_instances(found.instances)
    return jsonify(stack_facts(facts_of_series(instances)))


def _request(
    found: InstanceRecord, frame: int, media_type: str, ceiling: float | None = None
) -> RenderRequest:
    return RenderRequest(
        sop_instance_uid=found.sop_instance_uid,
        frame_number=frame,
        window=parse_rendering(request.args).window,
        media_type=media_type,
        quality=_REFERENCE_QUALITY,
        ratio_ceiling=ceiling,
        presentation_state_uid=_state(found.study_instance_uid),
        in_suv=request.args.get("suv", "") == "1",
        native=request.args.get("native", "") == "1",
        palette=request.args.get("palette", ""),
    )


def _state(study_uid: str) -> str:
    """Return the presentation state asked for, empty where none is."""
    asked = request.args.get("state", "")
    return located_state(study_uid, require_uid(asked, "state")).sop_instance_uid if asked else ""


def _ceiling(found: InstanceRecord) -> float | None:
    """Return the ceiling the clinical version has for the series, by all that names its part."""
    style = services().eir.recipes.get(CLINICAL).picture
    study = services().index.study(found.study_instance_uid)
    for series in services().index.series_of(found.study_instance_uid):
        if series.series_instance_uid == found.series_instance_uid and study is not None:
            return style.ceiling_of(
                series.modality,
                series.body_part_examined,
                series.series_description,
                study.study_description,
            )
    return style.default_ceiling


def _answer(found: InstanceRecord, wanted: RenderRequest) -> Response:
    """Answer the picture, or 304 where the browser holds it; else 404 with the reason in words."""
    if not 1 <= wanted.frame_number <= found.number_of_frames:
        abort(404)
    try:
        picture = services().eir.rendered(wanted)
    except UnrenderableInstanceError as error:
        return _refusal(error.reason)
    except FrameNotFoundError:
        return _refusal(reasons.NO_SUCH_FRAME)
    answer = Response(picture.data, content_type=picture.media_type)
    answer.set_etag(picture.sha256)
    # Kept by the browser, shown only after the hub has said again that this reader may.
    answer.headers["Cache-Control"] = "private, no-cache"
    if picture.media_type == JPEG and picture.compression_ratio is not None:
        answer.headers["X-Compression-Ratio"] = f"{picture.compression_ratio:.2f}"
    answer.make_conditional(request)
    return answer


def _refusal(reason: str) -> Response:
    what, advice = picture_refusal(reason)
    answer = jsonify({"error": {"reason": reason, "title": what, "advice": advice}})
    answer.status_code = 404
    return answer
