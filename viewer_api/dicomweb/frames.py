"""WADO-RS frames: single frames or lists of them, stored or decoded (PS3.18 10.4.1.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from flask import Blueprint, Response, abort

from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.decoded_frames import decoded_frames
from viewer_api.dicomweb.frame_places import (
    FramePlaces,
    find_places,
    install_places,
    known_places,
    places_in,
)
from viewer_api.dicomweb.located import dicomweb_root, located_instance
from viewer_api.dicomweb.media_types import Representation, frame_representation
from viewer_api.dicomweb.multipart import Part, multipart_response, single_response
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.dicomweb.stored_frames import number_of_frames, stored_frame
from viewer_api.dicomweb.stored_object import StoredObject, read_object
from viewer_api.errors import NotAcceptableError, UnusableBytesError
from viewer_api.security import signed_in
from viewer_api.services import ViewerServices, services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord

blueprint = Blueprint("dicomweb_frames", __name__, url_prefix="/dicom-web")
blueprint.record(install_places)


@blueprint.get(
    "/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>/frames/<frames:frame_list>"
)
@signed_in
def frames(study: str, series: str, instance: str, frame_list: str) -> Response:
    """Stream the frames asked for, in the order asked; one missing frame answers 404."""
    found = located_instance(study, series, instance)
    numbers = [int(number) for number in frame_list.split(",")]
    chosen = frame_representation(accepted_by_asker(), found.transfer_syntax_uid)
    if not chosen.in_parts and len(numbers) > 1:
        raise NotAcceptableError("several frames need multipart/related")
    if max(numbers) > found.number_of_frames:
        abort(404)
    parts = _opened_parts(services(), found, numbers, chosen)
    if chosen.in_parts:
        return multipart_response(chosen.media_type, parts)
    return single_response(next(parts))


@dataclass(frozen=True)
class FrameRequest:
    """Which frames of an opened instance are sent, and how."""

    record: InstanceRecord
    stored: StoredObject
    numbers: Sequence[int]
    chosen: Representation
    root: str


def frame_parts(given: ViewerServices, wanted: FrameRequest) -> Iterator[Part]:
    """Yield one part per frame of `wanted`, then close its file.

    Raises:
        UnusableBytesError: a frame is not in the bytes or cannot be decoded.
    """
    address = instance_address(wanted.record, wanted.root)
    with closing(wanted.stored.file):
        for number, body in zip(wanted.numbers, _bodies(given, wanted), strict=True):
            yield Part(wanted.chosen.content_type, [body], f"{address}/frames/{number}")


def _bodies(given: ViewerServices, wanted: FrameRequest) -> Iterator[bytes]:
    if not wanted.chosen.decoded:
        return (stored_frame(wanted.stored, number) for number in wanted.numbers)
    uid = wanted.record.sop_instance_uid
    return (frame.data for frame in decoded_frames(given.eir.native_frame, uid, wanted.numbers))


def _opened_parts(
    given: ViewerServices, found: InstanceRecord, numbers: list[int], chosen: Representation
) -> Iterator[Part]:
    root = dicomweb_root()
    if chosen.decoded:
        stored = open_stored(given, found)
        return frame_parts(given, FrameRequest(found, stored, numbers, chosen, root))
    with ExitStack() as opened:
        file = opened.enter_context(given.archive.backend.open(found.storage_key))
        places = known_places(found, file) or places_in(found, file)
        if places is not None:
            opened.pop_all()
            return _placed_parts(FoundFrames(found, file, places, numbers), chosen, root)
    stored = open_stored(given, found)
    places = find_places(found, stored)
    if places is None:
        return frame_parts(given, FrameRequest(found, stored, numbers, chosen, root))
    return _placed_parts(FoundFrames(found, stored.file, places, numbers), chosen, root)


@dataclass(frozen=True)
class FoundFrames:
    """Which frames of an instance are sent as they are stored, its file, and where they are."""

    record: InstanceRecord
    file: BinaryIO
    places: FramePlaces
    numbers: Sequence[int]


def _placed_parts(wanted: FoundFrames, chosen: Representation, root: str) -> Iterator[Part]:
    """Yield one part per frame, then close the file; it is open from the first part on."""
    address = instance_address(wanted.record, root)
    with closing(wanted.file) as file:
        for number in wanted.numbers:
            body = wanted.places.frame(file, wanted.record.dataset_bytes, number)
            yield Part(chosen.content_type, [body], f"{address}/frames/{number}")


def open_stored(given: ViewerServices, found: InstanceRecord) -> StoredObject:
    """Open the stored bytes of `found`; whoever calls closes `.file`.

    Raises:
        UnusableBytesError: they are no readable object.
    """
    file = given.archive.backend.open(found.storage_key)
    try:
        stored = read_object(file, found.transfer_syntax_uid)
    except UnusableBytesError:
        file.close()
        raise
    if stored.file is not file:
        file.close()
    return stored


def every_frame(
    found: InstanceRecord, stored: StoredObject, chosen: Representation
) -> FrameRequest:
    """Return the request for all frames of an opened instance."""
    numbers = range(1, number_of_frames(stored.dataset) + 1)
    return FrameRequest(found, stored, numbers, chosen, dicomweb_root())
