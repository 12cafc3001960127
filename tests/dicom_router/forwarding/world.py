"""An archive, rules, a ledger, and destinations that do what a test wants of them."""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydicom import Dataset
from sqlalchemy import update

from dicom_router.forwarding.desk import ForwardingDesk
from dicom_router.forwarding.enqueuing import Enqueuing, EnqueuingParts
from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import Item
from dicom_router.forwarding.pacing import Pacer
from dicom_router.forwarding.seat import Seat
from dicom_router.forwarding.sender import (
    DestinationUnavailableError,
    Pace,
    Parcel,
    Sender,
    Sent,
)
from dicom_router.forwarding.tables import ITEM
from dicom_router.forwarding.verdicts import Verdict
from dicom_router.forwarding.worker import Lane, LaneParts, Line
from dicom_router.routing.model import Delivery, Rule, When
from dicom_router.sending.errors import TranscodingError
from dicom_router.sending.model import OutgoingInstance
from dicom_router.sending.outgoing import OutgoingInstances
from dicom_router.sending.stored_instances import StoredInstances
from dicom_router.transcoding import Transcoder
from eir_versions.decoding import DecoderPool
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.leases import Leases
from hub_kernel.metrics import Metrics
from hub_kernel.outbox import Outbox
from hub_kernel.tasks import deliver_all_due
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin, InstanceRecord
from image_archive.service import ArchiveService
from tests.dicom_router.instances import ct, part10
from tests.support.clock import FixedClock
from tests.support.tables import create_tables

ZONE = ZoneInfo("Asia/Shanghai")
ORIGIN = InstanceOrigin("sijing", AssigningAuthority("SIJING", "1.2.3"), "CT1", "EIRHUB", "")
STUDY = "1.2.826.0.1.3680043.10.1603.9"

Answer = Callable[[Parcel, int], Sent | Exception]


def accepted(parcel: Parcel, _attempt: int) -> Sent:
    return Sent(parcel.item.item_id, Verdict.ACCEPTED, "0x0000", "stored", "1.2.840.10008.1.2.1")


def answering(verdict: Verdict, status: str = "") -> Answer:
    return lambda parcel, _attempt: Sent(parcel.item.item_id, verdict, status, "so it says")


def unavailable(*, permanent: bool = False) -> Answer:
    return lambda _parcel, _attempt: DestinationUnavailableError("away", permanent=permanent)


@dataclass
class ScriptedSender:
    """A destination that answers as told; `kept` is what it has: SOP Instance UID → digest."""

    answer: Answer = accepted
    kept: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    associations: int = 0
    at_each: Callable[[], None] = lambda: None

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Generator[Sent, None, None]:
        self.associations += 1
        for parcel in parcels:
            uid = parcel.instance.sop_instance_uid
            self.sent.append(uid)
            pace(parcel.instance.dataset_bytes)
            answer = self.answer(parcel, self.sent.count(uid))
            if isinstance(answer, Exception):
                raise answer
            if answer.verdict in {Verdict.ACCEPTED, Verdict.NOTED}:
                digest = parcel.instance.dataset_sha256
                assert self.kept.setdefault(uid, digest) == digest, "sent as two different things"
            self.at_each()
            yield answer


