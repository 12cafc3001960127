"""The seam between the ledger and a kind of destination: send some instances, say what they met.

A new kind is one class with this method and one row in `hub_runtime/forwarding.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from dicom_router.errors import DicomRouterError
from dicom_router.forwarding.verdicts import Verdict

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


@dataclass(frozen=True)
class Parcel:
    """One instance for one destination.

    `open_dataset` gives the dataset as stored (`transfer_syntax_uid`), without file meta, seekable,
    any number of times; it raises NotFoundError when the bytes are gone. `wanted_syntax` is a name
    of `dicom_router.routing.model.TransferChoice`.
    """

    item_id: int
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    site_id: str
    transfer_syntax_uid: str
    wanted_syntax: str
    dataset_sha256: str
    dataset_bytes: int
    emergency: bool
    open_dataset: Callable[[], BinaryIO]


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

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Iterator[Sent]:
        """Yield what became of each parcel, in their order, as soon as the destination has said it.

        Closing the iterator ends the connection in good order.

        Raises:
            DestinationUnavailableError: while iterating: no connection, or it broke.
        """
        ...
