"""Archived instances on their way out, from any archive backend, proved intact before they go."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_router.sending.errors import InstanceUnavailableError
from dicom_router.sending.model import OutgoingInstance
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.exporting import stored_dataset
from image_archive.model import InstanceRecord

_HELD_WHOLE_BYTES = 16 * 1024 * 1024
_UNAVAILABLE = (NotFoundError, UnreadableInstanceError, OSError)


@dataclass(frozen=True)
class StoredInstances:
    """Makes what is sent of what is stored."""

    backend: ArchiveBackend

    def outgoing(self, record: InstanceRecord) -> OutgoingInstance:
        """Return the instance as it is stored; nothing is read yet."""
        return OutgoingInstance(
            record.sop_class_uid,
            record.sop_instance_uid,
            record.transfer_syntax_uid,
            lambda: self._dataset(record),
        )

    def _dataset(self, record: InstanceRecord) -> Iterator[bytes]:
        """Yield the dataset once its hash has been compared: a peer must not get half of it.

        Up to 16 MiB are read once and held meanwhile; what is longer is read twice.
        """
        try:
            if record.dataset_bytes <= _HELD_WHOLE_BYTES:
                yield b"".join(stored_dataset(self.backend, record))
                return
            require_intact(self.backend, record)
            yield from stored_dataset(self.backend, record)
        except _UNAVAILABLE as error:
            raise InstanceUnavailableError("the stored bytes are missing or damaged") from error


def require_intact(backend: ArchiveBackend, record: InstanceRecord) -> None:
    """Read the dataset once and compare its hash with the one it was received with.

    Raises:
        InstanceUnavailableError: the bytes are missing or damaged.
    """
    try:
        deque(stored_dataset(backend, record), maxlen=0)
    except _UNAVAILABLE as error:
        raise InstanceUnavailableError("the stored bytes are missing or damaged") from error
