"""After the answer: found soon, waited for by readers, tried again, never forgotten."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import event

from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.errors import ArchiveBusyError, ConflictingInstanceError, ConflictingStudyError
from image_archive.index import ArchiveIndex
from image_archive.model import IncomingHeader, StoreOutcome
from image_archive.progress import Progress
from image_archive.service import ArchiveService
from tests.image_archive.datasets import (
    CT_IMAGE_STORAGE,
    EXPLICIT_LITTLE,
    TOWNSHIP,
    ct_slice,
    encoded,
    kept_files,
)
from tests.image_archive.test_faults import fail_database
from tests.support.clock import FixedClock

BUSY_SISTER = """
import sys
from pathlib import Path
from image_archive.progress import Progress
progress = Progress(Path(sys.argv[1]))
progress.note(5, int(sys.argv[2]), in_trouble=sys.argv[3] == "trouble")
print("noted", flush=True)
sys.stdin.readline()
progress.note(5, 5, in_trouble=False)
print("settled", flush=True)
sys.stdin.read()
"""


def secure(archive: ArchiveService, number: int = 1, **attributes: object) -> StoreOutcome:
    """Send one instance as the router does."""
    dataset = ct_slice(number, **attributes)
    header = IncomingHeader(CT_IMAGE_STORAGE, dataset.SOPInstanceUID, EXPLICIT_LITTLE, TOWNSHIP)
    with archive.incoming(header) as incoming:
        incoming.write(encoded(dataset))
        return incoming.secure()


@pytest.fixture
def reader(database: Database, archive: ArchiveService) -> ArchiveIndex:
    return ArchiveIndex(database, settled=archive.settled)


def test_a_reader_right_after_the_answer_finds_the_instance(
    archive: ArchiveService, reader: ArchiveIndex
) -> None:
    for number in range(1, 6):
        assert secure(archive, number) is StoreOutcome.STORED
        assert reader.instance(f"1.2.3.1.1.{number}")


def test_nothing_remains_in_the_spool_once_it_is_settled(
    archive: ArchiveService, tmp_path: Path
) -> None:
    secure(archive)
    assert archive.settled()
    (kept,) = kept_files(tmp_path / "archive")
    assert "instances" in kept.parts


def test_what_is_only_on_its_way_decides_as_what_is_stored(
    archive: ArchiveService, index: ArchiveIndex
) -> None:
    secure(archive, 1)
    assert secure(archive, 1) is StoreOutcome.ALREADY_STORED
    with pytest.raises(ConflictingInstanceError):
        secure(archive, 1, PatientSex="F")
    with pytest.raises(ConflictingStudyError):
        secure(archive, 2, PatientID="another")
    assert archive.settled()
    assert index.instance("1.2.3.1.1.2") is None


def test_what_was_acknowledged_is_tried_again_and_nothing_else_acknowledged_meanwhile(
    archive: ArchiveService, database: Database, reader: ArchiveIndex
) -> None:
    cure = fail_database(database, "INSERT ON instance", "no")
    secure(archive, 1)
    assert not archive.settled()
    with pytest.raises(ArchiveBusyError):
        secure(archive, 2)
    cure()
    assert secure(archive, 2) is StoreOutcome.STORED
    assert archive.settled()
    assert reader.instance("1.2.3.1.1.1")
    assert reader.instance("1.2.3.1.1.2")


def test_what_could_not_be_settled_is_finished_at_the_next_start(
    archive: ArchiveService, database: Database, tmp_path: Path, clock: FixedClock
) -> None:
    cure = fail_database(database, "INSERT ON instance", "no")
    secure(archive, 1)
    archive.close()
    cure()
    left = [path for path in kept_files(tmp_path / "archive") if path.parent.name == "incoming"]
    assert len(left) == 1
    _let_go(archive)
    restarted = ArchiveService(database, FilesystemBackend(tmp_path / "archive"), clock)
    assert restarted.reconcile().rebuilt == 1
    assert ArchiveIndex(database).instance("1.2.3.1.1.1")
    restarted.close()


def _let_go(archive: ArchiveService) -> None:
    """Close the spool files of what is stuck, as the end of a process does."""
    for item in archive._settler._stuck:
        item.spooled.file.close()  # type: ignore[attr-defined]


def test_many_answers_share_a_transaction(
    archive: ArchiveService, database: Database, reader: ArchiveIndex
) -> None:
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda _connection: commits.append(1))
    started = time.monotonic()
    for number in range(1, 41):
        secure(archive, number)
    took = time.monotonic() - started
    assert len(reader.instances_of("1.2.3")) == 40
    # One group for every 50 ms it took, one before and one after; never one for each instance.
    assert len(commits) <= min(39, took / 0.05 + 3)


def sister(folder: Path, settled: int, state: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY_SISTER, str(folder), str(settled), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "noted\n"
    return process


def soon(seconds: float = 120.0) -> float:
    return time.monotonic() + seconds


def test_a_reader_waits_for_what_another_process_acknowledged(tmp_path: Path) -> None:
    other = sister(tmp_path, 3, "well")
    progress = Progress(tmp_path)
    assert not progress.wait_for_others(soon(0.05))
    assert other.stdin
    other.stdin.write("go on\n")
    other.stdin.flush()
    assert progress.wait_for_others(soon())
    other.communicate()


def test_a_reader_does_not_wait_for_a_process_in_trouble_nor_for_a_dead_one(
    tmp_path: Path,
) -> None:
    other = sister(tmp_path, 3, "trouble")
    progress = Progress(tmp_path)
    started = time.monotonic()
    assert not progress.wait_for_others(soon())
    other.kill()
    other.communicate()
    assert progress.wait_for_others(soon())
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - started < 100
