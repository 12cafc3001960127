"""The metadata of one instance: every attribute but bulk data, as DICOM JSON (PS3.18 10.4.1.1.2).

One instance that cannot be read, or whose header is too large to be opened, answers with what the
index knows of it; the others are whole.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from typing import TYPE_CHECKING

from hub_kernel.errors import HubError
from image_archive.query import IndexMatch
from viewer_api.dicomweb.attributes import instance_address, match_json
from viewer_api.dicomweb.json_model import Expression, Json, dataset_to_json, tag_key
from viewer_api.dicomweb.stored_object import read_object

if TYPE_CHECKING:
    from image_archive.backend import ArchiveBackend
    from image_archive.model import InstanceRecord, StudyRecord

_log = logging.getLogger(__name__)
_RETRIEVE_URL = 0x00081190
_AVAILABLE_TRANSFER_SYNTAX = 0x00083002


def encoded(value: object, errors: str = "replace") -> bytes:
    """Return `value` as JSON in UTF-8; a number JSON cannot hold is a fault and raises."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", errors)


def instance_metadata(
    backend: ArchiveBackend, study: StudyRecord | None, instance: InstanceRecord, root: str
) -> Json:
    """Return the metadata of `instance`, whatever its bytes are; addresses begin with `root`."""
    address = instance_address(instance, root)
    try:
        found = _read(backend, instance, address)
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


def _read(backend: ArchiveBackend, instance: InstanceRecord, address: str) -> Json:
    with closing(backend.open(instance.storage_key)) as file:
        stored = read_object(file, instance.transfer_syntax_uid)
        expression = Expression(bulk_root=f"{address}/bulkdata", big_endian=stored.is_big_endian)
        found = dataset_to_json(stored.dataset, expression)
    if stored.pixels is not None:
        key = tag_key(stored.pixels.tag)
        found[key] = {"vr": stored.pixels.vr, "BulkDataURI": f"{address}/bulkdata/{key}"}
    return found
