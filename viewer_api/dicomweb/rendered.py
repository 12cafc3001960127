"""WADO-RS rendered frames and thumbnails: pictures a browser shows (PS3.18 10.4.1.1.4, .6)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, request, stream_with_context

from access_control.model import Action
from eir_versions.errors import (
    FrameNotFoundError,
    RenditionLostError,
    UnrenderableInstanceError,
)
from eir_versions.model import RenderRequest
from eir_versions.presentation_states import APPLICABLE, is_left_out
from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.finishing import GIF, JPEG, PNG, Finish, finished, fitted, words_of
from viewer_api.dicomweb.located import (
    LocatedInstances,
    dicomweb_root,
    located,
    located_instance,
)
from viewer_api.dicomweb.media_types import Accepted, choose, entry_for
from viewer_api.dicomweb.movies import movie_of, wants_movie
from viewer_api.dicomweb.multipart import Part, multipart_response
from viewer_api.dicomweb.presented import presented_frames
from viewer_api.dicomweb.rendering_parameters import (
    RenderingParameters,
    parse_rendering,
    thumbnail_viewport,
)
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.errors import UnusableBytesError
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eir_versions.jobs import Picture
    from image_archive.model import InstanceRecord

blueprint = Blueprint("dicomweb_rendered", __name__, url_prefix="/dicom-web")

# PS3.18 Table 8.7.4-1: the default, and what else every server is to have.
PICTURE_TYPES = (JPEG, PNG, GIF)
_NO_PICTURE = (UnrenderableInstanceError, FrameNotFoundError, RenditionLostError)
_DEFAULT_QUALITY = 90
_SMALL = RenderingParameters(window=None, viewport=(256, 256), quality=None)
_STUDY = "/studies/<uid:study>"
_SERIES = f"{_STUDY}/series/<uid:series>"
_INSTANCE = f"{_SERIES}/instances/<uid:instance>"


@blueprint.get(f"{_INSTANCE}/rendered")
@signed_in
def rendered_instance(study: str, series: str, instance: str) -> Response:
    """Answer an instance as a movie to who asks for one, else its first frame as a picture.

    A presentation state is answered as the pictures it is for, as it has them shown.
    """
    found = located_instance(study, series, instance, Action.VIEW_CLINICAL)
    if found.sop_class_uid in APPLICABLE:
        return _presented(found)
    if is_left_out(found.sop_class_uid):
        raise UnusableBytesError("presentation states of this kind are not applied")
    if wants_movie(found, accepted_by_asker(), PICTURE_TYPES):
        return movie_of(found)
    return _rendered(found, 1)


@blueprint.get(f"{_INSTANCE}/frames/<int:frame>/rendered")
@signed_in
def rendered_frame(study: str, series: str, instance: str, frame: int) -> Response:
    """Answer one frame of an instance as a picture."""
    return _rendered(located_instance(study, series, instance, Action.VIEW_CLINICAL), frame)


@blueprint.get(f"{_STUDY}/rendered")
@signed_in
def rendered_study(study: str) -> Response:
    """Answer the first frame of every image of a study, in parts."""
    return _in_parts(located(study, action=Action.VIEW_CLINICAL))


@blueprint.get(f"{_SERIES}/rendered")
@signed_in
def rendered_series(study: str, series: str) -> Response:
    """Answer the first frame of every image of a series, in parts."""
    return _in_parts(located(study, series, Action.VIEW_CLINICAL))


@blueprint.get(f"{_STUDY}/thumbnail")
@signed_in
def study_thumbnail(study: str) -> Response:
    """Answer a small picture that stands for a study."""
    found = located(study, action=Action.VIEW_CLINICAL)
    return _thumbnail(lambda: services().eir.thumbnail(study_uid=found.study.study_instance_uid))


@blueprint.get(f"{_SERIES}/thumbnail")
@signed_in
def series_thumbnail(study: str, series: str) -> Response:
    """Answer a small picture that stands for a series."""
    located(study, series, Action.VIEW_CLINICAL)
    return _thumbnail(lambda: services().eir.thumbnail(study_uid=study, series_uid=series))


@blueprint.get(f"{_INSTANCE}/thumbnail")
@signed_in
def instance_thumbnail(study: str, series: str, instance: str) -> Response:
    """Answer a small picture of an instance."""
    found = located_instance(study, series, instance, Action.VIEW_CLINICAL)
    return _thumbnail(lambda: services().eir.thumbnail(instance=found))


@blueprint.get(f"{_INSTANCE}/frames/<int:frame>/thumbnail")
@signed_in
def frame_thumbnail(study: str, series: str, instance: str, frame: int) -> Response:
    """Answer a small picture of one frame."""
    found = located_instance(study, series, instance, Action.VIEW_CLINICAL)
    if not 1 <= frame <= found.number_of_frames:
        abort(404)
    return _thumbnail(lambda: _made(found, frame, _SMALL, JPEG))


def picture_of(
    found: InstanceRecord, frame: int, wanted: RenderingParameters, accepted: list[Accepted]
) -> Response:
    """Answer one frame, that exists, as the picture the asker wants, or 304 where it is at hand."""
    return _picture(lambda: _made(found, frame, wanted, choose(accepted, PICTURE_TYPES)))


def _made(
    found: InstanceRecord, frame: int, wanted: RenderingParameters, media_type: str
) -> Picture:
    if wanted.region is not None and not wanted.presentation_state_uid and not wanted.region.whole:
        # In pixels as they are stored, which are shown wider or narrower where they are no squares.
        matrix = (found.columns or 0, found.rows or 0)
        wanted = replace(wanted, region=replace(wanted.region, whole=matrix))
    study = services().index.study(found.study_instance_uid) if wanted.annotation else None
    words = words_of(wanted.annotation, study, found, frame)
    finish = Finish(wanted, words, media_type, wanted.quality or _DEFAULT_QUALITY)
    asked = RenderRequest(
        sop_instance_uid=found.sop_instance_uid,
        frame_number=frame,
        window=wanted.window,
        viewport=None if wanted.region else wanted.viewport,
        media_type=PNG if finish.is_redrawn else media_type,
        quality=finish.quality,
        presentation_state_uid=wanted.presentation_state_uid,
    )
    return finished(services().eir.rendered(asked, found), finish)


def _in_parts(found: LocatedInstances) -> Response:
    """Answer the first frame of every instance that is an image, in parts.

    What no picture can be made of is left out: one poisoned instance costs its own picture.
    """
    accepted = [entry for entry in accepted_by_asker() if entry.in_parts]
    media_type = choose(accepted, PICTURE_TYPES)
    wanted = parse_rendering(request.args)
    images = [one for one in found.instances if one.rows and one.columns]
    if not images:
        raise UnusableBytesError("no picture can be made of this")
    # Flask types it for text alone.
    parts: Any = stream_with_context(_parts(images, wanted, media_type))
    return multipart_response(media_type, parts)


def _parts(
    images: list[InstanceRecord], wanted: RenderingParameters, media_type: str
) -> Iterator[Part]:
    root = dicomweb_root()
    for one in images:
        address = f"{instance_address(one, root)}/rendered"
        yield from _part((one, 1), wanted, media_type, address)


def _part(
    shown: tuple[InstanceRecord, int], wanted: RenderingParameters, media_type: str, address: str
) -> Iterator[Part]:
    """Yield the picture of an instance's frame as a part, nothing where none can be made."""
    with suppress(*_NO_PICTURE):
        yield Part(media_type, [_made(*shown, wanted, media_type).data], address)


