"""Hostile and broken peers in both lanes: each is refused or bounded, an honest one never notices.

The table of bad inputs (`tests/hostile`) runs against a whole hub; what differs by lane is here.
"""

import socket
from collections.abc import Callable

import pytest

from tests.dicom_router.conftest import HONEST_ECHO_S, IMPATIENT, Hub, running_node
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import (
    ABORT,
    ASSOCIATE_AC,
    CT,
    IMPLICIT,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    STUDY_ROOT_FIND,
    VERIFICATION,
    RawPeer,
    RequestParts,
    command_set,
    context_item,
    echo_rq,
    p_data,
    pdu,
    store_rq,
)
from tests.support.waiting import eventually

LANES = pytest.mark.parametrize("querying", [False, True], ids=["fast lane", "query lane"])


def _parts(*, querying: bool) -> RequestParts:
    parts = RequestParts()
    if querying:
        parts.contexts.append(context_item(5, STUDY_ROOT_FIND, [IMPLICIT]))
    return parts


def _ended(peer: RawPeer) -> bool:
    """Whether the node ends the connection, with or without a last A-ABORT."""
    kind = peer.pdu()[0]
    return kind == 0 or (kind == ABORT and peer.pdu()[0] == 0)


def test_more_waiting_peers_than_there_is_room_for_keep_nobody_out(attacked: Hub) -> None:
    peers = [socket.create_connection(("127.0.0.1", attacked.port)) for _ in range(200)]
    honest_s = attacked.echo_seconds()
    for peer in peers:
        peer.close()
    assert honest_s < HONEST_ECHO_S


@LANES
def test_data_before_the_association_is_accepted_is_cut(attacked: Hub, *, querying: bool) -> None:
    with RawPeer(attacked.port) as peer:
        peer.send(_parts(querying=querying).encode() + echo_rq())
        assert _ended(peer)


def _many_elements() -> bytes:
    return p_data(1, 1, command_set(command_field=0x30) * 40)


VIOLATIONS: dict[str, bytes] = {
    "context never proposed": p_data(99, 3, echo_rq()[12:]),
    "context not accepted": p_data(7, 3, echo_rq()[12:]),
    "PDV of length 0": pdu(P_DATA, b"\0\0\0\0\x01\x03"),
    "PDV of length 1": pdu(P_DATA, b"\0\0\0\x01\x01"),
    "PDV longer than its PDU": pdu(P_DATA, b"\0\0\xff\xff\x01\x03" + bytes(20)),
    "PDV header cut": pdu(P_DATA, b"\0\0\0"),
    "PDU longer than agreed": pdu(P_DATA, b"", length=0x7FFFFFFF),
    "unknown PDU": pdu(0x4F, bytes(4)),
    "second request": RequestParts().encode(),
    "acceptance from the requestor": pdu(ASSOCIATE_AC, bytes(70)),
    "dataset without a command": p_data(3, 2, b"abcd"),
    "no Message ID": p_data(1, 3, command_set(command_field=0x30, command_data_set_type=0x101)),
    "no Command Field": p_data(1, 3, command_set(message_id=1, command_data_set_type=0x101)),
    "empty command": p_data(1, 3, b""),
    "command of garbage": p_data(1, 3, b"\xff" * 50),
    "endless command": p_data(1, 1, bytes(16000)) * 5,
    "dataset in another context": store_rq("1.2.3") + p_data(1, 2, b"abcd"),
    "command inside a dataset": store_rq("1.2.3") + p_data(3, 0, b"ab") + echo_rq(),
}


@LANES
@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_protocol_violation_ends_the_association(
    attacked: Hub, violation: bytes, *, querying: bool
) -> None:
    parts = _parts(querying=querying)
    parts.contexts.append(context_item(7, "1.2.3.4", [IMPLICIT]))
    with RawPeer(attacked.port) as peer:
        assert peer.associate(parts)[0] == ASSOCIATE_AC
        peer.send(violation)
        assert _ended(peer)
    attacked.await_audit(lambda found: found.outcome == "failure")


