"""Full disks, failing disks, failing databases: nothing half-stored, nothing falsely promised."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveFullError,
    ArchiveUnavailableError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import StoreOutcome
from image_archive.service import ArchiveService
from tests.image_archive.datasets import Sender, ct_slice, kept_files
from tests.support.clock import FixedClock


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> Iterator[list[int]]:
    """Let one system call fail as the kernel would; yields how often it was asked."""
    asked: list[int] = []

    def fail(descriptor: int, *rest: object) -> int:
        asked.append(descriptor)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield asked


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where the tests may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs: run as root in a container that allows it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half_stored_and_works_again_with_space(
    small_disk: Path, database: Database, clock: FixedClock, index: ArchiveIndex
) -> None:
    sender = Sender(ArchiveService(database, FilesystemBackend(small_disk), clock))
    sender.send(ct_slice(1))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    before = kept_files(small_disk)
    large = ct_slice(2, Rows=200, Columns=200, PixelData=os.urandom(80_000))
    with pytest.raises(ArchiveFullError):
        sender.send(large)
    assert kept_files(small_disk) == before
    assert index.instance("1.2.3.1.1.2") is None
    ballast.unlink()
    assert sender.send(large) is StoreOutcome.STORED
    assert sender.archive.verify(lambda done, total: None).checked == 2


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_at_any_step_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, sender: Sender, tmp_path: Path, call: str, code: int
) -> None:
    sender.send(ct_slice(1))
    before = kept_files(tmp_path / "archive")
    with failing(monkeypatch, call, code) as asked, pytest.raises(ArchiveFullError):
        sender.send(ct_slice(2))
    assert asked
    assert kept_files(tmp_path / "archive") == before
    assert sender.send(ct_slice(2)) is StoreOutcome.STORED


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_flush_ends_all_acknowledging_until_the_restart(
    monkeypatch: pytest.MonkeyPatch,
    sender: Sender,
    tmp_path: Path,
    database: Database,
    clock: FixedClock,
    call: str,
) -> None:
    sender.send(ct_slice(1))
    with failing(monkeypatch, call, errno.EIO), pytest.raises(ArchiveUnavailableError):
        sender.send(ct_slice(2))
    with pytest.raises(ArchiveUnavailableError):
        sender.send(ct_slice(3))
    restarted = Sender(ArchiveService(database, FilesystemBackend(tmp_path / "archive"), clock))
    assert restarted.send(ct_slice(3)) is StoreOutcome.STORED


def test_a_shortage_of_file_handles_passes(monkeypatch: pytest.MonkeyPatch, sender: Sender) -> None:
    with failing(monkeypatch, "open", errno.EMFILE), pytest.raises(ArchiveBusyError):
        sender.send(ct_slice(1))
    assert sender.send(ct_slice(1)) is StoreOutcome.STORED


def test_a_folder_removed_by_hand_costs_one_instance(
    sender: Sender, tmp_path: Path, index: ArchiveIndex
) -> None:
    import shutil

    sender.send(ct_slice(1))
    shutil.rmtree(tmp_path / "archive" / "instances")
    with pytest.raises(ArchiveBusyError):
        sender.send(ct_slice(2))
    assert sender.send(ct_slice(2)) is StoreOutcome.STORED


def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    backend = FilesystemBackend(tmp_path, min_free_bytes=1 << 60)
    assert backend.free_bytes() == 0
    with pytest.raises(ArchiveFullError, match="min_free_bytes"):
        backend.create()


def test_every_byte_is_flushed_before_the_row_is_written(
    monkeypatch: pytest.MonkeyPatch, sender: Sender, database: Database
) -> None:
    """The order is the promise: the spool; then data, name, folder, and only then the row."""
    order: list[str] = []

    def noting(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **named: object) -> object:
            order.append(name)
            return call(*args, **named)

        return wrapped

    sender.send(ct_slice(1))
    event.listen(database.engine, "commit", lambda connection: order.append("commit"))
    monkeypatch.setattr(os, "fdatasync", noting("fdatasync", os.fdatasync))
    monkeypatch.setattr(os, "rename", noting("rename", os.rename))
    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    sender.send(ct_slice(2))
    assert order == ["fdatasync", "fdatasync", "rename", "fsync", "commit"]


def test_a_new_folder_is_flushed_up_to_the_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = FilesystemBackend(tmp_path / "store")
    flushed: list[str] = []

    def note(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    for name in ("one", "two"):
        pending = backend.create()
        pending.write(b"x")
        pending.publish(f"a/b/{name}")
    assert flushed == ["store", "a", "b", "b"]


def fail_database(database: Database, statement: str, message: str) -> Callable[[], None]:
    """Let SQLite itself fail: a trigger raises when rows are written. Returns the cure."""
    with database.unit_of_work() as work:
        work.session.connection().exec_driver_sql(
            f"CREATE TRIGGER broken BEFORE {statement} BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )

    def cure() -> None:
        with database.unit_of_work() as work:
            work.session.connection().exec_driver_sql("DROP TRIGGER broken")

    return cure


def test_a_refusing_database_is_not_answered_with_success(
    sender: Sender, database: Database, index: ArchiveIndex
) -> None:
    cure = fail_database(database, "UPDATE ON series", "no")
    with pytest.raises(ArchiveBusyError):
        sender.send(ct_slice(1))
    assert index.study("1.2.3") is None
    cure()
    assert sender.send(ct_slice(1)) is StoreOutcome.STORED
    study = index.study("1.2.3")
    assert study
    assert study.instance_count == 1


def test_a_full_database_leaves_neither_row_nor_bytes(
    sender: Sender, database: Database, tmp_path: Path, index: ArchiveIndex
) -> None:
    sender.send(ct_slice(1))
    before = kept_files(tmp_path / "archive")

    @event.listens_for(database.engine, "connect")
    def limit(connection: object, _entry: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]

    database.engine.dispose()
    failed = 0
    for number in range(2, 200):
        try:
            sender.send(ct_slice(number))
        except ArchiveFullError:
            failed = number
            break
    assert failed, "the control: the database never became full"
    assert index.instance(f"1.2.3.1.1.{failed}") is None
    assert len(kept_files(tmp_path / "archive")) == len(before) + failed - 2
    event.remove(database.engine, "connect", limit)
    database.engine.dispose()
    assert sender.send(ct_slice(failed)) is StoreOutcome.STORED
