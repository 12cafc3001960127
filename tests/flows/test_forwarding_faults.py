"""Forwarding over lines that fail: after every fault the destination has exactly what is archived.

The destination is DCMTK's storescp or pynetdicom, behind a proxy that cuts, resets, stalls, slows
or corrupts. Each fault has a control: a sender that believes its line.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dicom_router.forwarding.model import State
from dicom_router.forwarding.senders.dicom import DicomSender
from dicom_router.sending.destinations import destination_of
from dicom_router.sending.model import Destination, SendLimits
from hub_kernel.settings import DestinationSettings
from image_archive.file_meta import read_file_meta
from tests.dicom_router.forwarding.world import STUDY, World, outgoing_instances
from tests.dicom_router.peers import StoringPeer, storing_peer
from tests.dicom_router.wire import CT, EXPLICIT
from tests.support.certificates import Authority
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.ports import free_port, listens
from tests.support.tools import require_tool
from tests.support.waiting import eventually

PATIENT = SendLimits(connect_s=60.0, answer_s=60.0, patience_s=60.0)
# A line that says nothing is known by the time alone; every other fault is seen.
HASTY = SendLimits(connect_s=2.0, answer_s=1.5, patience_s=1.5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def sender(world: World, destination: Destination, limits: SendLimits = PATIENT) -> DicomSender:
    return DicomSender(destination, outgoing_instances(world.backend), limits)


def forward(world: World, to: DicomSender, most_turns: int = 40) -> None:
    """Turn until nothing is owed, time passing between the turns."""
    lane = world.lane(to)
    for _ in range(most_turns):
        lane.turn()
        if set(world.states()) <= {State.SENT, State.PARKED}:
            return
        world.clock.advance(minutes=10)
    raise AssertionError(f"still owed after {most_turns} turns: {world.items()}")


def different_things(peer: StoringPeer) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for uid, _, data in peer.kept:
        found.setdefault(uid, set()).add(hashlib.sha256(data).hexdigest())
    return found


def reconciles_to_zero(world: World, peer: StoringPeer) -> bool:
    """Everything archived is there, as it is archived, and as nothing else."""
    archived = {uid: {digest} for uid, digest in world.archive_digests().items()}
    return different_things(peer) == archived


# About 130 bytes of association, then one instance of some 40 kB after the other.
FAULTS = [
    Fault(FaultKind.REFUSE),
    Fault(FaultKind.CUT, after_bytes=0),
    Fault(FaultKind.CUT, after_bytes=60),
    Fault(FaultKind.CUT, after_bytes=10_000),
    Fault(FaultKind.CUT, after_bytes=90_000),
    Fault(FaultKind.CUT, after_bytes=30, towards="client"),
    Fault(FaultKind.CUT, after_bytes=400, towards="client"),
    Fault(FaultKind.RESET, after_bytes=10_000),
    Fault(FaultKind.RESET, after_bytes=60_000),
    Fault(FaultKind.RESET, after_bytes=400, towards="client"),
    Fault(FaultKind.STALL, after_bytes=60),
    Fault(FaultKind.STALL, after_bytes=10_000),
    Fault(FaultKind.STALL, after_bytes=400, towards="client"),
    Fault(FaultKind.SLOW, bytes_per_s=200_000),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind}-{f.towards}-{f.after_bytes}")
def test_after_a_broken_line_the_destination_has_exactly_what_is_archived(
    world: World, fault: Fault
) -> None:
    world.promised(*range(1, 5), PixelData=b"\1\2" * 20_000)
    with storing_peer({CT: [EXPLICIT]}) as peer, ChaosProxy(("127.0.0.1", peer.port)) as proxy:
        limits = HASTY if fault.kind is FaultKind.STALL else PATIENT
        to = sender(world, peer.destination(port=proxy.port), limits)
        # Until it has met the instances: a line that was given up too soon has done no harm.
        proxy.always, lane = fault, world.lane(to)
        while proxy.injected < 2 and "queued" in world.states():
            lane.turn()
            world.clock.advance(minutes=10)
        proxy.always = None
        forward(world, to)
        assert proxy.injected >= 1
    assert reconciles_to_zero(world, peer)
    assert world.states() == ["sent"] * 4
    if fault.kind is not FaultKind.SLOW:
        assert world.desk.destination("a").last_error


def test_the_line_test_can_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: who takes a lost answer for a good one loses instances."""
    from dicom_router.forwarding.sender import Sent
    from dicom_router.forwarding.senders import dicom
    from dicom_router.forwarding.verdicts import Verdict

    world.promised(*range(1, 5), PixelData=b"\1\2" * 20_000)
    store = DicomSender._store

    def believing(self, association, parcel, pace):  # type: ignore[no-untyped-def]
        try:
            return store(self, association, parcel, pace)
        except dicom._OVER:
            return Sent(parcel.item.item_id, Verdict.ACCEPTED, "0x0000")

    monkeypatch.setattr(DicomSender, "_store", believing)
    with storing_peer({CT: [EXPLICIT]}) as peer, ChaosProxy(("127.0.0.1", peer.port)) as proxy:
        proxy.plan([Fault(FaultKind.CUT, after_bytes=10_000)])
        forward(world, sender(world, peer.destination(port=proxy.port)))
    assert world.states() == ["sent"] * 4
    assert not reconciles_to_zero(world, peer)


