"""What every implementation of ArchiveBackend promises."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eir_versions.master_reading import HtMasterReader
from hub_kernel.errors import InvalidValueError, NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.backends.s3 import S3Backend
from image_archive.keys import InstanceNames
from image_archive.masters import BackendWithMasters
from image_archive.tiers import TieredBackend
from tests.dicom_router.instances import ct, part10
from tests.support.orthanc_server import Orthanc
from tests.support.s3_server import S3Server

Maker = Callable[[Path], ArchiveBackend]


def in_folder(_request: pytest.FixtureRequest) -> Maker:
    return FilesystemBackend


def in_folder_with_masters(_request: pytest.FixtureRequest) -> Maker:
    return lambda folder: BackendWithMasters(FilesystemBackend(folder), HtMasterReader())


def in_bucket(request: pytest.FixtureRequest) -> Maker:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.bucket(f"contract-{uuid.uuid4().hex}")
    return lambda folder: S3Backend(bucket, FilesystemBackend(folder))


def in_orthanc(request: pytest.FixtureRequest) -> Maker:
    server: Orthanc = request.getfixturevalue("orthanc")
    server.empty()
    return lambda folder: OrthancBackend(server.server(), FilesystemBackend(folder))


def in_tiers(_request: pytest.FixtureRequest) -> Maker:
    return lambda folder: TieredBackend(
        FilesystemBackend(folder), FilesystemBackend(folder.with_name("far"))
    )


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Maker]] = {
    "filesystem": in_folder,
    "with masters": in_folder_with_masters,
    "s3": in_bucket,
    "orthanc": in_orthanc,
    "tiers": in_tiers,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ArchiveBackend]]:
    """Opens the same store again and again, as restarts do."""
    maker, opened = MAKERS[request.param](request), []

    def again() -> ArchiveBackend:
        opened.append(maker(tmp_path / "store"))
        return opened[-1]

    yield again
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(make: Callable[[], ArchiveBackend]) -> ArchiveBackend:
    return make()


def put(backend: ArchiveBackend, key: str, data: bytes) -> None:
    pending = backend.create()
    pending.write(data)
    pending.publish(key)


def get(backend: ArchiveBackend, key: str, **part: int) -> bytes:
    with backend.open(key, **part) as stream:
        return stream.read()


def test_what_was_published_is_read_back(backend: ArchiveBackend) -> None:
    put(backend, "instances/2026/a", b"one" * 1000)
    assert get(backend, "instances/2026/a") == b"one" * 1000
    assert backend.size("instances/2026/a") == 3000


def test_parts_are_joined_in_the_order_written(backend: ArchiveBackend) -> None:
    pending = backend.create()
    for part in (b"a", memoryview(b"bc"), b"", b"d" * 100_000):
        pending.write(part)
    pending.publish("documents/x")
    assert get(backend, "documents/x") == b"abc" + b"d" * 100_000


def test_published_objects_survive_a_restart(make: Callable[[], ArchiveBackend]) -> None:
    put(make(), "renditions/p.jpg", b"picture")
    assert get(make(), "renditions/p.jpg") == b"picture"


def test_nothing_is_visible_before_publish(backend: ArchiveBackend) -> None:
    pending = backend.create()
    pending.write(b"half")
    assert list(backend.keys()) == []
    pending.discard()


def test_a_discarded_object_leaves_nothing(backend: ArchiveBackend) -> None:
    pending = backend.create()
    pending.write(b"half")
    pending.discard()
    pending.discard()
    assert list(backend.keys()) == []
    assert backend.discard_abandoned() == 0


def test_discard_after_publish_keeps_the_object(backend: ArchiveBackend) -> None:
    pending = backend.create()
    pending.write(b"whole")
    pending.publish("instances/a")
    pending.discard()
    assert get(backend, "instances/a") == b"whole"


def test_an_ended_object_takes_no_more_bytes(backend: ArchiveBackend) -> None:
    pending = backend.create()
    pending.discard()
    with pytest.raises(ValueError, match="published or discarded"):
        pending.write(b"more")
    with pytest.raises(ValueError, match="published or discarded"):
        pending.publish("instances/a")


def test_the_pending_bytes_can_be_looked_at(backend: ArchiveBackend) -> None:
    pending = backend.create()
    pending.write(b"abcdef")
    with pending.view() as view:
        assert bytes(view[2:4]) == b"cd"
    pending.write(b"gh")
    with pending.view() as view:
        assert bytes(view) == b"abcdefgh"
    pending.discard()


def test_publishing_again_replaces_in_one_step(backend: ArchiveBackend) -> None:
    put(backend, "documents/x", b"old")
    with backend.open("documents/x") as reader:
        put(backend, "documents/x", b"new!")
        assert reader.read() == b"old"
    assert get(backend, "documents/x") == b"new!"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"start": 3}, b"3456789"),
        ({"start": 0, "length": 4}, b"0123"),
        ({"start": 2, "length": 3}, b"234"),
        ({"start": 8, "length": 100}, b"89"),
        ({"start": 100}, b""),
        ({"start": 4, "length": 0}, b""),
    ],
)
def test_a_byte_range_is_exactly_that(
    backend: ArchiveBackend, part: dict[str, int], expected: bytes
) -> None:
    put(backend, "instances/a", b"0123456789")
    assert get(backend, "instances/a", **part) == expected


def test_a_range_can_be_sought_within(backend: ArchiveBackend) -> None:
    put(backend, "instances/a", b"0123456789")
    with backend.open("instances/a", start=2, length=5) as stream:
        assert stream.seek(0, 2) == 5
        assert stream.seek(1) == 1
        assert stream.read(2) == b"34"
        assert stream.tell() == 3
        assert stream.seek(1, 1) == 4
        assert stream.read() == b"6"


def test_deleted_objects_are_gone_and_deleting_again_is_quiet(backend: ArchiveBackend) -> None:
    put(backend, "instances/a", b"x")
    backend.delete("instances/a")
    backend.delete("instances/a")
    assert list(backend.keys()) == []


@pytest.mark.parametrize("missing", ["instances/none", "none", "instances/a/b"])
def test_what_is_not_there_is_not_found(backend: ArchiveBackend, missing: str) -> None:
    put(backend, "instances/a", b"x")
    with pytest.raises(NotFoundError):
        backend.open(missing)
    with pytest.raises(NotFoundError):
        backend.size(missing)
    backend.delete(missing)


def test_a_folder_of_keys_is_no_object(backend: ArchiveBackend) -> None:
    put(backend, "instances/a/b", b"x")
    with pytest.raises(NotFoundError):
        backend.open("instances/a")
    with pytest.raises(NotFoundError):
        backend.size("instances/a")


def test_keys_are_listed_in_order_below_a_folder(backend: ArchiveBackend) -> None:
    names = ["documents/1", "instances/a.b", "instances/a/1", "instances/a/2", "instances/ab"]
    for name in reversed(names):
        put(backend, name, b"x")
    assert list(backend.keys()) == names
    assert list(backend.keys("instances")) == names[1:]
    assert list(backend.keys("instances/a")) == names[2:4]
    assert list(backend.keys("nothing")) == []


@pytest.mark.parametrize(
    "hostile",
    ["../x", "/etc/passwd", "a/../b", "", "a//b", "a/", "A", "a\0b", "a b", ".hidden", "é"],
)
def test_a_key_that_could_leave_the_store_is_refused(
    backend: ArchiveBackend, hostile: str, tmp_path: Path
) -> None:
    pending = backend.create()
    pending.write(b"x")
    with pytest.raises(InvalidValueError):
        pending.publish(hostile)
    pending.discard()
    with pytest.raises(InvalidValueError):
        backend.open(hostile)
    with pytest.raises(InvalidValueError):
        backend.delete(hostile)
    assert not (tmp_path / "x").exists()


def test_living_writers_are_spared_when_abandoned_objects_go(
    make: Callable[[], ArchiveBackend],
) -> None:
    writer, other_process = make(), make()
    pending = writer.create()
    pending.write(b"on its way")
    assert other_process.discard_abandoned() == 0
    pending.publish("instances/a")
    assert get(other_process, "instances/a") == b"on its way"


def test_many_writers_at_once_do_not_meet(backend: ArchiveBackend) -> None:
    def write(number: int) -> None:
        for part in range(10):
            put(backend, f"instances/{part}/{number}", bytes([number]) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(backend.keys())) == 80
    assert all(get(backend, f"instances/9/{n}") == bytes([n]) * 1000 for n in range(8))


def test_free_space_is_told(backend: ArchiveBackend) -> None:
    assert backend.free_bytes() > 0


def test_what_is_spooled_is_published_together(backend: ArchiveBackend) -> None:
    sizes = (1, 5000, 300_000, 9_000_000)
    objects = []
    for size in sizes:
        spooled = backend.spool()
        spooled.write(b"?" + b"b" * (size - 1))
        spooled.overwrite(0, b"a")
        spooled.secure()
        objects.append((spooled, f"instances/{size}"))
    assert backend.publish_together(objects) == [None] * len(sizes)
    for spooled, _ in objects:
        spooled.discard()
    for size in sizes:
        assert get(backend, f"instances/{size}") == b"a" + b"b" * (size - 1)
    assert backend.discard_abandoned() == 0


def test_a_spool_file_used_again_publishes_only_its_new_bytes(backend: ArchiveBackend) -> None:
    for data in (b"a long first object", b"short"):
        spooled = backend.spool()
        spooled.write(data)
        spooled.secure()
        assert backend.publish_together([(spooled, "instances/x")]) == [None]
        spooled.discard()
    assert get(backend, "instances/x") == b"short"


def test_an_empty_object_is_one(backend: ArchiveBackend) -> None:
    put(backend, "documents/empty", b"")
    assert get(backend, "documents/empty") == b""
    assert backend.size("documents/empty") == 0


def test_a_long_object_is_read_piece_by_piece(backend: ArchiveBackend) -> None:
    data = bytes(range(256)) * 80_000
    put(backend, "instances/long", data)
    with backend.open("instances/long") as stream:
        pieces = iter(lambda: stream.read(1_000_003), b"")
        assert b"".join(pieces) == data
        stream.seek(19_000_000)
        assert stream.read(10) == data[19_000_000:19_000_010]
        stream.seek(5)
        assert stream.read(3) == data[5:8]


@dataclass(frozen=True)
class Instance:
    """A Part 10 file, and the key its backend gives it."""

    key: str
    file: bytes


def instance(
    backend: ArchiveBackend, study: str, number: int = 1, *, day: int = 22, **changes: object
) -> Instance:
    dataset = ct(number, study, **changes)
    file = part10(dataset)
    head = len(file) - len(file[file.index(b"\x08\x00\x16\x00UI") :])
    names = InstanceNames(
        str(dataset.PatientID), study, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    )
    received_at = datetime(2026, 11, day, 8, 30, tzinfo=UTC)
    digest = hashlib.sha256(file[head:]).hexdigest()
    return Instance(backend.instance_key(received_at, names, digest), file)


@pytest.fixture
def study() -> str:
    """A study of the test's own: all of them share one Orthanc."""
    return f"2.25.{uuid.uuid4().int}"


