"""An archived instance made ready for a peer: as stored where it takes that, else recoded."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from dicom_router.sending.errors import NoAcceptableContextError
from dicom_router.sending.model import OutgoingInstance
from dicom_router.sending.stored_instances import StoredInstances
from image_archive.model import InstanceRecord


class Recoding(Protocol):
    """Brings instances into another transfer syntax, without loss."""

    def recoded(
        self, record: InstanceRecord, accepted: Sequence[str]
    ) -> AbstractContextManager[OutgoingInstance]:
        """Return the instance in one of `accepted`, for as long as the block lasts.

        Raises:
            TranscodingError: it cannot be brought into any of them; says why.
            InstanceUnavailableError: its own bytes are missing or damaged.
        """
        ...


@dataclass(frozen=True)
class OutgoingInstances:
    """Makes what is sent of what is stored."""

    stored: StoredInstances
    recoding: Recoding

    @contextmanager
    def fitted(self, record: InstanceRecord, accepted: Sequence[str]) -> Iterator[OutgoingInstance]:
        """Give the instance in one of the transfer syntaxes a peer takes.

        Raises:
            NoAcceptableContextError: it takes none for this SOP class.
            TranscodingError, InstanceUnavailableError: as `Recoding.recoded`.
        """
        if not accepted:
            raise NoAcceptableContextError("the peer does not take this SOP class")
        if record.transfer_syntax_uid in accepted:
            yield self.stored.outgoing(record)
            return
        with self.recoding.recoded(record, accepted) as instance:
            yield instance