def _presented(state: InstanceRecord) -> Response:
    """Answer the first picture a presentation state is for; in parts, all of them, in its order."""
    wanted = parse_rendering(request.args, state.sop_instance_uid)
    accepted = accepted_by_asker()
    media_type = choose(accepted, PICTURE_TYPES)
    try:
        frames = presented_frames(state)
    except UnrenderableInstanceError as error:
        raise UnusableBytesError("the presentation state cannot be applied") from error
    if not frames:
        raise UnusableBytesError("no picture that it is for is here")
    if not _wants_parts(accepted, media_type, len(frames)):
        return picture_of(*frames[0], wanted, accepted)
    address = f"{instance_address(state, dicomweb_root())}/rendered"
    # Flask types it for text alone.
    parts: Any = stream_with_context(
        part for shown in frames for part in _part(shown, wanted, media_type, address)
    )
    return multipart_response(media_type, parts)


def _wants_parts(accepted: list[Accepted], media_type: str, count: int) -> bool:
    """Whether the entry that is served asks for parts; who takes anything gets them for several."""
    entry = entry_for(accepted, media_type)
    return entry.in_parts and (count > 1 or entry.media_type != "*/*")


def _rendered(found: InstanceRecord, frame: int) -> Response:
    if not 1 <= frame <= found.number_of_frames:
        abort(404)
    return picture_of(found, frame, parse_rendering(request.args), accepted_by_asker())


def _thumbnail(make: Callable[[], Picture]) -> Response:
    """Answer the small picture, smaller still where the asker's viewport is."""
    viewport, accepted = thumbnail_viewport(request.args), accepted_by_asker()
    media_type = choose(accepted, PICTURE_TYPES)
    return _picture(lambda: fitted(make(), viewport, media_type))


def _picture(make: Callable[[], Picture]) -> Response:
    """Answer the picture, or 304 where the asker holds it already; it is asked for every time."""
    try:
        picture = make()
    except _NO_PICTURE as error:
        raise UnusableBytesError("no picture can be made of this") from error
    answer = Response(picture.data, content_type=picture.media_type)
    answer.set_etag(picture.sha256)
    # Kept by the browser, shown only after the hub has said again that this reader may.
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.make_conditional(request)
    return answer
