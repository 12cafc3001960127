"""WADO-URI: one object by a query, as DICOM or as a picture (PS3.18 9; RAD-55, RAD TF-2 4.55)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, request

from access_control.model import Action
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid
from image_archive.errors import UnreadableInstanceError
from image_archive.exporting import as_stored
from viewer_api.dicomweb.located import located_instance, located_state
from viewer_api.dicomweb.media_types import (
    DICOM,
    EXPLICIT_VR_LITTLE_ENDIAN,
    Accepted,
    choose,
    parse_accept,
)
from viewer_api.dicomweb.rendered import PICTURE_TYPES, picture_of
from viewer_api.dicomweb.rendering_parameters import (
    MAX_VIEWPORT,
    SourceRegion,
    parse_rendering,
)
from viewer_api.dicomweb.transcoding import explicit_little_endian
from viewer_api.errors import BadQueryError, NotAcceptableError, UnusableBytesError
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from image_archive.exporting import ExportedInstance
    from image_archive.model import InstanceRecord

blueprint = Blueprint("dicomweb_wado_uri", __name__)

# Names of media types that are not registered and are asked for nevertheless.
_ALIASES = {"application/jpeg": "image/jpeg", "image/jpg": "image/jpeg"}
# What would change the answer and is not offered is refused, or the asker would be misled.
_NOT_OFFERED = ("anonymize",)
_FRACTION = re.compile(r"0(?:\.[0-9]{1,9})?|1(?:\.0{1,9})?")
# A presentation state says these itself (PS3.18 9.4.1).
_NOT_WITH_A_STATE = ("windowCenter", "windowWidth")


@blueprint.get("/wado")
@signed_in
def wado_uri() -> Response:
    """Answer one object in the first representation that the asker takes."""
    asked = request.args
    if asked.get("requestType", "").upper() != "WADO":
        raise BadQueryError("requestType must be WADO")
    for name in _NOT_OFFERED:
        if asked.get(name, "no") not in {"", "no"}:
            raise BadQueryError(f"{name} is not offered here")
    study, series, instance = (_uid(asked, n) for n in ("studyUID", "seriesUID", "objectUID"))
    accepted = _accepted(asked)
    found = located_instance(study, series, instance, _action(accepted, instance))
    if choose(accepted, _offered(found)) == DICOM:
        return _dicom(found, asked.get("transferSyntax", "").strip())
    if asked.get("transferSyntax"):
        raise BadQueryError("transferSyntax is for contentType=application/dicom alone")
    return _picture(found, asked, accepted)


def _uid(asked: Mapping[str, str], name: str) -> str:
    """Return a UID that was asked for; an empty one names nothing that is here."""
    text = asked.get(name)
    if text is None:
        raise BadQueryError(f"{name} is missing")
    if not text.strip():
        abort(404)
    try:
        return require_uid(text.strip(), name)
    except InvalidUidError as error:
        raise BadQueryError(str(error)) from error


def _accepted(asked: Mapping[str, str]) -> list[Accepted]:
    """Return what the asker takes: `contentType` says so, or else the Accept header."""
    text = asked.get("contentType", "") or request.headers.get("Accept", "")
    for alias, name in _ALIASES.items():
        text = text.replace(alias, name)
    return parse_accept(text)


def _action(accepted: list[Accepted], instance_uid: str) -> Action:
    """Return what answering is: whoever may not have the object may still see a picture of it.

    Nothing is said here of an object that the asker may not see.
    """
    found = services().index.instance(instance_uid)
    try:
        wanted = choose(accepted, _offered(found)) if found else DICOM
    except NotAcceptableError:
        wanted = DICOM  # said only to who may see the object
    return Action.VIEW_DIAGNOSTIC if wanted == DICOM else Action.VIEW_CLINICAL


def _offered(found: InstanceRecord) -> tuple[str, ...]:
    """Return what an object is answered as, the default first (PS3.18 8.7.4)."""
    return (*PICTURE_TYPES, DICOM) if found.rows and found.columns else (DICOM,)


def _dicom(found: InstanceRecord, transfer_syntax: str) -> Response:
    exported = _exported(found, transfer_syntax)
    answer = Response(
        exported.open(),
        content_type=f"{DICOM}; transfer-syntax={exported.transfer_syntax_uid}",
    )
    answer.content_length = exported.size
    return answer


def _exported(found: InstanceRecord, wanted: str) -> ExportedInstance:
    """Return the object as wanted, by default uncompressed; what has no such form as stored."""
    archive, eir = services().archive, services().eir
    if wanted not in {"", "*", found.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN}:
        offered = dict.fromkeys((found.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN))
        raise NotAcceptableError(f"offered here: {' or '.join(offered)}")
    try:
        if wanted in {"*", found.transfer_syntax_uid}:
            return as_stored(archive.backend, found)
        decoded = explicit_little_endian(
            lambda: archive.backend.open(found.storage_key), found, eir.native_frame
        )
        return decoded or as_stored(archive.backend, found)
    except UnreadableInstanceError as error:
        raise UnusableBytesError("the stored object cannot be read") from error


def _picture(found: InstanceRecord, asked: Mapping[str, str], accepted: list[Accepted]) -> Response:
    frame = _whole(asked.get("frameNumber", "") or "1", "frameNumber", 2**31)
    if frame > found.number_of_frames:
        abort(404)
    state = _state(found.study_instance_uid, asked)
    wanted = replace(parse_rendering(_rendering(asked), state), region=_region(asked))
    return picture_of(found, frame, wanted, accepted)


def _region(asked: Mapping[str, str]) -> SourceRegion | None:
    """Return the part of the image asked for, as fractions of its width and height (9.4.1)."""
    text = asked.get("region", "")
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(_FRACTION.fullmatch(part.strip()) for part in parts):
        raise BadQueryError("region must be left,top,right,bottom, each from 0 to 1")
    left, top, right, bottom = map(float, parts)
    if left >= right or top >= bottom:
        raise BadQueryError("region: right and bottom lie beyond left and top")
    return SourceRegion(left, top, right - left, bottom - top, whole=(1.0, 1.0))


def _state(study: str, asked: Mapping[str, str]) -> str:
    """Return the UID of the presentation state asked for, empty where none is."""
    if not asked.get("presentationUID") and not asked.get("presentationSeriesUID"):
        return ""
    if any(asked.get(name) for name in _NOT_WITH_A_STATE):
        raise BadQueryError("windowCenter and windowWidth do not go with a presentation state")
    uid, series = _uid(asked, "presentationUID"), _uid(asked, "presentationSeriesUID")
    return located_state(study, uid, series).sop_instance_uid


def _rendering(asked: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters as WADO-RS names them (PS3.18 9.4.1 and 8.3.5.1)."""
    parameters = {
        "quality": asked.get("imageQuality", ""),
        "annotation": asked.get("annotation", "") or asked.get("imageAnnotation", ""),
    }
    rows, columns = asked.get("rows", ""), asked.get("columns", "")
    if rows or columns:
        sides = [
            _whole(text, name, MAX_VIEWPORT) if text else MAX_VIEWPORT
            for text, name in ((columns, "columns"), (rows, "rows"))
        ]
        parameters["viewport"] = ",".join(map(str, sides))
    centre, width = asked.get("windowCenter", ""), asked.get("windowWidth", "")
    if bool(centre) != bool(width):
        raise BadQueryError("windowCenter and windowWidth go together")
    if centre:
        parameters["window"] = f"{centre},{width}"
    return parameters


def _whole(text: str, name: str, most: int) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits[:12]) <= most:
        raise BadQueryError(f"{name} is a whole number from 1 to {most}")
    return int(digits[:12])
