"""The node as an SCU of storage: what goes out, what comes back, and how it can go wrong."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_router.commands import MoveOriginator
from dicom_router.errors import PeerGoneError, PeerTooSlowError, ProtocolViolationError
from dicom_router.sending.errors import (
    AssociationRejectedError,
    DestinationUnreachableError,
    InstanceUnavailableError,
    NoAcceptableContextError,
    SendingCancelledError,
)
from dicom_router.sending.model import (
    Destination,
    OutgoingInstance,
    Proposal,
    SendLimits,
    StoreOutcome,
)
from dicom_router.sending.stored_instances import StoredInstances
from dicom_router.sending.storing import StoreAssociation, proposals_for
from tests.dicom_router.conftest import Hub
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.peers import storing_peer
from tests.dicom_router.wire import CT, EXPLICIT, IMPLICIT, RawPeer, associate_ac
from tests.support.ports import free_port
from tests.support.waiting import eventually

J2K = "1.2.840.10008.1.2.4.90"
MR = "1.2.840.10008.5.1.4.1.1.4"
TAKES_CT = {CT: [EXPLICIT]}
HASTY = SendLimits(connect_s=30.0, answer_s=2.0, patience_s=2.0)


def outgoing(number: int = 1, syntax: str = EXPLICIT, data: bytes = b"") -> OutgoingInstance:
    dataset = data or encoded(ct(number))
    return OutgoingInstance(CT, f"1.2.3.{number}", syntax, lambda: iter([dataset]))


def proposed() -> tuple[Proposal, ...]:
    return proposals_for([(CT, EXPLICIT)])[0]


def test_instances_arrive_as_they_were_and_the_answers_come_back() -> None:
    with (
        storing_peer(TAKES_CT) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        assert association.accepted == {CT: (EXPLICIT,)}
        for number in (1, 2, 3):
            answer = association.store(outgoing(number))
            assert (answer.status, answer.outcome) == (0, StoreOutcome.SUCCESS)
    assert [(uid, syntax) for uid, syntax, _ in peer.kept] == [
        (f"1.2.3.{number}", EXPLICIT) for number in (1, 2, 3)
    ]
    assert peer.kept[1][2] == encoded(ct(2))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0xA700, StoreOutcome.FAILURE),
        (0xA900, StoreOutcome.FAILURE),
        (0xC000, StoreOutcome.FAILURE),
        (0x0110, StoreOutcome.FAILURE),
        (0xB000, StoreOutcome.WARNING),
        (0xB007, StoreOutcome.WARNING),
        (0x0107, StoreOutcome.WARNING),
    ],
)
def test_a_status_and_its_comment_come_back_as_the_peer_gave_them(
    status: int, outcome: StoreOutcome
) -> None:
    def answer(_event: evt.Event) -> Dataset:
        given = Dataset()
        given.Status = status
        given.ErrorComment = "no room in 病 room".encode("ascii", "replace").decode()
        return given

    with (
        storing_peer(TAKES_CT, answer) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        got = association.store(outgoing())
        assert (got.status, got.outcome) == (status, outcome)
        assert got.comment.startswith("no room")
        assert not association.is_over


def test_what_the_peer_does_not_take_fails_alone() -> None:
    with (
        storing_peer({CT: [EXPLICIT, IMPLICIT]}) as peer,
        StoreAssociation.open(
            peer.destination(), proposals_for([(CT, J2K), (MR, EXPLICIT)])[0]
        ) as association,
    ):
        assert association.accepted == {CT: (EXPLICIT, IMPLICIT)}
        for refused in (outgoing(1, J2K), OutgoingInstance(MR, "1.2", EXPLICIT, iter)):
            with pytest.raises(NoAcceptableContextError):
                association.store(refused)
        assert association.store(outgoing(2)).status == 0


def test_an_instance_without_bytes_fails_alone() -> None:
    def damaged() -> Iterator[bytes]:
        raise InstanceUnavailableError("gone")
        yield b""

    with (
        storing_peer(TAKES_CT) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        with pytest.raises(InstanceUnavailableError):
            association.store(OutgoingInstance(CT, "1.2", EXPLICIT, damaged))
        assert association.store(outgoing()).status == 0
    assert len(peer.kept) == 1


def test_an_instance_that_breaks_off_half_way_reaches_the_peer_not_at_all() -> None:
    def torn() -> Iterator[bytes]:
        yield bytes(1_000_000)
        raise InstanceUnavailableError("gone")

    with storing_peer(TAKES_CT) as peer:
        association = StoreAssociation.open(peer.destination(), proposed())
        with pytest.raises(InstanceUnavailableError):
            association.store(OutgoingInstance(CT, "1.2", EXPLICIT, torn))
        assert association.is_over
    assert peer.kept == []


@pytest.mark.parametrize("max_pdu", [0, 1, 4096, 1 << 31])
def test_a_dataset_is_cut_to_what_the_peer_takes(max_pdu: int) -> None:
    big = bytes(range(256)) * 4000 + b"\0\0"
    pieces = [big[at : at + 70_000] for at in range(0, len(big), 70_000)]
    with (
        storing_peer(TAKES_CT, maximum_pdu_size=max_pdu) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        answer = association.store(OutgoingInstance(CT, "1.2", EXPLICIT, lambda: iter(pieces)))
        assert answer.status == 0
    assert peer.kept[0][2] == big


def test_a_move_originator_is_named() -> None:
    with (
        storing_peer(TAKES_CT) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        association.store(outgoing(), MoveOriginator("WS1", 77))
    request = peer.requests[0]
    assert request.MoveOriginatorApplicationEntityTitle == "WS1"
    assert request.MoveOriginatorMessageID == 77


def test_a_refusal_says_why_and_whether_to_try_again() -> None:
    with (
        storing_peer(TAKES_CT, require_called_aet=True) as peer,
        pytest.raises(AssociationRejectedError, match="called AE title") as refused,
    ):
        StoreAssociation.open(peer.destination(ae_title="OTHER"), proposed())
    assert (refused.value.source, refused.value.reason) == (1, 7)
    assert not refused.value.transient


def test_nobody_there_is_unreachable() -> None:
    gone = Destination("peer", "PEER", "127.0.0.1", free_port(), "EIRHUB")
    with pytest.raises(DestinationUnreachableError):
        StoreAssociation.open(gone, proposed(), HASTY)


@contextmanager
def listening(serve: list[bytes], *, linger: bool = True) -> Iterator[Destination]:
    """A server that says each of `serve` after each thing it hears, then falls silent or closes."""
    server = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def run() -> None:
        peer, _ = server.accept()
        with peer:
            for words in serve:
                peer.recv(65536)
                peer.sendall(words)
            if linger:
                done.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Destination("peer", "PEER", "127.0.0.1", server.getsockname()[1], "EIRHUB")
    finally:
        done.set()
        thread.join()
        server.close()


def test_a_silent_peer_is_given_up() -> None:
    with listening([]) as silent, pytest.raises(PeerTooSlowError):
        StoreAssociation.open(silent, proposed(), SendLimits(connect_s=1.0))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolViolationError),
        (b"\x02\x00\xff\xff\xff\xff", ProtocolViolationError),
        (b"\x02\x00\x00\x00\x00\x04\x00\x01\x00\x00", ProtocolViolationError),
        (b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00", PeerGoneError),
        (b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x02", AssociationRejectedError),
    ],
    ids=["http", "huge", "cut", "abort", "busy"],
)
def test_nonsense_for_an_answer_is_no_association(answer: bytes, error: type[Exception]) -> None:
    with listening([answer], linger=False) as peer, pytest.raises(error):
        StoreAssociation.open(peer, proposed())


def test_a_peer_that_never_answers_the_instance_is_given_up() -> None:
    with listening([associate_ac({1: EXPLICIT})]) as mute:
        association = StoreAssociation.open(mute, proposed(), HASTY)
        with pytest.raises(PeerTooSlowError):
            association.store(outgoing())
        assert association.is_over


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    with listening([associate_ac({1: EXPLICIT})]) as full:
        association = StoreAssociation.open(full, proposed(), HASTY)
        with pytest.raises(PeerTooSlowError):
            association.store(outgoing(1, data=bytes(64_000_000)))
        assert association.is_over


def test_a_peer_that_dies_in_the_middle_is_gone() -> None:
    def dies(event: evt.Event) -> int:
        event.assoc.abort()
        return 0

    with storing_peer(TAKES_CT, dies) as peer:
        association = StoreAssociation.open(peer.destination(), proposed())
        with pytest.raises(PeerGoneError):
            association.store(outgoing())
        assert association.is_over


def test_sending_can_be_cancelled_from_outside() -> None:
    with listening([associate_ac({1: EXPLICIT})]) as mute:
        association = StoreAssociation.open(mute, proposed())
        threading.Timer(0.2, association.cancel).start()
        with pytest.raises(SendingCancelledError):
            association.store(outgoing())


def test_archived_instances_go_out_bit_for_bit_and_damaged_ones_not_at_all(hub: Hub) -> None:
    with hub.association(TAKES_CT) as sender:
        for number in (1, 2):
            assert sender.send_c_store(ct(number)).Status == 0
    backend = hub.parts.archive.backend
    records = hub.parts.index.instances_of(ct().StudyInstanceUID)
    stored = StoredInstances(backend)
    path = next(hub.folder.rglob(f"*{records[0].storage_key.rsplit('/', 1)[-1]}"))
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(damaged))
    with (
        storing_peer(TAKES_CT) as peer,
        StoreAssociation.open(peer.destination(), proposed()) as association,
    ):
        with pytest.raises(InstanceUnavailableError):
            association.store(stored.outgoing(records[0]))
        assert association.store(stored.outgoing(records[1])).status == 0
    assert [hashlib.sha256(data).hexdigest() for _, _, data in peer.kept] == [
        records[1].dataset_sha256
    ]


def test_the_hub_can_send_to_itself(hub: Hub) -> None:
    destination = Destination("self", "EIRHUB", "127.0.0.1", hub.port, "CT1")
    with StoreAssociation.open(destination, proposed()) as association:
        assert (
            association.store(
                OutgoingInstance(CT, ct().SOPInstanceUID, EXPLICIT, lambda: iter([encoded(ct())]))
            ).status
            == 0
        )
    eventually(lambda: hub.parts.index.instance(ct().SOPInstanceUID) is not None)
    with RawPeer(hub.port) as peer:
        assert peer.associate()[0] == 2


def test_more_than_128_contexts_are_spread_over_associations() -> None:
    coded = [(f"1.2.3.{number}", J2K) for number in range(100)]
    associations = proposals_for(coded)
    assert all(len(one) <= 128 for one in associations)
    assert {p.sop_class_uid for one in associations for p in one} == {uid for uid, _ in coded}