@dataclass
class World:
    """Everything between the archive and the destinations."""

    folder: Path
    rules: Sequence[Rule] = (Rule("all", When(), (Delivery("a"),)),)
    url: str = ""
    clock: Any = field(default_factory=FixedClock)
    new: bool = True

    def __post_init__(self) -> None:
        self.outbox = Outbox()
        url = self.url or f"sqlite:///{self.folder / 'hub.sqlite'}"
        self.database = Database(url, outbox=self.outbox, clock=self.clock)
        if self.new:
            create_tables(self.database)
        self.backend = FilesystemBackend(self.folder / "archive")
        self.archive = ArchiveService(self.database, self.backend, self.clock)
        self.index = ArchiveIndex(self.database)
        self.ledger = Ledger(self.database)
        self.woken: list[str] = []
        parts = EnqueuingParts(
            self.database, self.archive, self.index, self.ledger, ZONE, self.woken.extend
        )
        self.enqueuing = Enqueuing(self.rules, parts)
        self.outbox.subscribe(self.enqueuing.subscriber())
        destinations = {one.destination for rule in self.rules for one in rule.send}
        self.desk = ForwardingDesk(self.database, destinations)
        self.metrics = Metrics()
        self.stopping, self.at_once = threading.Event(), threading.Event()

    def archived(self, number: int = 1, **changes: object) -> Dataset:
        """Archive one instance; the ledger does not know of it yet."""
        instance = ct(number, STUDY, **changes)
        self.archive.store_file(part10(instance), ORIGIN)
        return instance

    def promised(self, *numbers: int, **changes: object) -> list[str]:
        """Archive instances and let the rules promise them; return their UIDs."""
        uids = [str(self.archived(number, **changes).SOPInstanceUID) for number in numbers]
        self.settle()
        return uids

    def settle(self) -> None:
        deliver_all_due(self.database, self.outbox)

    def lane(self, sender: Sender, name: str = "a", **options: object) -> Lane:
        committing = bool(options.pop("committing", False))
        owner = str(options.pop("owner", "worker:1"))
        caps = options.pop("caps", ())
        parts = self.lane_parts(owner)
        pacer = Pacer(caps, lambda: self.clock.now().astimezone(ZONE), self.stopping)  # type: ignore[arg-type]
        seat = options.pop("seat", None) or Seat(Leases(self.database, owner), name)
        line = Line(name, sender, pacer, seat, committing=committing)  # type: ignore[arg-type]
        return Lane(parts, line, ends=(self.stopping, self.at_once), **options)  # type: ignore[arg-type]

    def lane_parts(self, owner: str = "worker:1") -> LaneParts:
        return LaneParts(
            database=self.database,
            ledger=self.ledger,
            parcel_of=self.parcel,
            metrics=self.metrics,
            local=lambda moment: moment.astimezone(ZONE),
            owner=owner,
        )

    def parcel(self, item: Item) -> Parcel | None:
        instance = self.index.instance(item.sop_instance_uid)
        return None if instance is None else Parcel(item, instance)

    def items(self, destination: str | None = None) -> list[Item]:
        return self.ledger.items_of(STUDY, destination)

    def states(self, destination: str | None = None) -> list[str]:
        return [str(item.state) for item in self.items(destination)]

    def archive_digests(self) -> dict[str, str]:
        """What the archive has: SOP Instance UID → digest of its bytes, read again."""
        found = {}
        for one in self.index.instances_of(STUDY):
            with self.archive.open_dataset(one.sop_instance_uid) as stream:
                found[one.sop_instance_uid] = hashlib.sha256(stream.read()).hexdigest()
        return found

    def change(self, item_ids: Iterable[int], **values: object) -> None:
        with self.database.unit_of_work() as work:
            work.session.execute(update(ITEM).where(ITEM.c.id.in_(list(item_ids))).values(**values))

    def close(self) -> None:
        self.database.dispose()


def outgoing_instances(
    backend: ArchiveBackend, pool: DecoderPool | None = None
) -> OutgoingInstances:
    """What senders send; without `pool` nothing is ever recoded."""
    recoding = Transcoder(backend, pool) if pool else NoRecoding()
    return OutgoingInstances(StoredInstances(backend), recoding)


class NoRecoding:
    """For tests in which everything goes as it is stored; no decoder children are started."""

    def recoded(
        self, record: InstanceRecord, accepted: Sequence[str]
    ) -> AbstractContextManager[OutgoingInstance]:
        raise TranscodingError(f"{record.transfer_syntax_uid} to {accepted}: not in this test")
