"""What every implementation of ArchiveBackend promises."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_kernel.errors import InvalidValueError, NotFoundError
from image_archive.backend import ArchiveBackend
from tests.contracts.objects import get, put


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
