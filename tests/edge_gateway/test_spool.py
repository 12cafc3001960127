"""The spool of a gateway: bytes leave only after receipt and days, for want of room; rows never."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from dicom_router.forwarding.model import State
from dicom_router.forwarding.tables import ITEM
from edge_gateway import marks, reasons, spool
from edge_gateway.errors import LineDownError
from edge_gateway.marks import Marks
from edge_gateway.model import Difference, DifferenceKind, EdgeFigures, HeldInstance
from edge_gateway.own_ledger import OwnLedger
from edge_gateway.reporting import Reporter
from edge_gateway.spool import HubsWord, Spool, SpoolRule
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.identifiers import AssigningAuthority
from hub_runtime.edge_queue import HUB, EdgeQueue
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin, StoreOutcome
from image_archive.service import ArchiveService
from tests.dicom_router.instances import ct, part10
from tests.support.clock import FixedClock

ORIGIN = InstanceOrigin("sijing", AssigningAuthority("SIJING", "1.2.3.1"), "CT_SJ", "EDGE", "")
KEEP = timedelta(days=7)


@dataclass
class Gateway:
    database: Database
    clock: FixedClock
    archive: ArchiveService
    queue: EdgeQueue
    hub: Callable[[Sequence[HeldInstance]], Collection[str]] = lambda some: [
        one.sop_instance_uid for one in some
    ]
    """What the hub proves to hold; here all that it is asked."""

    def receive(self, number: int, state: State | None = State.SENT) -> str:
        """Take one instance in, and note how far it is on its way to the hub."""
        instance = ct(number)
        assert self.archive.store_file(part10(instance), ORIGIN) is StoreOutcome.STORED
        record = ArchiveIndex(self.database).instance(instance.SOPInstanceUID)
        assert record is not None
        if state is not None:
            now = self.clock.now()
            with self.database.unit_of_work() as work:
                work.session.execute(
                    insert(ITEM).values(
                        sop_instance_uid=record.sop_instance_uid,
                        destination=HUB,
                        sop_class_uid=record.sop_class_uid,
                        study_instance_uid=record.study_instance_uid,
                        site_id="sijing",
                        transfer_syntax_uid=record.transfer_syntax_uid,
                        dataset_sha256=record.dataset_sha256,
                        dataset_bytes=record.dataset_bytes,
                        rule="edge",
                        wanted_syntax="as-stored",
                        priority=2,
                        schedule="",
                        state=state.value,
                        attempts=1,
                        due_at=now,
                        last_status="",
                        last_comment="",
                        sent_syntax_uid="",
                        lease_owner="",
                        queued_at=now,
                        settled_at=now if state is State.SENT else None,
                        transaction_uid="",
                    )
                )
        return str(record.sop_instance_uid)

    def spool(self, wanted_free_bytes: int) -> Spool:
        rule = SpoolRule(KEEP, wanted_free_bytes)
        word = HubsWord(self.queue.taken_before, self.hub)
        return Spool(self.archive, self.clock, rule, word, Marks(self.database))

    def has_bytes(self, uid: str) -> bool:
        try:
            self.archive.open_dataset(uid).close()
        except NotFoundError:
            return False
        return True


@pytest.fixture
def gateway(tmp_path: Path, database: Database, clock: FixedClock) -> Iterator[Gateway]:
    archive = ArchiveService(database, FilesystemBackend(tmp_path / "spool"), clock)
    yield Gateway(database, clock, archive, EdgeQueue(database))


NO_ROOM = 1 << 60


def test_bytes_leave_only_after_the_receipt_and_the_days(gateway: Gateway) -> None:
    taken = gateway.receive(1)
    owed = gateway.receive(2, State.QUEUED)
    refused = gateway.receive(3, State.PARKED)
    unknown = gateway.receive(4, None)
    spool = gateway.spool(NO_ROOM)
    assert spool.make_room() == 0
    gateway.clock.advance(days=6, hours=23)
    assert spool.make_room() == 0
    gateway.clock.advance(hours=2)
    assert spool.make_room() == 1
    assert not gateway.has_bytes(taken)
    assert all(map(gateway.has_bytes, (owed, refused, unknown)))


def test_nothing_leaves_while_there_is_room(gateway: Gateway) -> None:
    taken = gateway.receive(1)
    gateway.clock.advance(days=400)
    assert gateway.spool(1).make_room() == 0
    assert gateway.has_bytes(taken)


def test_what_the_hub_does_not_prove_stays_whatever_it_said_before(gateway: Gateway) -> None:
    proved, lost = gateway.receive(1), gateway.receive(2)
    gateway.clock.advance(days=30)
    gateway.hub = lambda _some: [proved]
    assert gateway.spool(NO_ROOM).make_room() == 1
    assert not gateway.has_bytes(proved)
    assert gateway.has_bytes(lost)


def test_while_the_hub_cannot_be_asked_nothing_leaves_and_it_is_asked_once(
    gateway: Gateway,
) -> None:
    uids = [gateway.receive(number) for number in range(1, 4)]
    gateway.clock.advance(days=30)
    asked: list[object] = []

    def away(some: Sequence[HeldInstance]) -> Collection[str]:
        asked.append(some)
        raise LineDownError("the hub was not reached")

    gateway.hub = away
    assert gateway.spool(NO_ROOM).make_room() == 0
    assert all(map(gateway.has_bytes, uids))
    assert len(asked) == 1


def test_the_hub_is_asked_for_as_much_as_it_reads_in_one_request(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 6):
        gateway.receive(number)
    gateway.clock.advance(days=30)
    asked: list[int] = []

    def proved(some: Sequence[HeldInstance]) -> Collection[str]:
        asked.append(len(some))
        return [one.sop_instance_uid for one in some]

    gateway.hub = proved
    monkeypatch.setattr(spool, "_ASKED_AT_ONCE", 2)
    monkeypatch.setattr(spool, "_BYTES_AT_ONCE", 1 << 40)
    assert gateway.spool(NO_ROOM).make_room() == 5
    assert asked == [2, 2, 1]
    for number in range(6, 9):
        gateway.receive(number)
    gateway.clock.advance(days=30)
    monkeypatch.setattr(spool, "_BYTES_AT_ONCE", 1)
    assert gateway.spool(NO_ROOM).make_room() == 3
    assert asked[3:] == [1, 1, 1]


def test_a_receipt_for_other_bytes_frees_nothing(gateway: Gateway) -> None:
    taken = gateway.receive(1)
    with gateway.database.unit_of_work() as work:
        work.session.execute(ITEM.update().values(dataset_sha256="0" * 64))
    gateway.clock.advance(days=30)
    assert gateway.spool(NO_ROOM).make_room() == 0
    assert gateway.has_bytes(taken)


def test_the_ledger_keeps_what_the_spool_let_go_and_the_same_bytes_come_back(
    gateway: Gateway,
) -> None:
    uid = gateway.receive(1)
    gateway.clock.advance(days=8)
    gateway.spool(NO_ROOM).make_room()
    assert [one.sop_instance_uid for one in OwnLedger(gateway.database).since(0).instances] == [uid]
    assert gateway.archive.verify(lambda _done, _total: None).ok
    assert gateway.archive.reconcile(full=True).missing == ()
    gateway.archive.store_file(part10(ct(1)), ORIGIN)
    assert gateway.has_bytes(uid)


def test_a_power_cut_between_row_and_file_is_finished_at_the_next_start(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = gateway.receive(1)
    kept = gateway.receive(2, State.QUEUED)
    gateway.clock.advance(days=8)

    def power_cut(_key: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(gateway.archive.backend, "delete", power_cut)
        gateway.spool(NO_ROOM).make_room()
    assert gateway.has_bytes(uid)  # Control: the room is leaked, and making room does not mend it.
    assert gateway.archive.reconcile(full=True).missing == ()
    started = gateway.spool(NO_ROOM)
    started.finish()
    assert not gateway.has_bytes(uid)
    assert gateway.has_bytes(kept)
    started.finish()


def test_what_was_sent_again_after_a_power_cut_keeps_its_bytes(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = gateway.receive(1)
    Marks(gateway.database).put(marks.RELEASING, uid)  # cut before the row was changed
    gateway.spool(NO_ROOM).finish()
    assert gateway.has_bytes(uid)
    Marks(gateway.database).put(marks.RELEASING, uid)
    with monkeypatch.context() as cut:
        cut.setattr(gateway.archive.backend, "delete", lambda _key: None)
        gateway.archive.release(uid)
    gateway.archive.store_file(part10(ct(1)), ORIGIN)
    gateway.spool(NO_ROOM).finish()
    assert gateway.has_bytes(uid)


def test_the_room_is_told_in_words(gateway: Gateway) -> None:
    assert gateway.spool(1).reason() == ""
    assert gateway.spool(NO_ROOM).reason() == reasons.SPOOL_LOW


def test_what_the_hub_lost_is_owed_again_as_far_as_the_bytes_are_there(gateway: Gateway) -> None:
    kept, released = gateway.receive(1), gateway.receive(2)
    gateway.archive.release(released)
    lost = [Difference(DifferenceKind.MISSING_AT_HUB, "1.2", uid) for uid in (kept, released)]
    assert gateway.queue.owe_again(lost) == 1
    figures = gateway.queue.figures(Path("/"), "", Marks(gateway.database))
    assert figures.waiting == 1
    other = Difference(DifferenceKind.OTHER_BYTES, "1.2", released)
    assert gateway.queue.owe_again([other]) == 0


class _Hub:
    """A hub that is away for a while, and remembers what it was told."""

    def __init__(self) -> None:
        self.away = True
        self.told: list[HeldInstance] = []

    def report(self, _figures: EdgeFigures, instances: tuple[HeldInstance, ...]) -> None:
        if self.away:
            raise LineDownError("the hub was not reached")
        self.told += instances

    def studies(self, _uids: object, _etag: str = "") -> None:
        return None


def test_a_week_offline_is_told_in_full_once_the_line_is_back(gateway: Gateway) -> None:
    hub, noted = _Hub(), Marks(gateway.database)
    figures: Callable[[], EdgeFigures] = lambda: gateway.queue.figures(Path("/"), "", noted)  # noqa: E731
    reporter = Reporter(hub, OwnLedger(gateway.database), noted, figures)  # type: ignore[arg-type]
    received = []
    for day in range(7):
        received.append(gateway.receive(day + 1, State.QUEUED))
        assert not reporter.contact()
        gateway.clock.advance(days=1)
    assert figures().reason == reasons.LINE_DOWN
    assert (figures().waiting, hub.told) == (7, [])
    assert gateway.spool(NO_ROOM).make_room() == 0  # nothing may go before its receipt
    hub.away = False
    assert reporter.contact()
    assert [one.sop_instance_uid for one in hub.told] == received
    assert figures().reason == ""
    assert noted.noted_at(marks.CONTACT) == gateway.clock.now()
    assert reporter.contact()
    assert len(hub.told) == 7  # told once
