"""Every bad instance gets the status its sender can act on, and everything else stays readable."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_router.statuses import STORE_FAILURES
from image_archive.query import IndexQuery, Level
from tests.dicom_router.conftest import HONEST_ECHO_S, Hub, running_node
from tests.dicom_router.instances import STUDY, ct, encoded
from tests.dicom_router.wire import (
    CT,
    IMPLICIT,
    STUDY_ROOT_FIND,
    RawPeer,
    RequestParts,
    command_set,
    context_item,
    echo_rq,
    p_data,
    store_rq,
)
from tests.support.waiting import eventually

MR = "1.2.840.10008.5.1.4.1.1.4"
UID = str(ct().SOPInstanceUID)


@pytest.fixture(params=[False, True], ids=["fast lane", "query lane"])
def peer(attacked: Hub, request: pytest.FixtureRequest) -> Iterator[RawPeer]:
    """An associated peer; the association must still serve when the test is over."""
    parts = RequestParts()
    if request.param:
        parts.contexts.append(context_item(5, STUDY_ROOT_FIND, [IMPLICIT]))
    with RawPeer(attacked.port) as peer:
        assert peer.associate(parts)[0] == 2
        yield peer
        peer.send(echo_rq())
        assert peer.status() == 0


def _store(peer: RawPeer, dataset: bytes, uid: str = UID) -> tuple[int, str]:
    """Store `dataset`; return (status, error comment)."""
    peer.send(store_rq(uid))
    pieces = [dataset[at : at + 10_000] for at in range(0, len(dataset), 10_000)] or [b""]
    for piece in pieces[:-1]:
        peer.send(p_data(3, 0, piece))
    peer.send(p_data(3, 2, pieces[-1]))
    answer = peer.answer()
    return int.from_bytes(answer[0x0900], "little"), answer.get(0x0902, b"").decode().strip()


def _bytes_with(keyword: str, value: bytes) -> bytes:
    """A CT dataset in which one UID is replaced by hostile bytes."""
    instance = ct()
    proper = str(instance[keyword].value).encode()
    coded = proper + b"\0" * (len(proper) % 2)
    hostile = value + b"\0" * (len(value) % 2)
    whole = encoded(instance)
    at = whole.index(b"UI" + len(coded).to_bytes(2, "little") + coded)
    rest = whole[at + 4 + len(coded) :]
    return whole[:at] + b"UI" + len(hostile).to_bytes(2, "little") + hostile + rest


UNREADABLE = {
    "nothing": b"",
    "text": b"this is not DICOM, but it is long enough to look at",
    "HTML": b"<html><script>alert(1)</script></html>" * 10,
    "a program": b"MZ" + bytes(300),
    "DICM then nothing": bytes(128) + b"DICM",
    "truncated in the header": encoded(ct())[:150],
    "truncated in the pixels": encoded(ct())[:-40],
    "a length far beyond the end": encoded(ct(PixelData=None))
    + b"\xe0\x7f\x10\0OW\0\0\xfe\xff\xff\xff"
    + bytes(10),
    "no Study Instance UID": encoded(ct(StudyInstanceUID=None)),
}


@pytest.mark.parametrize("dataset", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_dataset_is_answered_c000(
    peer: RawPeer, attacked: Hub, dataset: bytes
) -> None:
    status, comment = _store(peer, dataset)
    assert status >> 12 == 0xC
    assert comment
    assert attacked.parts.index.instance(UID) is None


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "/etc/passwd", "1.2\x003", "1" * 65, "", "1..2"]
)
def test_a_hostile_sop_instance_uid_in_the_command_is_answered_0117(
    peer: RawPeer, attacked: Hub, uid: str
) -> None:
    status, comment = _store(peer, encoded(ct()), uid)
    assert status == 0x0117
    assert "UID" in comment
    assert not list(attacked.parts.archive.backend.keys())


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize(
    "uid",
    [b"../../../tmp/x", b"/etc/passwd", b"1.2\x003", b"1" * 65],
    ids=["up", "root", "NUL", "65"],
)
def test_a_hostile_uid_in_the_dataset_is_refused(
    peer: RawPeer, attacked: Hub, keyword: str, uid: bytes
) -> None:
    status, _ = _store(peer, _bytes_with(keyword, uid))
    assert status >> 12 in (0xC, 0xA)
    assert attacked.parts.index.instance(UID) is None
    assert not list(attacked.parts.archive.backend.keys("instances/"))


def test_a_dataset_other_than_announced_is_answered_a900(peer: RawPeer, attacked: Hub) -> None:
    assert _store(peer, encoded(ct(2)))[0] == 0xA900
    assert _store(peer, encoded(ct(SOPClassUID=MR)))[0] == 0xA900
    assert attacked.parts.index.instance(UID) is None


def test_a_sop_class_other_than_negotiated_is_answered_0122(peer: RawPeer) -> None:
    peer.send(store_rq(UID, sop_class_uid=MR) + p_data(3, 2, encoded(ct(SOPClassUID=MR))))
    assert peer.status() == 0x0122
    peer.send(store_rq(UID, context_id=1) + p_data(1, 2, encoded(ct())))
    assert peer.status() == 0x0122


def test_a_store_without_a_dataset_is_answered_c000(peer: RawPeer) -> None:
    command = command_set(
        affected_sop_class_uid=CT,
        command_field=1,
        message_id=1,
        command_data_set_type=0x0101,
        affected_sop_instance_uid=UID,
    )
    peer.send(p_data(3, 3, command))
    assert peer.status() == 0xC000


def test_the_same_uid_with_other_bytes_is_answered_0111_and_both_are_kept(
    peer: RawPeer, attacked: Hub
) -> None:
    first, second = encoded(ct()), encoded(ct(StudyDescription="OTHER"))
    assert _store(peer, first) == (0, "")
    status, comment = _store(peer, second)
    assert status == 0x0111
    assert "operator" in comment
    with attacked.parts.archive.open_dataset(UID) as live:
        assert live.read() == first
    assert len(attacked.parts.index.conflicts()) == 1


def test_a_study_uid_of_another_patient_is_refused(peer: RawPeer, attacked: Hub) -> None:
    assert _store(peer, encoded(ct()))[0] == 0
    other = ct(2, PatientID="99999", PatientName="Zhao^Si")
    assert _store(peer, encoded(other), str(other.SOPInstanceUID))[0] == 0xC010
    study = attacked.parts.index.study(STUDY)
    assert study is not None
    assert study.instance_count == 1


@pytest.mark.parametrize("vr", [b"ZZ", b"\0\0", b"  "])
def test_an_odd_vr_costs_nothing_but_itself(peer: RawPeer, attacked: Hub, vr: bytes) -> None:
    whole = encoded(ct())
    at = whole.index(b"\x08\0\x30\x10LO")
    status, _ = _store(peer, whole[: at + 4] + vr + whole[at + 6 :])
    assert status in (0, 0xC000)
    other = ct(2)
    assert _store(peer, encoded(other), str(other.SOPInstanceUID))[0] == 0
    assert len(attacked.parts.index.find(IndexQuery(Level.STUDY)).matches) == 1


def test_markup_in_text_is_kept_as_text(peer: RawPeer, attacked: Hub) -> None:
    hostile = "<script>alert(1)</script>' OR 1=1 --"
    assert _store(peer, encoded(ct(StudyDescription=hostile)))[0] == 0
    study = attacked.parts.index.study(STUDY)
    assert study is not None
    assert study.study_description == hostile


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file of this process may grow beyond 512 kB: the system refuses as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_answered_a700_and_works_again_when_space_returns(
    peer: RawPeer, attacked: Hub
) -> None:
    large = encoded(ct(PixelData=bytes(3_000_000)))
    small = ct(2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    status, comment = _store(peer, large)
    assert status == 0xA700
    assert "again later" in comment
    eventually(lambda: not attacked.temporary_files())
    assert attacked.parts.index.instance(UID) is None
    assert _store(peer, encoded(small), str(small.SOPInstanceUID))[0] == 0
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _store(peer, large)[0] == 0


def test_a_reserve_that_is_used_up_is_answered_a700(tmp_path: Path) -> None:
    from image_archive.backends.filesystem import FilesystemBackend

    with running_node(tmp_path) as hub:
        full = FilesystemBackend(tmp_path / "archive", min_free_bytes=2**62)
        hub.parts.archive._reception.__dict__["backend"] = full
        with RawPeer(hub.port) as peer:
            assert peer.associate()[0] == 2
            assert _store(peer, encoded(ct()))[0] == 0xA700


def test_a_failed_flush_ends_all_acknowledging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    honest = os.fdatasync

    def failing(descriptor: int) -> None:
        # Other hubs of this process have disks of their own.
        if tmp_path in Path(f"/proc/self/fd/{descriptor}").readlink().parents:
            raise OSError(errno.EIO, "Input/output error")
        honest(descriptor)

    with running_node(tmp_path) as hub, RawPeer(hub.port) as peer:
        assert peer.associate()[0] == 2
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", failing)
            assert _store(peer, encoded(ct()))[0] == 0xA701
        assert _store(peer, encoded(ct()))[0] == 0xA701
        assert hub.echo_seconds() < HONEST_ECHO_S


def test_every_refusal_names_no_patient(peer: RawPeer, caplog: pytest.LogCaptureFixture) -> None:
    for dataset in (encoded(ct(2)), b"garbage", encoded(ct())[:150]):
        _, comment = _store(peer, dataset)
        assert "Wang" not in comment
    everything = "".join(str(vars(record)) for record in caplog.records)
    assert "Wang" not in everything
    assert "12345" not in everything


def test_specific_errors_stand_before_general_ones_in_the_table() -> None:
    kinds = [kind for kind, _ in STORE_FAILURES]
    for position, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:position])


def test_a_dataset_helper_makes_what_it_says() -> None:
    assert isinstance(ct(), Dataset)
    assert b"../../../tmp/x" in _bytes_with("StudyInstanceUID", b"../../../tmp/x")
