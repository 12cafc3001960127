"""Metadata made once, when a study completes, so that answering opens no instance.

One object for each series holds a line for each instance: its UID, the digest of its dataset and
its metadata. What is answered follows the index: a line counts only for an instance that is there
with just these bytes. So a late instance is read from its file until the study completes again, and
one that was taken back is not shown, whatever the object holds (PS3.18 10.4.1.1.2).
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING

from hub_kernel.errors import HubError
from hub_kernel.events import Event, StudyCompleted
from hub_kernel.outbox import Subscriber
from viewer_api.dicomweb.instance_metadata import encoded, instance_metadata

if TYPE_CHECKING:
    from image_archive.backend import ArchiveBackend
    from image_archive.index import ArchiveIndex
    from image_archive.model import InstanceRecord, StudyRecord
    from viewer_api.dicomweb.json_model import Json

_log = logging.getLogger(__name__)

# Where the address of the service belongs. A lone surrogate is in no text that was decoded, and its
# bytes are in no UTF-8.
_ROOT = "\udcff"
_ROOT_BYTES = _ROOT.encode("utf-8", "surrogatepass")
_FIELDS = b"\t"


class ReadyMetadata:
    """Makes the objects; a study that completes again replaces its own."""

    def __init__(self, backend: ArchiveBackend, index: ArchiveIndex) -> None:
        self._backend = backend
        self._index = index

    def subscribers(self) -> list[Subscriber]:
        """Return the reaction to a completed study."""
        return [
            Subscriber(
                "viewer_api.metadata",
                StudyCompleted,
                self._completed,
                heavy=True,
            )
        ]

    def make(self, study_uid: str) -> None:
        """Make the metadata of every series of a study.

        Raises:
            ArchiveError: it could not be made durable.
        """
        study = self._index.study(study_uid)
        instances = self._index.instances_of(study_uid)
        for _, group in groupby(instances, key=lambda one: one.series_instance_uid):
            self._make(study, group)

    def _completed(self, event: Event) -> None:
        if isinstance(event, StudyCompleted):
            self.make(event.study_instance_uid)

    def _make(self, study: StudyRecord | None, instances: Iterator[InstanceRecord]) -> None:
        squeeze = zlib.compressobj(6)
        first = next(instances)
        pending = self._backend.create()
        try:
            for instance in chain([first], instances):
                pending.write(squeeze.compress(_line(self._backend, study, instance)))
            pending.write(squeeze.flush())
            pending.publish(metadata_key(first))
        finally:
            pending.discard()


def metadata_lines(
    backend: ArchiveBackend, study: StudyRecord | None, instances: list[InstanceRecord], root: str
) -> Iterator[bytes]:
    """Yield the metadata of `instances`, of one study and in series order, as JSON objects.

    What is not ready is read from its file, and costs an instance that cannot be read its own
    attributes alone.
    """
    root_bytes = root.encode("utf-8")
    for _, group in groupby(instances, key=lambda one: one.series_instance_uid):
        of_series = list(group)
        ready = _ready(backend, of_series[0]) if len(of_series) > 1 else {}
        for instance in of_series:
            found = ready.get((instance.sop_instance_uid, instance.dataset_sha256))
            if found is None:
                yield encoded(instance_metadata(backend, study, instance, root))
            else:
                yield found.replace(_ROOT_BYTES, root_bytes)


def ready_attributes(
    backend: ArchiveBackend, instances: Sequence[InstanceRecord]
) -> Iterator[Json | None]:
    """Yield the metadata of `instances`, of one series, as it is ready; None for what is not.

    A page that needs little of many instances opens one object for it, not every file.
    """
    ready = _ready(backend, instances[0]) if len(instances) > 1 else {}
    for one in instances:
        found = ready.get((one.sop_instance_uid, one.dataset_sha256))
        yield None if found is None else json.loads(found.decode("utf-8", "surrogatepass"))


def _line(backend: ArchiveBackend, study: StudyRecord | None, instance: InstanceRecord) -> bytes:
    metadata = encoded(instance_metadata(backend, study, instance, _ROOT), "surrogatepass")
    named = (instance.sop_instance_uid.encode(), instance.dataset_sha256.encode(), metadata)
    return _FIELDS.join(named) + b"\n"


def _ready(backend: ArchiveBackend, one: InstanceRecord) -> Mapping[tuple[str, str], bytes]:
    """Return what is ready of the series of `one`; nothing where that cannot be read."""
    try:
        with backend.open(metadata_key(one)) as file:
            lines = zlib.decompress(file.read()).splitlines()
    except (HubError, OSError, zlib.error) as error:
        _log.info("metadata is not ready", extra={"error": type(error).__qualname__})
        return {}
    fields = (line.split(_FIELDS, 2) for line in lines)
    return {(uid.decode(), digest.decode()): metadata for uid, digest, metadata in fields}


def metadata_key(instance: InstanceRecord) -> str:
    """Return where the metadata of the series of an instance are kept, if they are ready."""
    uids = (instance.study_instance_uid, instance.series_instance_uid)
    study, series = (hashlib.sha256(uid.encode()).hexdigest()[:32] for uid in uids)
    return f"metadata/{study[:2]}/{study}/{series}"
