"""Storage commitment: kept before it is answered, looked at byte by byte, reported until heard."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from sqlalchemy import select, update

from dicom_router import commitment_desk, commitment_ledger
from dicom_router.commitment_desk import CommitmentDesk, CommitmentParts
from dicom_router.commitment_ledger import CommitmentLedger
from dicom_router.commitment_messages import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    FailedReference,
    SopReference,
)
from dicom_router.model import Caller
from dicom_router.sending.model import Destination, SendLimits
from dicom_router.sending.storing import COMMITMENT, StoreAssociation
from dicom_router.tables import TRANSACTION
from image_archive.tables import INSTANCE
from tests.dicom_router.conftest import IMPATIENT, TOWNSHIP, Hub, running_node
from tests.dicom_router.instances import ct
from tests.dicom_router.retrieving import damage, store
from tests.dicom_router.wire import CT, EXPLICIT, IMPLICIT, RawPeer, RequestParts, context_item
from tests.support.ports import free_port
from tests.support.waiting import eventually

MR = "1.2.840.10008.5.1.4.1.1.4"
HERE = SopReference(CT, str(ct(1).SOPInstanceUID))
ALSO_HERE = SopReference(CT, str(ct(2).SOPInstanceUID))
MISSING = SopReference(CT, "1.2.3.4.5")
OF_ANOTHER_CLASS = SopReference(MR, str(ct(3).SOPInstanceUID))


def asking(hub: Hub, calling: str = "CT1") -> StoreAssociation:
    destination = Destination("hub", "EIRHUB", "127.0.0.1", hub.port, calling)
    return StoreAssociation.open(destination, [COMMITMENT])


def pending(hub: Hub) -> list[tuple[str, int, str]]:
    """(transaction, attempts, last error) of what is still owed."""
    query = select(TRANSACTION).where(TRANSACTION.c.reported_at.is_(None))
    with hub.parts.database.read() as session:
        rows = session.execute(query).all()
    return [(row.transaction_uid, row.attempts, row.last_error) for row in rows]


def test_what_is_safe_is_committed_on_the_same_association(hub: Hub) -> None:
    store(hub, ct(1), ct(2))
    with asking(hub) as peer:
        answer = peer.request_commitment(CommitmentRequest("1.2.9.1", (HERE, ALSO_HERE)))
        assert answer.status == 0
        report = peer.await_report("1.2.9.1", 60)
    assert report == CommitmentReport("1.2.9.1", (HERE, ALSO_HERE), ())
    assert report.event_type_id == 1
    eventually(lambda: pending(hub) == [])
    hub.await_audit(lambda one: one.detail == "storage commitment of 2 instances")


def test_each_failure_is_told_by_its_reason_and_fails_alone(hub: Hub) -> None:
    store(hub, ct(1), ct(2), ct(3))
    damage(hub, HERE.sop_instance_uid)
    asked = (HERE, ALSO_HERE, MISSING, OF_ANOTHER_CLASS)
    with asking(hub) as peer:
        assert peer.request_commitment(CommitmentRequest("1.2.9.2", asked)).status == 0
        report = peer.await_report("1.2.9.2", 60)
    assert report == CommitmentReport(
        "1.2.9.2",
        (ALSO_HERE,),
        (
            FailedReference(HERE, 0x0110),
            FailedReference(MISSING, 0x0112),
            FailedReference(OF_ANOTHER_CLASS, 0x0119),
        ),
    )
    assert report.event_type_id == 2


def test_several_requests_on_one_association_are_all_reported(hub: Hub) -> None:
    store(hub, ct(1))
    with asking(hub) as peer:
        for number in range(5):
            request = CommitmentRequest(f"1.2.9.{number}", (HERE,))
            assert peer.request_commitment(request).status == 0
        for number in range(5):
            assert peer.await_report(f"1.2.9.{number}", 60) is not None


@dataclass
class Listener:
    """A requester that takes reports on an association of the hub's."""

    port: int = 0
    heard: list[tuple[int, Dataset]] = field(default_factory=list)
    status: int = 0
    pause: Callable[[], object] = lambda: None


@contextmanager
def listening(port: int = 0) -> Iterator[Listener]:
    listener = Listener()

    def report(event: evt.Event) -> tuple[int, None]:
        listener.heard.append((event.event_type, event.event_information))
        listener.pause()
        return listener.status, None

    entity = AE("CT1")
    entity.add_supported_context(PUSH_MODEL, [IMPLICIT, EXPLICIT], scu_role=True, scp_role=True)
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)]
    )
    listener.port = server.server_address[1]
    try:
        yield listener
    finally:
        eventually(lambda: not server.active_associations)
        server.shutdown()


