"""WADO-RS metadata of a study, a series or an instance (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from viewer_api.dicomweb.located import dicomweb_root, located, located_instance
from viewer_api.dicomweb.media_types import DICOM_JSON, choose
from viewer_api.dicomweb.multipart import Part, multipart_response
from viewer_api.dicomweb.native_model import DICOM_XML, native_xml
from viewer_api.dicomweb.ready_metadata import metadata_lines
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.backend import ArchiveBackend
    from image_archive.model import InstanceRecord, StudyRecord
    from viewer_api.dicomweb.json_model import Json

blueprint = Blueprint("dicomweb_metadata", __name__, url_prefix="/dicom-web")

# Instances whose metadata goes out in one piece.
_TOGETHER = 64
_OFFERED = (DICOM_JSON, DICOM_XML, "application/json")


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


def attributes_response(
    as_json: Callable[[], bytes | Iterator[bytes]], objects: Callable[[], Iterable[Json]]
) -> Response:
    """Return datasets as one DICOM JSON array, or as parts of XML (PS3.18 8.7.3.2).

    `as_json` gives the whole array, `objects` its datasets one by one; the other is not asked.
    Whoever accepts only plain JSON gets that. No part at all is 204.

    Raises:
        NotAcceptableError: none of them is accepted.
    """
    media_type = choose(accepted_by_asker(), _OFFERED)
    if media_type != DICOM_XML:
        return Response(as_json(), content_type=f"{media_type}; charset=utf-8")
    parts = (Part(DICOM_XML, [native_xml(one)]) for one in objects())
    first = next(parts, None)
    if first is None:
        return Response(status=204)
    return multipart_response(DICOM_XML, chain([first], parts))


def _answer(study: StudyRecord | None, instances: list[InstanceRecord]) -> Response:
    backend = services().archive.backend
    root = dicomweb_root()
    return attributes_response(
        lambda: _streamed(backend, study, instances, root),
        lambda: map(json.loads, metadata_lines(backend, study, instances, root)),
    )


def _streamed(
    backend: ArchiveBackend, study: StudyRecord | None, instances: list[InstanceRecord], root: str
) -> Iterator[bytes]:
    opening = b"["
    lines = metadata_lines(backend, study, instances, root)
    while some := list(islice(lines, _TOGETHER)):
        yield opening + b",".join(some)
        opening = b","
    yield b"]"