def test_a_destination_that_dies_in_the_middle_gets_only_what_is_missing(world: World) -> None:
    uids = world.promised(*range(1, 7), PixelData=b"\1\2" * 20_000)
    with storing_peer({CT: [EXPLICIT]}) as peer:
        with ChaosProxy(("127.0.0.1", peer.port)) as proxy:
            proxy.plan([Fault(FaultKind.RESET, after_bytes=130_000), None])
            forward(world, sender(world, peer.destination(port=proxy.port)))
        sent = [uid for uid, _, _ in peer.kept]
    assert reconciles_to_zero(world, peer)
    # At most the one whose answer was lost has gone twice.
    assert len(sent) <= len(uids) + 1


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (0xA700, "queued", "0xA700"),
        (0xA900, "parked", "0xA900"),
        (0xC000, "parked", "0xC000"),
        (0xB000, "sent", "0xB000"),
    ],
)
def test_each_class_of_answer_is_obeyed(world: World, status: int, state: str, said: str) -> None:
    first, *_ = world.promised(1, 2, 3)
    refused = {first}

    def answer(event) -> int:  # type: ignore[no-untyped-def]
        return status if str(event.request.AffectedSOPInstanceUID) in refused else 0

    with storing_peer({CT: [EXPLICIT]}, answer) as peer:
        to = sender(world, peer.destination())
        lane = world.lane(to)
        while lane.turn():
            pass
        assert world.states() == [state, "sent", "sent"]
        assert world.items()[0].last_status == said
        refused.clear()
        if state == "parked":
            assert world.desk.release_parked("a") == 1
        forward(world, to)
    assert reconciles_to_zero(world, peer)


def test_an_association_that_is_refused_for_good_is_asked_again(world: World) -> None:
    world.promised(1)
    with storing_peer({CT: [EXPLICIT]}, require_called_aet=True) as peer:
        lane = world.lane(sender(world, peer.destination(ae_title="WRONG")))
        lane.turn()
        assert "called AE title not recognized" in world.desk.destination("a").last_error
        forward(world, sender(world, peer.destination()))
    assert reconciles_to_zero(world, peer)


def test_a_sop_class_nobody_takes_is_parked_with_what_to_do(world: World) -> None:
    world.promised(1)
    with storing_peer({"1.2.840.10008.5.1.4.1.1.4": [EXPLICIT]}) as peer:
        forward(world, sender(world, peer.destination()))
    item = world.items()[0]
    assert (item.state, item.last_status) == (State.PARKED, "no context")
    assert "does not take CT Image Storage" in item.last_comment


