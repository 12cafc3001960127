"""Only what the destination vouches for counts as done; what it does not is sent again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pynetdicom import AE, evt

from dicom_router.commitment_messages import (
    CommitmentReport,
    FailedReference,
    SopReference,
)
from dicom_router.forwarding.commitment import NOT_OFFERED, Commitments
from dicom_router.forwarding.model import BreakerState
from dicom_router.sending.model import Destination, SendLimits
from tests.dicom_router.forwarding.world import ScriptedSender, World
from tests.dicom_router.wire import CT, EXPLICIT
from tests.support.waiting import eventually

PUSH_MODEL = "1.2.840.10008.1.20.1"
PATIENT = SendLimits(connect_s=60.0, answer_s=60.0, patience_s=60.0)


@dataclass
class CommittingPeer:
    port: int = 0
    status: int = 0x0000
    transactions: list[str] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)


@contextmanager
def committing_peer(*, offers: bool = True) -> Iterator[CommittingPeer]:
    peer, entity = CommittingPeer(), AE("PEER")
    entity.add_supported_context(PUSH_MODEL if offers else CT, [EXPLICIT])

    def asked(event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        peer.transactions.append(str(request.TransactionUID))
        peer.asked.append([str(r.ReferencedSOPInstanceUID) for r in request.ReferencedSOPSequence])
        return peer.status, None

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, asked)]
    )
    peer.port = server.server_address[1]
    try:
        yield peer
    finally:
        eventually(lambda: not server.active_associations)
        server.shutdown()


def commitments(world: World, port: int) -> Commitments:
    destination = Destination("a", "PEER", "127.0.0.1", port, "EIRHUB")
    return Commitments(world.database, destination, PATIENT, report_s=0.1)


def accepted(world: World, *numbers: int) -> list[str]:
    uids = world.promised(*numbers)
    world.lane(ScriptedSender(), committing=True).turn()
    assert world.states() == ["accepted"] * len(uids)
    return uids


def report(transaction: str, committed: list[str], failed: list[str]) -> CommitmentReport:
    return CommitmentReport(
        transaction,
        tuple(SopReference(CT, uid) for uid in committed),
        tuple(FailedReference(SopReference(CT, uid), 0x0112) for uid in failed),
    )


def test_what_is_committed_is_done_and_what_is_not_is_sent_again(world: World) -> None:
    good, bad, silent = accepted(world, 1, 2, 3)
    with committing_peer() as peer:
        asking = commitments(world, peer.port)
        asking.ask()
        asking.ask()  # it is asked once, until the answer is late
    assert peer.asked == [[good, bad, silent]]
    assert asking.heard(report(peer.transactions[0], [good], [bad])) == 2
    assert world.states() == ["committed", "queued", "accepted"]
    again = world.items()[1]
    assert (again.last_status, again.transaction_uid) == ("0x0112", "")
    world.clock.advance(hours=1)
    sender = ScriptedSender()
    world.lane(sender, committing=True).turn()
    assert sender.sent == [bad]


def test_a_report_that_does_not_come_is_asked_for_again(world: World) -> None:
    accepted(world, 1)
    with committing_peer() as peer:
        asking = commitments(world, peer.port)
        asking.ask()
        world.clock.advance(minutes=30)
        asking.ask()
        assert len(peer.transactions) == 1
        world.clock.advance(minutes=31)
        asking.ask()
    assert len(set(peer.transactions)) == 2


@pytest.mark.parametrize("days", [-366, 366])
def test_a_clock_that_jumps_does_not_stop_the_asking(world: World, days: int) -> None:
    accepted(world, 1)
    with committing_peer() as peer:
        asking = commitments(world, peer.port)
        asking.ask()
        world.clock.advance(days=days)
        asking.ask()
    assert len(peer.transactions) == 2


def test_a_report_on_a_transaction_that_was_never_begun_changes_nothing(world: World) -> None:
    (uid,) = accepted(world, 1)
    with committing_peer() as peer:
        asking = commitments(world, peer.port)
        asking.ask()
    assert asking.heard(report("1.2.3.4", [uid], [])) == 0
    assert asking.heard(report("", [uid], [])) == 0
    assert world.states() == ["accepted"]


def test_a_destination_without_commitment_says_so_on_the_row(world: World) -> None:
    accepted(world, 1)
    with committing_peer(offers=False) as peer:
        commitments(world, peer.port).ask()
    assert world.items()[0].last_comment == NOT_OFFERED
    assert world.states() == ["accepted"]


def test_a_refusal_is_noted(world: World) -> None:
    accepted(world, 1)
    with committing_peer() as peer:
        peer.status = 0x0110
        commitments(world, peer.port).ask()
    assert world.items()[0].last_status == "0x0110"
    assert world.states() == ["accepted"]


def test_a_destination_that_is_away_is_asked_when_it_is_back(world: World) -> None:
    accepted(world, 1)
    with committing_peer() as peer:
        away = commitments(world, 9)
        away.ask()
        assert world.desk.destination("a").breaker == BreakerState.OPEN
        asking = commitments(world, peer.port)
        asking.ask()
        assert peer.transactions == []
        world.clock.advance(minutes=6)
        asking.ask()
        assert len(peer.transactions) == 1
