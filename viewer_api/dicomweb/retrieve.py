"""WADO-RS: instances as DICOM, alone or in parts, streamed from the archive (PS3.18 10.4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from image_archive.errors import UnreadableInstanceError
from image_archive.exporting import opened_as_stored
from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.located import dicomweb_root, located, located_instance
from viewer_api.dicomweb.media_types import (
    DICOM,
    Accepted,
    Representation,
    instance_representation,
    parse_accept,
)
from viewer_api.dicomweb.multipart import Part, multipart_response, single_response
from viewer_api.dicomweb.transcoding import decoded_instance
from viewer_api.errors import NotAcceptableError, UnusableBytesError
from viewer_api.security import signed_in
from viewer_api.services import ViewerServices, services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord

blueprint = Blueprint("dicomweb_retrieve", __name__, url_prefix="/dicom-web")


@blueprint.get("/studies/<uid:study>")
@signed_in
def study_instances(study: str) -> Response:
    """Stream every instance of a study."""
    return _in_parts(located(study).instances)


@blueprint.get("/studies/<uid:study>/series/<uid:series>")
@signed_in
def series_instances(study: str, series: str) -> Response:
    """Stream every instance of a series."""
    return _in_parts(located(study, series).instances)


@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>")
@signed_in
def instance(study: str, series: str, instance: str) -> Response:
    """Stream one instance, as the only part or, where `application/dicom` is asked for, alone."""
    found = located_instance(study, series, instance)
    accepted = accepted_by_asker()
    chosen = instance_representation(accepted, found.transfer_syntax_uid)
    part = _part(services(), found, chosen, dicomweb_root())
    if chosen.in_parts:
        return multipart_response(DICOM, iter([part]))
    return single_response(part)


def accepted_by_asker() -> list[Accepted]:
    """Return what the request accepts; the query parameter `accept` wins (PS3.18 8.3.3.1)."""
    return parse_accept(request.args.get("accept") or request.headers.get("Accept", ""))


def _in_parts(instances: list[InstanceRecord]) -> Response:
    accepted = [entry for entry in accepted_by_asker() if entry.in_parts]
    if not accepted:
        raise NotAcceptableError(f"offered here: multipart/related of {DICOM}")
    for found in instances:
        # Before the first byte: later there is no way to say 406.
        instance_representation(accepted, found.transfer_syntax_uid)
    return multipart_response(DICOM, _parts(services(), instances, accepted, dicomweb_root()))


def _parts(
    given: ViewerServices, instances: list[InstanceRecord], accepted: list[Accepted], root: str
) -> Iterator[Part]:
    for found in instances:
        chosen = instance_representation(accepted, found.transfer_syntax_uid)
        yield _part(given, found, chosen, root)


def _part(given: ViewerServices, found: InstanceRecord, chosen: Representation, root: str) -> Part:
    location = instance_address(found, root)
    if chosen.decoded and chosen.transfer_syntax != found.transfer_syntax_uid:
        file = given.archive.backend.open(found.storage_key)
        decoded = decoded_instance(file, found, given.eir.native_frame)
        if decoded is not None:
            return Part(chosen.content_type, decoded.chunks, location)
    content_type = f"{DICOM}; transfer-syntax={found.transfer_syntax_uid}"
    return Part(content_type, _as_stored(given, found), location)


def _as_stored(given: ViewerServices, found: InstanceRecord) -> Iterator[bytes]:
    """Open the dataset now, so that a missing one is an error and not an empty part."""
    try:
        return opened_as_stored(given.archive.backend, found)
    except UnreadableInstanceError as error:
        raise UnusableBytesError("the stored object cannot be read") from error
