"""The seam between the ledger and a kind of destination: send some instances, say what they met.

A new kind is one class with this method and one row in `hub_runtime/forwarding.py`.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dicom_router.errors import DicomRouterError
from dicom_router.forwarding.model import Item
from dicom_router.forwarding.verdicts import Verdict
from image_archive.model import InstanceRecord

_PIECE_BYTES = 32 * 1024

Pace = Callable[[int], None]
"""Called with the number of bytes about to be put on the line; it waits while the cap says so."""


class DestinationUnavailableError(DicomRouterError):
    """Nothing can be sent there now; what was not yet answered is still owed.

    `permanent` when the peer said so (A-ASSOCIATE-RJ, rejected permanent): it is asked again too,
    for there is no last try, but the pause begins at its longest. `in_flight` is the parcel that
    was being sent, if any: it waits for a turn of its own, so that one that breaks every
    association does not stand in the way of the others.
    """

    def __init__(
        self, reason: str, *, permanent: bool = False, in_flight: int | None = None
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.in_flight = in_flight


class SendingStoppedError(DicomRouterError):
    """Raised by a pace when the hub must end now; a sender lets it through, the rest is owed."""


@dataclass(frozen=True)
class Parcel:
    """One instance for one destination: its row, and the instance as the archive has it now."""

    item: Item
    instance: InstanceRecord


@dataclass(frozen=True)
class Sent:
    """What the destination said to one parcel. `status` is what it said, as people write it."""

    item_id: int
    verdict: Verdict
    status: str
    comment: str = ""
    transfer_syntax_uid: str = ""


class Sender(Protocol):
    """Sends to one destination; one call is one association or connection."""

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Generator[Sent, None, None]:
        """Yield what became of each parcel as soon as the destination has said it.

        Closing the generator ends the connection in good order.

        Raises:
            DestinationUnavailableError: while iterating: no connection, or it broke.
        """
        ...


def paced(pieces: Iterator[bytes], pace: Pace) -> Iterator[bytes]:
    """Yield the bytes of `pieces` in small parts, each when it may leave."""
    for piece in pieces:
        for start in range(0, len(piece), _PIECE_BYTES):
            part = piece[start : start + _PIECE_BYTES]
            pace(len(part))
            yield part
