"""WADO-RS metadata of a study, a series or an instance (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from viewer_api.dicomweb.located import dicomweb_root, located, located_instance
from viewer_api.dicomweb.media_types import DICOM_JSON, choose
from viewer_api.dicomweb.ready_metadata import metadata_lines
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.backend import ArchiveBackend
    from image_archive.model import InstanceRecord, StudyRecord

blueprint = Blueprint("dicomweb_metadata", __name__, url_prefix="/dicom-web")

# Instances whose metadata goes out in one piece.
_TOGETHER = 64
_JSON_TYPES = (DICOM_JSON, "application/json")


@blueprint.get("/studies/<uid:study>/metadata")
@signed_in
def study_metadata(study: str) -> Response:
    """Stream the metadata of every instance of a study."""
    found = located(study)
    return _answer(found.study, found.instances)


@blueprint.get("/studies/<uid:study>/series/<uid:series>/metadata")
@signed_in
def series_metadata(study: str, series: str) -> Response:
    """Stream the metadata of every instance of a series."""
    found = located(study, series)
    return _answer(found.study, found.instances)


@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>/metadata")
@signed_in
def instance_metadata(study: str, series: str, instance: str) -> Response:
    """Answer the metadata of one instance."""
    record = services().index.study(study)
    return _answer(record, [located_instance(study, series, instance)])


def json_response(body: bytes | Iterator[bytes]) -> Response:
    """Return `body` as DICOM JSON, or as plain JSON to who accepts only that.

    Raises:
        NotAcceptableError: neither is accepted.
    """
    media_type = choose(accepted_by_asker(), _JSON_TYPES)
    return Response(body, content_type=f"{media_type}; charset=utf-8")


def _answer(study: StudyRecord | None, instances: list[InstanceRecord]) -> Response:
    backend = services().archive.backend
    return json_response(_streamed(backend, study, instances, dicomweb_root()))


def _streamed(
    backend: ArchiveBackend, study: StudyRecord | None, instances: list[InstanceRecord], root: str
) -> Iterator[bytes]:
    opening = b"["
    lines = metadata_lines(backend, study, instances, root)
    while some := list(islice(lines, _TOGETHER)):
        yield opening + b",".join(some)
        opening = b","
    yield b"]"
