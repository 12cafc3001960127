"""WADO-RS bulk data: bytes of one element, also in ranges (PS3.18 10.4.1.1.5, RFC 9110)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.bulk_values import Value, element_value, pixel_value
from viewer_api.dicomweb.byte_ranges import asked_range
from viewer_api.dicomweb.frames import every_frame, frame_parts, open_stored
from viewer_api.dicomweb.located import dicomweb_root, located_instance
from viewer_api.dicomweb.media_types import OCTET_STREAM, entry_for, frame_representation
from viewer_api.dicomweb.multipart import Part, multipart_response, pieces, single_response
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.security import signed_in
from viewer_api.security.headers import SANDBOXED_POLICY
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord
    from viewer_api.dicomweb.stored_object import StoredObject

blueprint = Blueprint("dicomweb_bulkdata", __name__, url_prefix="/dicom-web")


@blueprint.get(
    "/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>/bulkdata/<tag_path:tag_path>"
)
@signed_in
def bulkdata(study: str, series: str, instance: str, tag_path: str) -> Response:
    """Answer the value of one element; encapsulated pixels come frame by frame."""
    found = located_instance(study, series, instance)
    stored = open_stored(services(), found)
    with ExitStack() as on_refusal:
        on_refusal.callback(stored.file.close)
        answer = _bulkdata(found, stored, tag_path.upper())
        on_refusal.pop_all()
    return answer


def _bulkdata(found: InstanceRecord, stored: StoredObject, tag_path: str) -> Response:
    pixels = stored.pixels
    if pixels is None or tag_path != f"{pixels.tag:08X}":
        value = element_value(stored, tag_path.split("/"))
    elif pixels.length is None:
        chosen = frame_representation(accepted_by_asker(), found.transfer_syntax_uid)
        parts = frame_parts(services(), every_frame(found, stored, chosen))
        return multipart_response(chosen.media_type, parts)
    else:
        value = pixel_value(stored)
    location = f"{instance_address(found, dicomweb_root())}/bulkdata/{tag_path}"
    return _confined(_answer(value, location))


def _answer(value: Value, location: str) -> Response:
    in_parts = entry_for(accepted_by_asker(), OCTET_STREAM).in_parts
    start, stop = asked_range(value.length)
    value.file.seek(value.offset + start)
    part = Part(OCTET_STREAM, pieces(value.file, stop - start), location)
    if in_parts:
        answer = multipart_response(OCTET_STREAM, iter([part]))
    else:
        answer = single_response(part)
        answer.content_length = stop - start
    answer.headers["Accept-Ranges"] = "bytes"
    if stop - start < value.length:
        answer.status_code = 206
        answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{value.length}"
    return answer


def _confined(answer: Response) -> Response:
    # An element may hold PDF, HTML or SVG: never shown by a browser inside our origin.
    answer.headers["Content-Security-Policy"] = SANDBOXED_POLICY
    answer.headers["Content-Disposition"] = "attachment"
    return answer