def test_damaged_bytes_are_never_sent_and_the_row_says_so(world: World) -> None:
    world.promised(1, 2)
    first = world.index.instance(world.items()[0].sop_instance_uid)
    assert first is not None
    path = next(world.folder.rglob(first.storage_key.rpartition("/")[2] + "*"))
    data = bytearray(path.read_bytes())
    data[-10] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    with storing_peer({CT: [EXPLICIT]}) as peer:
        forward(world, sender(world, peer.destination()))
    assert world.states() == ["parked", "sent"]
    assert "eirhub archive verify" in world.items()[0].last_comment
    assert [uid for uid, _, _ in peer.kept] == [world.items()[1].sop_instance_uid]


@dataclass(frozen=True)
class StoreScp:
    """DCMTK's storescp; `folder` is where it puts what it takes."""

    port: int
    folder: Path

    def kept(self) -> dict[str, str]:
        """SOP Instance UID → digest of the dataset, byte for byte as it came (+B)."""
        found = {}
        for file in self.folder.iterdir():
            data = file.read_bytes()
            meta = read_file_meta(data)
            dataset = data[meta.dataset_offset :]
            found[meta.sop_instance_uid] = hashlib.sha256(dataset).hexdigest()
        return found


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[StoreScp]:
    require_tool("storescp")
    folder.mkdir()
    port = free_port()
    command = ["storescp", "+B", "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, "storescp has ended"
        yield StoreScp(port, folder)
    finally:
        process.kill()
        process.wait()


def tls_destination(authority: Authority, port: int) -> Destination:
    mine = authority.issue("hub")
    return destination_of(
        DestinationSettings(
            name="a",
            ae_title="PEER",
            host="127.0.0.1",
            port=port,
            tls=True,
            tls_ca=authority.file,
            tls_certificate=mine.certificate_file,
            tls_key=mine.key_file,
        ),
        "EIRHUB",
    )


CORRUPTIONS = [Fault(FaultKind.CORRUPT, after_bytes=position) for position in (9_000, 60_000)]


@pytest.mark.parametrize("fault", CORRUPTIONS, ids=lambda f: str(f.after_bytes))
def test_bytes_changed_on_the_way_do_not_arrive_over_tls(
    world: World, tmp_path: Path, fault: Fault
) -> None:
    (tmp_path / "ca").mkdir()
    authority = Authority(tmp_path / "ca")
    theirs = authority.issue("peer")
    world.promised(*range(1, 4), PixelData=b"\1\2" * 20_000)
    tls = ("+tls", str(theirs.key_file), str(theirs.certificate_file))
    with (
        storescp(tmp_path / "got", *tls, "+cf", str(authority.file)) as peer,
        ChaosProxy(("127.0.0.1", peer.port)) as proxy,
    ):
        proxy.plan([fault, fault])
        forward(world, sender(world, tls_destination(authority, proxy.port)))
        assert (
            proxy.injected >= 1
        )  # the probe after the first is one instance, and may be too short
    assert peer.kept() == world.archive_digests()


def test_the_corruption_test_can_fail(world: World) -> None:
    """Control: without TLS a byte changed in the pixels arrives as if it were right."""
    world.promised(1, PixelData=b"\1\2" * 20_000)
    with storing_peer({CT: [EXPLICIT]}) as peer, ChaosProxy(("127.0.0.1", peer.port)) as proxy:
        proxy.plan([Fault(FaultKind.CORRUPT, after_bytes=30_000)])
        forward(world, sender(world, peer.destination(port=proxy.port)))
    assert world.states() == ["sent"]
    assert not reconciles_to_zero(world, peer)


def test_dcmtk_takes_what_is_forwarded_bit_for_bit(world: World, tmp_path: Path) -> None:
    world.promised(*range(1, 6))
    with storescp(tmp_path / "got") as peer:
        forward(world, sender(world, Destination("a", "PEER", "127.0.0.1", peer.port, "EIRHUB")))
    assert peer.kept() == world.archive_digests()
    assert len(peer.kept()) == 5
    assert {item.study_instance_uid for item in world.items()} == {STUDY}
