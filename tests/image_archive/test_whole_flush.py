"""Many published files are flushed by one call, before any of them has its name."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_kernel.errors import NotFoundError
from image_archive.backends import whole_flush
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.spool import Spooled
from image_archive.errors import ArchiveUnavailableError

Calls = list[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What flushes and names, in its order; the whole file system is flushed for real."""
    noted: Calls = []

    def noting(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            noted.append(name)
            return call(*args)

        return wrapped

    syncfs = whole_flush._syncfs()
    if syncfs is None:
        pytest.skip("this system has no syncfs")
    monkeypatch.setattr(whole_flush, "_keeps_the_promise", lambda _folder: True)
    monkeypatch.setattr(whole_flush, "_syncfs", lambda: noting("syncfs", syncfs))
    for name in ("fdatasync", "rename", "fsync"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    return noted


def test_many_files_are_flushed_by_one_call_before_they_are_named(
    tmp_path: Path, calls: Calls
) -> None:
    publish(FilesystemBackend(tmp_path), 4, calls)
    assert calls == ["syncfs", *["rename"] * 4, "fsync"]


def test_a_single_file_is_flushed_alone(tmp_path: Path, calls: Calls) -> None:
    """It must not wait for what others wrote to the same disk."""
    publish(FilesystemBackend(tmp_path), 1, calls)
    assert calls == ["fdatasync", "rename", "fsync"]


def test_an_unknown_file_system_is_not_trusted_with_it(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_flush, "_keeps_the_promise", lambda _folder: False)
    publish(FilesystemBackend(tmp_path), 4, calls)
    assert "syncfs" not in calls


@pytest.mark.parametrize(
    ("release", "kind", "trusted"),
    [
        ("6.1.0-9-amd64", "ext4", True),
        ("5.8.0", "xfs", True),
        ("5.7.19", "ext4", False),
        ("6.1.0", "fuse", False),
        ("6.1.0", "", False),
        ("unknown", "ext4", False),
    ],
)
def test_kernels_and_file_systems_that_tell_of_a_failed_write_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, kind: str, *, trusted: bool
) -> None:
    system = os.uname()
    named = os.uname_result((system[0], system[1], release, system[3], system[4]))
    monkeypatch.setattr(os, "uname", lambda: named)
    monkeypatch.setattr(whole_flush, "_file_system", lambda _device: kind)
    assert whole_flush._keeps_the_promise(str(tmp_path)) is trusted


def test_after_a_failure_each_file_is_flushed_to_learn_whose_it_was(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_flush, "_syncfs", lambda: lambda _descriptor: -1)
    backend = FilesystemBackend(tmp_path)
    publish(backend, 4, calls)
    assert calls == [*["fdatasync", "rename"] * 4, "fsync"]


def test_a_file_whose_flush_fails_gets_no_name(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_flush, "_syncfs", lambda: lambda _descriptor: -1)
    backend = FilesystemBackend(tmp_path)
    spooled = spool(backend, 4)

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    errors = backend.publish_together([(one, f"a/{n}") for n, one in enumerate(spooled)])
    assert [type(error) for error in errors] == [ArchiveUnavailableError] * 4
    with pytest.raises(NotFoundError):
        backend.size("a/0")


def test_a_slow_disk_is_left_to_others_for_a_while(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_flush, "_SLOW_S", 0.0)
    backend = FilesystemBackend(tmp_path)
    publish(backend, 4, [])
    publish(backend, 4, calls, folder="b")
    assert "syncfs" not in calls
    monkeypatch.setattr(whole_flush.time, "monotonic", lambda: 1e12)
    publish(backend, 4, calls, folder="c")
    assert "syncfs" in calls


def publish(backend: FilesystemBackend, count: int, calls: Calls, folder: str = "a") -> None:
    """Publish `count` objects; `calls` then holds what that took, folders made before."""
    backend.folder_of(f"{folder}/0")
    spooled = spool(backend, count)
    calls.clear()
    outcomes = backend.publish_together(
        [(one, f"{folder}/{number}") for number, one in enumerate(spooled)]
    )
    assert outcomes == [None] * count
    for number in range(count):
        with backend.open(f"{folder}/{number}") as stream:
            assert stream.read() == b"%d" % number


def spool(backend: FilesystemBackend, count: int) -> list[Spooled]:
    """Return secured objects, each holding its own number."""
    objects = []
    for number in range(count):
        one = backend.spool()
        one.write(b"%d" % number)
        one.secure()
        objects.append(one)
    return objects
