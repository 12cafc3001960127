"""Thumbnails of large images, made when their study completes: nobody waits for the first look.

Each is kept under the digest of its dataset, of how it is drawn and by which renderer, with its own
digest before its bytes. Losing one costs a drawing.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol

from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.jobs import Picture, PictureJob
from eir_versions.wire import WireError, picture_head, picture_of
from hub_kernel.errors import NotFoundError
from hub_kernel.events import Event, StudyCompleted
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.model import InstanceRecord

LARGE_PIXELS = 1 << 20
_log = logging.getLogger(__name__)


class Instances(Protocol):
    """What is asked of the archive's index."""

    def instances_of(self, study_instance_uid: str, /) -> list[InstanceRecord]:
        """Return the instances of a study."""
        ...


class ReadyThumbnails:
    """Keeps thumbnails under `thumbnails/`; `job_of` says how that of an instance is drawn.

    What another renderer than `renderer_version` has made is not found: it may be wrong.
    """

    def __init__(
        self,
        backend: ArchiveBackend,
        index: Instances,
        job_of: Callable[[InstanceRecord], PictureJob],
        draw: Callable[[InstanceRecord], Picture],
        renderer_version: str,
    ) -> None:
        self._backend = backend
        self._index = index
        self._job_of = job_of
        self._draw = draw
        self._renderer_version = renderer_version

    def subscriber(self) -> Subscriber:
        """Return the reaction to a completed study."""
        return Subscriber("eir_versions.thumbnails", StudyCompleted, self._completed, heavy=True)

    def find(self, instance: InstanceRecord) -> Picture | None:
        """Return the thumbnail of an instance as it was made, None where there is none."""
        if not is_large(instance):
            return None
        try:
            with self._backend.open(self._key(instance)) as file:
                kept = file.read()
        except NotFoundError:
            return None
        return _unpacked(kept)

    def keys(self, instance: InstanceRecord) -> list[str]:
        """Return where thumbnails of an instance are kept, those of earlier renderers too."""
        return list(self._backend.keys(_folder(instance))) if is_large(instance) else []

    def make(self, study_instance_uid: str) -> None:
        """Make what is not there yet; what cannot be drawn is passed over.

        Raises:
            DecoderPoolStoppedError: the hub is shutting down.
            ArchiveFullError: there is no room.
        """
        for instance in self._index.instances_of(study_instance_uid):
            if is_large(instance) and self.find(instance) is None:
                try:
                    picture = self._draw(instance)
                except (UnrenderableInstanceError, FrameNotFoundError) as error:
                    _log.info("no thumbnail", extra={"error": type(error).__qualname__})
                    continue
                self._keep(self._key(instance), _packed(picture))

    def _completed(self, event: Event) -> None:
        if isinstance(event, StudyCompleted):
            self.make(event.study_instance_uid)

    def _keep(self, key: str, data: bytes) -> None:
        pending = self._backend.create()
        try:
            pending.write(data)
            pending.publish(key)
        finally:
            pending.discard()

    def _key(self, instance: InstanceRecord) -> str:
        how = json.dumps(asdict(self._job_of(instance)), sort_keys=True)
        made = hashlib.sha256(f"{how} {self._renderer_version}".encode()).hexdigest()
        return f"{_folder(instance)}/{made[:32]}"


def _folder(instance: InstanceRecord) -> str:
    digest = instance.dataset_sha256
    return f"thumbnails/{digest[:2]}/{digest}"


def is_large(instance: InstanceRecord) -> bool:
    """Say whether a thumbnail of the instance costs enough to be made ahead."""
    return instance.rows * instance.columns >= LARGE_PIXELS


def _packed(picture: Picture) -> bytes:
    return f"{json.dumps(picture_head(picture))}\n{picture.sha256}\n".encode() + picture.data


def _unpacked(kept: bytes) -> Picture | None:
    """Return the picture whose bytes are what they were; None for anything else."""
    head, _, rest = kept.partition(b"\n")
    digest, _, data = rest.partition(b"\n")
    if hashlib.sha256(data).hexdigest().encode() != digest:
        return None
    try:
        return picture_of(json.loads(head), data)
    except (ValueError, WireError):
        return None