def back_to(port: int) -> tuple[dict[str, object], ...]:
    return ({"name": "ct1", "ae_title": "CT1", "host": "127.0.0.1", "port": port},)


def ask_and_leave(port: int, transaction_uid: str, *references: SopReference) -> None:
    """Ask as a client nobody here wrote, and release at once."""
    entity = AE("CT1")
    entity.add_requested_context(PUSH_MODEL, IMPLICIT)
    association = entity.associate("127.0.0.1", port, ae_title="EIRHUB")
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        asked.ReferencedSOPSequence.append(item)
    answer, _ = association.send_n_action(asked, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    association.release()
    assert answer.Status == 0


def test_who_has_left_is_told_on_a_new_association(tmp_path: Path) -> None:
    with (
        listening() as listener,
        running_node(tmp_path, destinations=back_to(listener.port)) as hub,
    ):
        store(hub, ct(1))
        ask_and_leave(hub.port, "1.2.9.3", HERE, MISSING)
        eventually(lambda: len(listener.heard) == 1)
        event_type, information = listener.heard[0]
        assert event_type == 2
        assert information.TransactionUID == "1.2.9.3"
        assert information.RetrieveAETitle == "EIRHUB"
        (committed,) = information.ReferencedSOPSequence
        (failed,) = information.FailedSOPSequence
        assert committed.ReferencedSOPInstanceUID == HERE.sop_instance_uid
        assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.4.5", 0x0112)
        eventually(lambda: pending(hub) == [])


def test_a_requester_that_is_away_is_tried_again_until_it_hears(tmp_path: Path) -> None:
    port = free_port()
    with running_node(tmp_path, destinations=back_to(port)) as hub:
        store(hub, ct(1))
        ask_and_leave(hub.port, "1.2.9.4", HERE)
        eventually(lambda: any(attempts for _, attempts, _ in pending(hub)))
        assert "no connection" in pending(hub)[0][2]
        with listening(port) as again:
            eventually(lambda: len(again.heard) == 1)
        eventually(lambda: pending(hub) == [])


def test_a_report_that_is_refused_stays_owed(tmp_path: Path) -> None:
    with (
        listening() as listener,
        running_node(tmp_path, destinations=back_to(listener.port)) as hub,
    ):
        listener.status = 0x0110
        store(hub, ct(1))
        ask_and_leave(hub.port, "1.2.9.5", HERE)
        eventually(lambda: any("0x0110" in error for _, _, error in pending(hub)))
        listener.status = 0
        eventually(lambda: pending(hub) == [])


def test_nobody_knows_where_to_report_it_stays_owed_and_says_so(hub: Hub) -> None:
    store(hub, ct(1))
    ask_and_leave(hub.port, "1.2.9.6", HERE)
    eventually(lambda: any("no such AE title" in error for _, _, error in pending(hub)))
    (owed,) = CommitmentLedger(hub.parts.database).owed(limit=10)
    assert (owed.transaction_uid, owed.site_id) == ("1.2.9.6", TOWNSHIP.site_id)
    assert (owed.instances, owed.examined, owed.calling_ae_title) == (1, 1, "CT1")
    assert "no such AE title" in owed.last_error
    assert owed.due_at > owed.asked_at


def test_what_a_rejection_note_took_back_is_hidden_and_committed(hub: Hub) -> None:
    """It is kept; a modality that hears "no such instance" would send it for ever."""
    store(hub, ct(1))
    assert hub.parts.archive.settled()
    with hub.parts.database.unit_of_work() as work:
        work.session.execute(update(INSTANCE).values(rejected="113001"))
    assert hub.parts.index.instance(HERE.sop_instance_uid) is None
    with asking(hub) as peer:
        peer.request_commitment(CommitmentRequest("1.2.9.7", (HERE,)))
        assert peer.await_report("1.2.9.7", 60) == CommitmentReport("1.2.9.7", (HERE,), ())


def test_a_restart_between_request_and_report_loses_neither(tmp_path: Path) -> None:
    with running_node(tmp_path) as hub:
        store(hub, ct(1))
        ask_and_leave(hub.port, "1.2.9.7", HERE)
    with (
        listening() as listener,
        running_node(tmp_path, destinations=back_to(listener.port)) as hub,
    ):
        eventually(lambda: len(listener.heard) == 1)
        assert listener.heard[0][1].TransactionUID == "1.2.9.7"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_large_request_holds_up_no_small_one(tmp_path: Path, count: int) -> None:
    many = tuple(SopReference(CT, f"1.2.3.{number}") for number in range(count))
    with running_node(tmp_path, idle_timeout_s=60.0) as hub, asking(hub) as large:
        store(hub, ct(1))
        assert large.request_commitment(CommitmentRequest("1.2.9.8", many)).status == 0
        with asking(hub) as small:
            assert small.request_commitment(CommitmentRequest("1.2.9.9", (HERE,))).status == 0
            assert small.await_report("1.2.9.9", 60) is not None
        assert "1.2.9.8" in {transaction for transaction, *_ in pending(hub)}
        report = large.await_report("1.2.9.8", 600)
    assert report is not None
    assert len(report.failed) == count


@pytest.mark.parametrize(
    ("action", "instance", "broken", "status"),
    [
        (2, PUSH_MODEL_INSTANCE, False, 0x0123),
        (1, "1.2.3", False, 0x0112),
        (1, PUSH_MODEL_INSTANCE, True, 0x0115),
    ],
)
def test_what_is_no_request_is_refused(
    hub: Hub,
    action: int,
    instance: str,
    *,
    broken: bool,
    status: int,
) -> None:
    asked = Dataset()
    asked.ReferencedSOPSequence = []
    if not broken:
        asked.TransactionUID = "1.2.3"
    with hub.association({PUSH_MODEL: [IMPLICIT]}) as association:
        answer, _ = association.send_n_action(asked, action, PUSH_MODEL, instance)
        assert answer.Status == status
    assert pending(hub) == []


def test_a_report_to_us_is_heard_and_answered(tmp_path: Path) -> None:
    heard: list[tuple[str, CommitmentReport]] = []
    done = threading.Event()

    def hear(title: str, report: CommitmentReport) -> None:
        heard.append((title, report))
        done.set()

    with running_node(tmp_path, hear_report=hear) as hub:
        entity = AE("PACS")
        entity.add_requested_context(PUSH_MODEL, IMPLICIT)
        association = entity.associate(
            "127.0.0.1",
            hub.port,
            ae_title="EIRHUB",
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
        )
        information = Dataset()
        information.TransactionUID = "1.2.9.10"
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.2.3"
        information.ReferencedSOPSequence = [item]
        status, _ = association.send_n_event_report(information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
    assert status.Status == 0
    assert heard == [("PACS", CommitmentReport("1.2.9.10", (SopReference(CT, "1.2.3"),), ()))]


@IMPATIENT
def test_a_peer_that_asks_and_falls_silent_is_let_go(attacked: Hub) -> None:
    parts = RequestParts(contexts=[context_item(1, PUSH_MODEL, [IMPLICIT])])
    with RawPeer(attacked.port) as peer:
        assert peer.associate(parts)[0] == 2
        assert peer.pdu()[0] == 7


def desk_of(hub: Hub, owner: str, port: int) -> CommitmentDesk:
    destinations = {"CT1": Destination("ct1", "CT1", "127.0.0.1", port, "EIRHUB")}
    parts = CommitmentParts(
        hub.parts.database,
        hub.parts.index,
        hub.parts.archive.backend,
        destinations,
        SendLimits(60, 60, 60),
        "EIRHUB",
        owner,
        lambda _owner: False,
    )
    return CommitmentDesk(parts)


@pytest.mark.parametrize(("renewed_after_s", "reports"), [(0.1, 1), (60.0, 2)])
def test_a_report_that_takes_longer_than_a_lease_is_sent_once_by_two_processes(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, renewed_after_s: float, reports: int
) -> None:
    """Control: without renewal the other process takes it for abandoned, and reports it too."""
    monkeypatch.setattr(commitment_ledger, "_LEASE", timedelta(seconds=2))
    monkeypatch.setattr(commitment_desk, "_RENEW_S", renewed_after_s)
    store(hub, ct(1))
    caller = Caller(TOWNSHIP, "CT1", "EIRHUB", "127.0.0.1")
    with listening() as requester:

        def until_leases_are_over() -> None:
            """Take longer than the lease; in the control until the other one has reported too."""
            began = time.monotonic()
            eventually(
                lambda: time.monotonic() - began > 5 if reports == 1 else requester.heard[1:]
            )

        requester.pause = until_leases_are_over
        desks = [desk_of(hub, f"elsewhere:{number}", requester.port) for number in (1, 2)]
        row_id = desks[0].take(caller, CommitmentRequest("1.2.9.77", (HERE,)))
        desks[0].leave([row_id])
        for desk in desks:
            desk.start()
        try:
            eventually(lambda: pending(hub) == [])
            eventually(lambda: len(requester.heard) >= reports)
        finally:
            for desk in desks:
                desk.stop()
    assert len(requester.heard) == reports