def test_an_instance_is_found_under_the_key_it_was_given(
    make: Callable[[], ArchiveBackend], study: str
) -> None:
    backend = make()
    one = instance(backend, study)
    spooled = backend.spool()
    spooled.write(one.file)
    spooled.secure()
    assert backend.publish_together([(spooled, one.key)]) == [None]
    spooled.discard()
    for again in (backend, make()):
        assert get(again, one.key) == one.file
        assert again.size(one.key) == len(one.file)
        assert get(again, one.key, start=132, length=40) == one.file[132:172]
        assert get(again, one.key, start=len(one.file) - 3) == one.file[-3:]
        assert get(again, one.key, start=10_000_000, length=1) == b""
    assert one.key in list(backend.keys("instances/2026/11/22"))


def test_the_key_of_an_instance_is_made_of_what_was_received_alone(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    assert one == instance(backend, study)
    assert one.key.startswith("instances/2026/11/22/")
    assert (
        len({one.key, instance(backend, study, 2).key, instance(backend, study, day=23).key}) == 3
    )


def test_an_instance_published_again_under_its_key_stays_what_it_is(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    put(backend, one.key, one.file)
    put(backend, one.key, one.file)
    assert get(backend, one.key) == one.file
    backend.delete(one.key)
    with pytest.raises(NotFoundError):
        backend.size(one.key)
    with pytest.raises(NotFoundError):
        backend.open(one.key)
    assert one.key not in list(backend.keys("instances"))


def test_other_bytes_of_one_instance_live_beside_the_first(
    backend: ArchiveBackend, study: str
) -> None:
    first, other = instance(backend, study), instance(backend, study, AccessionNumber="OTHER")
    for one in (first, other):
        put(backend, one.key, one.file)
    assert get(backend, first.key) == first.file
    assert get(backend, other.key) == other.file
    backend.delete(other.key)
    assert get(backend, first.key) == first.file


def test_an_instance_sent_again_on_another_day_can_be_taken_back(
    backend: ArchiveBackend, study: str
) -> None:
    first, later = instance(backend, study), instance(backend, study, day=23)
    for one in (first, later):
        put(backend, one.key, one.file)
        assert get(backend, one.key) == one.file
    backend.delete(later.key)
    assert get(backend, first.key) == first.file


def test_what_is_no_dicom_has_room_under_the_key_of_an_instance_too(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    put(backend, one.key, b"torn")
    assert get(backend, one.key) == b"torn"
    assert list(backend.keys(one.key.rpartition("/")[0])) == [one.key]


def test_instances_and_other_objects_are_listed_in_one_order(
    backend: ArchiveBackend, study: str
) -> None:
    made = [instance(backend, study, number) for number in range(1, 6)]
    put(backend, "instances/2026/11/aa", b"x")
    for one in made:
        put(backend, one.key, one.file)
    folder = made[0].key.rpartition("/")[0]
    assert list(backend.keys(folder)) == sorted(one.key for one in made)
    everything = list(backend.keys("instances"))
    assert everything == sorted(everything)
    assert {"instances/2026/11/aa", *(one.key for one in made)} <= set(everything)
