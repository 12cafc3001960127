"""C-FIND byte by byte: hostile identifiers, none at all, and a cancel between two answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRoot,
)

from tests.dicom_router.conftest import HONEST_ECHO_S, Hub, running_node
from tests.dicom_router.instances import ct
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    RequestParts,
    command_set,
    context_item,
    echo_rq,
    elements_of,
    p_data,
)


def _store(hub: Hub, *instances: Dataset) -> None:
    with hub.association({CT: [EXPLICIT]}, "CT1") as association:
        for instance in instances:
            assert association.send_c_store(instance).Status == 0


def test_nothing_follows_the_answer_that_tells_the_limit(tmp_path: Path) -> None:
    with running_node(tmp_path, response_limit=2) as hub:
        _store(hub, *(ct(number) for number in range(1, 5)))
        with _raw_query(hub) as peer:
            _send_identifier(peer, _element(0x0008, 0x0018, b"") + LEVEL_IMAGE)
            assert _answered(peer) == [0xFF00, 0xFF00, 0xB001]
            peer.send(echo_rq())
            assert peer.answer()[0x0100] == b"\x30\x80"


@contextmanager
def _raw_query(hub: Hub) -> Iterator[RawPeer]:
    """A peer that has sent the command of a C-FIND."""
    parts = RequestParts(calling=b"WS1")
    parts.contexts.append(context_item(5, StudyRoot, [IMPLICIT]))
    with RawPeer(hub.port) as peer:
        assert peer.associate(parts)[0] == 2
        command = command_set(
            affected_sop_class_uid=StudyRoot,
            command_field=0x0020,
            message_id=4,
            priority=0,
            command_data_set_type=0,
        )
        peer.send(p_data(5, 3, command))
        yield peer


def _send_identifier(peer: RawPeer, identifier: bytes) -> None:
    for at in range(0, len(identifier), 16000):
        peer.send(p_data(5, 0, identifier[at : at + 16000]))
    peer.send(p_data(5, 2, b""))


def _element(group: int, element: int, value: bytes) -> bytes:
    tag = group.to_bytes(2, "little") + element.to_bytes(2, "little")
    return tag + len(value).to_bytes(4, "little") + value


LEVEL = _element(0x0008, 0x0052, b"STUDY ")
LEVEL_IMAGE = _element(0x0008, 0x0052, b"IMAGE ")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    "identifier",
    [
        b"",
        b"\xff" * 40,
        b"\x08\0\x52\0\xff\xff\xff\x7fSTUDY",
        LEVEL + _element(0x0010, 0x0010, b"*?" * 10_000),
        LEVEL + _element(0x0020, 0x000D, b"\\".join([b"1.2.3"] * 50_000)),
        LEVEL + b"".join(_element(0x0011, n, b"") for n in range(0x1000, 0x1400)),
        _element(0x0008, 0x0005, b"../../etc\\x" * 50)
        + LEVEL
        + _element(0x0010, 0x0010, b"\xff\xfe"),
    ],
    ids=["empty", "garbage", "cut", "wildcards", "50k UIDs", "1024 keys", "character sets"],
)
def test_a_hostile_identifier_gets_a_status_and_the_association_lives(
    attacked: Hub, identifier: bytes
) -> None:
    with _raw_query(attacked) as peer:
        _send_identifier(peer, identifier)
        status = peer.status()
        assert status == 0 or status >> 12 in (0xA, 0xC)
        peer.send(echo_rq())
        assert peer.status() == 0


def test_an_identifier_of_more_than_a_megabyte_ends_the_association(attacked: Hub) -> None:
    huge = LEVEL + _element(0x0010, 0x0020, b"A" * 1_200_000)
    with _raw_query(attacked) as peer:
        try:
            _send_identifier(peer, huge)
        except ConnectionError:
            return  # cut while it was still sending
        assert peer.pdu()[0] in (0, 7)


def test_a_deeply_nested_identifier_harms_nobody(attacked: Hub) -> None:
    nested = b""
    for _ in range(300):
        item = b"\xfe\xff\0\xe0" + len(nested).to_bytes(4, "little") + nested
        nested = _element(0x0008, 0x1140, item)
    with _raw_query(attacked) as peer:
        _send_identifier(peer, LEVEL + nested)
        assert peer.status() in (0, 0xC000)


def test_a_query_without_an_identifier_is_refused(hub: Hub) -> None:
    parts = RequestParts(contexts=[context_item(5, StudyRoot, [IMPLICIT])])
    with RawPeer(hub.port) as peer:
        assert peer.associate(parts)[0] == 2
        peer.send(
            p_data(
                5,
                3,
                command_set(
                    affected_sop_class_uid=StudyRoot,
                    command_field=0x0020,
                    message_id=4,
                    command_data_set_type=0x0101,
                ),
            )
        )
        assert peer.status() == 0xA900


def test_a_cancel_is_obeyed_between_two_answers(tmp_path: Path) -> None:
    with running_node(tmp_path, idle_timeout_s=60.0) as hub:
        _store(hub, *(ct(number) for number in range(1, 150)))
        identifier = _element(0x0008, 0x0018, b"") + _element(0x0008, 0x0052, b"IMAGE ")
        statuses = _statuses(hub, identifier)
        assert (len(statuses), statuses[-1]) == (150, 0x0000)
        statuses = _statuses(hub, identifier, cancelled=True)
        assert len(statuses) < 100
        assert statuses[-1] == 0xFE00
        assert hub.echo_seconds() < HONEST_ECHO_S


def _statuses(hub: Hub, identifier: bytes, *, cancelled: bool = False) -> list[int]:
    """Ask, perhaps cancel at once, and return the status of every answer."""
    with _raw_query(hub) as peer:
        # In one piece: it is there before the first answer, however slow this process is.
        asked = p_data(5, 2, identifier)
        peer.send(asked + p_data(5, 3, _CANCEL) if cancelled else asked)
        return _answered(peer)


def _answered(peer: RawPeer) -> list[int]:
    """The status of every answer up to the last one."""
    statuses: list[int] = []
    while not statuses or statuses[-1] == 0xFF00:
        kind, body = peer.pdu()
        assert kind == 4
        if body[5] & 1:  # a command, not an identifier
            statuses.append(int.from_bytes(elements_of(body[6:])[0x0900], "little"))
    return statuses


_CANCEL = command_set(
    command_field=0x0FFF, message_id_being_responded_to=4, command_data_set_type=0x0101
)
