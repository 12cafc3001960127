"""WADO-RS metadata: every attribute but bulk data, as DICOM JSON (PS3.18 10.4.1.1.2).

One instance that cannot be read, or whose header is too large to be opened, answers with what the
index knows of it; the others are whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from hub_kernel.errors import HubError
from image_archive.query import IndexMatch
from viewer_api.dicomweb.attributes import instance_address, match_json
from viewer_api.dicomweb.json_model import Expression, Json, dataset_to_json, tag_key
from viewer_api.dicomweb.located import dicomweb_root, located, located_instance
from viewer_api.dicomweb.media_types import DICOM_JSON, choose
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.security import signed_in
from viewer_api.services import ViewerServices, services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord, StudyRecord

blueprint = Blueprint("dicomweb_metadata", __name__, url_prefix="/dicom-web")

_log = logging.getLogger(__name__)
_JSON_TYPES = (DICOM_JSON, "application/json")
_RETRIEVE_URL = 0x00081190
_AVAILABLE_TRANSFER_SYNTAX = 0x00083002


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


def encoded(value: object) -> bytes:
    """Return `value` as JSON in UTF-8; a number JSON cannot hold is a fault and raises."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _answer(study: StudyRecord | None, instances: list[InstanceRecord]) -> Response:
    return json_response(_streamed(services(), study, instances, dicomweb_root()))


def _streamed(
    given: ViewerServices, study: StudyRecord | None, instances: list[InstanceRecord], root: str
) -> Iterator[bytes]:
    opening = b"["
    for instance in instances:
        yield opening + encoded(_metadata(given, study, instance, root))
        opening = b","
    yield b"]"


def _metadata(
    given: ViewerServices, study: StudyRecord | None, instance: InstanceRecord, root: str
) -> Json:
    address = instance_address(instance, root)
    try:
        found = _read(given, instance, address)
    except (HubError, OSError) as error:
        _log.warning(
            "metadata answered from the index",
            extra={"instance": instance.sop_instance_uid, "error": type(error).__qualname__},
        )
        found = match_json(IndexMatch(study=study, instance=instance).attributes(), address)
    found[tag_key(_AVAILABLE_TRANSFER_SYNTAX)] = {
        "vr": "UI",
        "Value": [instance.transfer_syntax_uid],
    }
    found[tag_key(_RETRIEVE_URL)] = {"vr": "UR", "Value": [address]}
    return dict(sorted(found.items()))


def _read(given: ViewerServices, instance: InstanceRecord, address: str) -> Json:
    with closing(given.archive.backend.open(instance.storage_key)) as file:
        stored = read_object(file, instance.transfer_syntax_uid)
        expression = Expression(bulk_root=f"{address}/bulkdata", big_endian=stored.is_big_endian)
        found = dataset_to_json(stored.dataset, expression)
    if stored.pixels is not None:
        key = tag_key(stored.pixels.tag)
        found[key] = {"vr": stored.pixels.vr, "BulkDataURI": f"{address}/bulkdata/{key}"}
    return found