@LANES
@pytest.mark.parametrize(
    "flood",
    [
        p_data(
            1,
            3,
            command_set(
                command_field=0x0FFF, message_id_being_responded_to=7, command_data_set_type=0x101
            ),
        ),
        p_data(
            1,
            3,
            command_set(
                affected_sop_class_uid=VERIFICATION,
                command_field=0x8030,
                message_id_being_responded_to=7,
                command_data_set_type=0x101,
                status=0,
            ),
        ),
    ],
    ids=["cancel", "response"],
)
def test_cancels_and_responses_nobody_waits_for_are_ignored(
    attacked: Hub, flood: bytes, *, querying: bool
) -> None:
    with RawPeer(attacked.port) as peer:
        assert peer.associate(_parts(querying=querying))[0] == ASSOCIATE_AC
        peer.send(flood * 500 + echo_rq(message_id=9))
        assert peer.status() == 0
        peer.send(pdu(RELEASE_RQ, bytes(4)))
        assert peer.pdu()[0] == RELEASE_RP


@LANES
def test_an_unknown_operation_is_answered_as_such(attacked: Hub, *, querying: bool) -> None:
    move = command_set(
        affected_sop_class_uid=CT, command_field=0x0021, message_id=3, command_data_set_type=0
    )
    with RawPeer(attacked.port) as peer:
        assert peer.associate(_parts(querying=querying))[0] == ASSOCIATE_AC
        peer.send(p_data(3, 3, move) + p_data(3, 2, b"\x08\0\x52\0CS\x06\0STUDY "))
        assert peer.status() == 0x0211
        peer.send(echo_rq())
        assert peer.status() == 0


@LANES
@IMPATIENT
def test_a_peer_that_falls_silent_loses_its_slot(attacked: Hub, *, querying: bool) -> None:
    with RawPeer(attacked.port) as peer:
        assert peer.associate(_parts(querying=querying))[0] == ASSOCIATE_AC
        assert _ended(peer)
    record = attacked.await_audit(lambda found: found.outcome == "failure")
    assert record.subject_id == "chengguan"


def _drip(peer: RawPeer, data: bytes) -> bool:
    """Send one byte every 50 ms; True when the node ends the connection before all are sent."""
    peer.socket.settimeout(0.05)
    for byte in data:
        try:
            peer.socket.send(bytes((byte,)))
            if peer.socket.recv(1) in (b"", b"\x07"):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@IMPATIENT
@pytest.mark.parametrize(
    "slow",
    [lambda: RequestParts().encode(), lambda: store_rq("1.2.3") + p_data(3, 0, bytes(1000))],
    ids=["request", "dataset"],
)
def test_a_peer_that_drips_is_cut(attacked: Hub, slow: Callable[[], bytes]) -> None:
    with RawPeer(attacked.port) as peer:
        if slow()[0] == P_DATA:
            assert peer.associate()[0] == ASSOCIATE_AC
        assert _drip(peer, slow())


@LANES
def test_a_reset_in_the_middle_of_a_dataset_leaves_no_file_and_no_row(
    attacked: Hub, *, querying: bool
) -> None:
    data = encoded(ct())
    with RawPeer(attacked.port) as peer:
        assert peer.associate(_parts(querying=querying))[0] == ASSOCIATE_AC
        peer.send(store_rq(ct().SOPInstanceUID) + p_data(3, 0, data[:300]))
        eventually(lambda: bool(attacked.temporary_files()))
        peer.reset()
    eventually(lambda: not attacked.temporary_files())
    assert attacked.parts.index.instance(ct().SOPInstanceUID) is None


@LANES
def test_a_dataset_without_end_is_answered_at_the_cap(
    tmp_path_factory: pytest.TempPathFactory, *, querying: bool
) -> None:
    with running_node(tmp_path_factory.mktemp("cap"), max_instance_bytes=100_000) as hub:
        with RawPeer(hub.port) as peer:
            assert peer.associate(_parts(querying=querying))[0] == ASSOCIATE_AC
            peer.send(store_rq(ct().SOPInstanceUID) + p_data(3, 0, bytes(15_000)) * 7)
            assert peer.status() == 0xA700
            assert _ended(peer)
        assert hub.echo_seconds() < HONEST_ECHO_S
        eventually(lambda: not hub.temporary_files())


def test_random_bytes_on_an_association_end_it_and_nothing_else(attacked: Hub) -> None:
    import random

    chance = random.Random(7)  # noqa: S311 (a test repeats itself)
    whole = echo_rq() + store_rq(ct().SOPInstanceUID) + p_data(3, 2, encoded(ct()))
    for _ in range(60):
        with RawPeer(attacked.port) as peer:
            assert peer.associate()[0] == ASSOCIATE_AC
            mutilated = bytearray(whole)
            for _ in range(chance.randrange(1, 8)):
                mutilated[chance.randrange(len(mutilated))] = chance.randrange(256)
            peer.send(bytes(mutilated))
            peer.reset()
