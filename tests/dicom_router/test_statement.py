"""What the conformance statement says of every association and is proved nowhere else."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from dicom_router.sending.handshake import associate_rq
from dicom_router.sending.model import Destination, Proposal
from dicom_router.statuses import store_failure
from hub_kernel.errors import HubError, InvalidUidError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveFullError,
    ArchiveUnavailableError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    FarTierUnreachableError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import ct
from tests.dicom_router.wire import ASSOCIATE_AC, CT, EXPLICIT, RawPeer, RequestParts, echo_rq, item

_MAXIMUM_LENGTH, _CLASS_UID, _ASYNCHRONOUS, _VERSION_NAME = 0x51, 0x52, 0x53, 0x55
_COMMON_EXTENDED, _USER_IDENTITY = 0x57, 0x58
_USER_INFORMATION = 0x50
IMPLEMENTATION = {
    _CLASS_UID: b"2.25.190146791043182537444806132384909598529",
    _VERSION_NAME: b"EIRHUB",
}


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def _user_information(body: bytes) -> dict[int, bytes]:
    """The sub-items of the user information of an A-ASSOCIATE-RQ or -AC."""
    return dict(_items(dict(_items(body[68:]))[_USER_INFORMATION]))


def test_any_called_ae_title_is_served(hub: Hub) -> None:
    with RawPeer(hub.port) as peer:
        kind, body = peer.associate(RequestParts(called=b"SOMEBODY"))
        assert kind == ASSOCIATE_AC
        assert body[4:20] == b"SOMEBODY".ljust(16)  # PS3.8 9.3.3: as it was sent
        peer.send(echo_rq())
        assert peer.status() == 0


def test_the_implementation_is_named_as_stated(hub: Hub) -> None:
    with RawPeer(hub.port) as peer:
        accepted = _user_information(peer.associate()[1])
    asked = _user_information(
        associate_rq(
            Destination("peer", "PEER", "127.0.0.1", 104, "EIRHUB"),
            [Proposal(CT, (EXPLICIT,))],
            65_536,
        )[6:]
    )
    for said in (accepted, asked):
        assert {kind: said[kind] for kind in IMPLEMENTATION} == IMPLEMENTATION


def test_negotiation_items_that_are_not_offered_are_left_unanswered(hub: Hub) -> None:
    name, password = b"somebody", b"something"
    identity = b"\x02\x01" + struct.pack(">H", len(name)) + name
    identity += struct.pack(">H", len(password)) + password
    common = struct.pack(">H", len(CT)) + CT.encode() + struct.pack(">H", 0) * 2
    proposed = [
        item(_ASYNCHRONOUS, struct.pack(">HH", 8, 8)),
        item(_COMMON_EXTENDED, common),
        item(_USER_IDENTITY, identity),
    ]
    with RawPeer(hub.port) as peer:
        kind, body = peer.associate(RequestParts(roles=proposed))
        assert kind == ASSOCIATE_AC
        assert set(_user_information(body)) == {_MAXIMUM_LENGTH, *IMPLEMENTATION}
        peer.send(echo_rq())
        assert peer.status() == 0


def test_a_new_study_of_somebody_else_under_a_known_patient_id_is_answered_c012(
    tmp_path: Path,
) -> None:
    with (
        running_node(tmp_path, doubted=lambda patient: patient.sex == "F") as hub,
        hub.association({CT: [EXPLICIT]}) as association,
    ):
        assert association.send_c_store(ct(1)).Status == 0
        answer = association.send_c_store(ct(1, "1.2.826.0.1.3680043.10.1603.77", PatientSex="F"))
        assert answer.Status == 0xC012
        assert "registrar" in answer.ErrorComment
        (parked,) = hub.parts.index.conflicts()
        assert parked.study_instance_uid == "1.2.826.0.1.3680043.10.1603.77"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ArchiveFullError(), 0xA700),
        (ArchiveUnavailableError(), 0xA701),
        (ArchiveBusyError(), 0xA702),
        (FarTierUnreachableError(), 0xA702),
        (IdentityMismatchError(), 0xA900),
        (ConflictingInstanceError(), 0x0111),
        (ConflictingStudyError(), 0xC010),
        (ContradictingPatientError(), 0xC012),
        (UnreadableInstanceError(), 0xC000),
        (InvalidUidError(), 0xC011),
        (HubError(), 0x0110),
        (OSError(), 0x0110),
        (OperationalError("", None, Exception()), 0x0110),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_of_the_archive_has_its_status(error: Exception, status: int) -> None:
    assert store_failure(error).status == status
