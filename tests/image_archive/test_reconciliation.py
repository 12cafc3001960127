"""Start-up: bytes and rows agree again after any crash, and nothing acknowledged is lost."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import delete

from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.errors import (
    ConflictingInstanceError,
    ConflictingStudyError,
    UnreadableInstanceError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import Condition, ReconcileReport, StoreOutcome
from image_archive.service import ArchiveService
from image_archive.tables import INSTANCE, QUARANTINE, RECONCILIATION, SERIES, STUDY
from tests.image_archive.datasets import OTHER_TOWNSHIP, Sender, ct_slice, encoded
from tests.support.clock import FixedClock

NOTHING = ReconcileReport(0, 0, 0, (), ())


def forget_rows(database: Database) -> None:
    """The index as after a crash between the folder's flush and the commit, or after its loss."""
    with database.unit_of_work() as work:
        for table in (INSTANCE, SERIES, STUDY, QUARANTINE):
            work.session.execute(delete(table))


def restarted(archive: ArchiveService, database: Database, clock: FixedClock) -> ArchiveService:
    return ArchiveService(database, archive.backend, clock)


def test_a_sound_archive_needs_nothing(sender: Sender, archive: ArchiveService) -> None:
    sender.send(ct_slice(1))
    assert archive.reconcile() == NOTHING
    assert archive.reconcile(full=True) == NOTHING


def test_a_lost_index_is_rebuilt_from_the_bytes_alone(
    sender: Sender,
    archive: ArchiveService,
    database: Database,
    index: ArchiveIndex,
    clock: FixedClock,
) -> None:
    sender.send(ct_slice(1))
    sender.send(ct_slice(2))
    Sender(archive, OTHER_TOWNSHIP).send(
        ct_slice(SOPInstanceUID="9.1.1", StudyInstanceUID="9", SeriesInstanceUID="9.1")
    )
    studies = [index.study(uid) for uid in ("1.2.3", "9")]
    instances = index.instances_of("1.2.3")
    forget_rows(database)
    clock.advance(hours=5)
    report = restarted(archive, database, clock).reconcile()
    assert report.rebuilt == 3
    for before in studies:
        assert before
        after = index.study(before.study_instance_uid)
        assert after
        assert (after.site_id, after.patient, after.patient_name) == (
            before.site_id,
            before.patient,
            before.patient_name,
        )
        assert (after.received_at, after.instance_count) == (
            before.received_at,
            before.instance_count,
        )
    assert index.instances_of("1.2.3") == instances
    assert sender.send(ct_slice(1)) is StoreOutcome.ALREADY_STORED


def test_quarantine_is_rebuilt_too(
    sender: Sender,
    archive: ArchiveService,
    database: Database,
    index: ArchiveIndex,
    clock: FixedClock,
) -> None:
    sender.send(ct_slice(1))
    with pytest.raises(ConflictingInstanceError):
        sender.send(ct_slice(1, PatientSex="F"))
    with pytest.raises(ConflictingStudyError):
        sender.send(ct_slice(2, PatientID="other"))
    with pytest.raises(UnreadableInstanceError):
        sender.send_bytes(encoded(ct_slice(3))[:-9])
    before = {(c.reason, c.dataset_sha256, c.site_id) for c in index.conflicts()}
    unreadable = index.unreadable()
    forget_rows(database)
    report = restarted(archive, database, clock).reconcile(full=True)
    assert report.rebuilt == 4
    assert {(c.reason, c.dataset_sha256, c.site_id) for c in index.conflicts()} == before
    assert [u.dataset_sha256 for u in index.unreadable()] == [unreadable[0].dataset_sha256]


def test_bytes_published_just_before_the_crash_are_recorded(
    sender: Sender,
    archive: ArchiveService,
    database: Database,
    index: ArchiveIndex,
    clock: FixedClock,
) -> None:
    sender.send(ct_slice(1))
    archive.reconcile()
    sender.send(ct_slice(2))
    with database.unit_of_work() as work:
        work.session.execute(delete(INSTANCE).where(INSTANCE.c.sop_instance_uid == "1.2.3.1.1.2"))
    assert restarted(archive, database, clock).reconcile().rebuilt == 1
    assert index.instance("1.2.3.1.1.2")


def test_unpublished_files_of_dead_writers_go(
    sender: Sender, archive: ArchiveService, tmp_path: Path
) -> None:
    left = tmp_path / "archive" / "incoming" / "9999-dead-0"
    left.write_bytes(b"half an instance")
    living = archive.backend.create()
    living.write(b"on its way")
    assert archive.reconcile().abandoned == 1
    assert not left.exists()
    living.publish("documents/kept")


def test_what_arrived_at_another_machine_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    """Also where the file system forgets the locks of the other machine's living writers."""
    one, other = (FilesystemBackend(tmp_path, node=name) for name in ("one", "other"))
    unnamed = FilesystemBackend(tmp_path)
    left = one.spool()
    left.write(b"on its way")
    left.release()  # as after a crash: no lock holds
    for stranger in (other, unnamed):
        assert stranger.discard_abandoned() == 0
    assert list((tmp_path / "incoming" / "one").iterdir())
    assert one.discard_abandoned() == 1


def test_missing_bytes_are_noted_and_sending_again_mends_them(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, tmp_path: Path
) -> None:
    sender.send(ct_slice(1))
    sender.send(ct_slice(2))
    shutil.rmtree(tmp_path / "archive" / "instances")
    report = archive.reconcile(full=True)
    assert set(report.missing) == {"1.2.3.1.1.1", "1.2.3.1.1.2"}
    found = index.instance("1.2.3.1.1.1")
    assert found
    assert found.condition is Condition.MISSING
    reopened = Sender(
        ArchiveService(archive._database, FilesystemBackend(tmp_path / "archive"), FixedClock())
    )
    assert reopened.send(ct_slice(1)) is StoreOutcome.STORED
    mended = index.instance("1.2.3.1.1.1")
    assert mended
    assert mended.condition is Condition.INTACT


def test_a_second_copy_of_a_dataset_is_removed(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, tmp_path: Path, clock: FixedClock
) -> None:
    sender.send(ct_slice(1))
    found = index.instance("1.2.3.1.1.1")
    assert found
    root = tmp_path / "archive"
    copy = root / found.storage_key.replace("/21/", "/20/")
    copy.parent.mkdir(parents=True)
    shutil.copy(root / found.storage_key, copy)
    assert archive.reconcile(full=True).superfluous == 1
    assert not copy.exists()
    assert archive.verify(lambda done, total: None).ok


def test_what_is_not_ours_is_left_alone_and_named(
    archive: ArchiveService, tmp_path: Path, sender: Sender, index: ArchiveIndex
) -> None:
    sender.send(ct_slice(1))
    found = index.instance("1.2.3.1.1.1")
    assert found
    day = tmp_path / "archive" / "instances" / "2026" / "11" / "21"
    (day / "note").write_bytes(b"not DICOM")
    torn = (tmp_path / "archive" / found.storage_key).read_bytes()[:-5]
    (day / "torn").write_bytes(torn)
    other = archive.backend.create()
    other.write(b"a rendition")
    other.publish("renditions/x")
    report = archive.reconcile(full=True)
    assert report.unrecognised == ("instances/2026/11/21/note", "instances/2026/11/21/torn")
    assert (day / "note").exists()
    assert (day / "torn").exists()


def test_only_the_days_since_the_last_run_are_compared(
    sender: Sender, archive: ArchiveService, tmp_path: Path, clock: FixedClock, database: Database
) -> None:
    sender.send(ct_slice(1))
    clock.advance(days=30)
    archive.reconcile()
    old = tmp_path / "archive" / "instances" / "2026" / "11" / "21" / "old"
    old.write_bytes(b"not DICOM")
    assert archive.reconcile().unrecognised == ()
    assert archive.reconcile(full=True).unrecognised == ("instances/2026/11/21/old",)
    with database.unit_of_work() as work:
        work.session.execute(delete(RECONCILIATION))
    assert archive.reconcile().unrecognised == ("instances/2026/11/21/old",)


def test_a_run_under_a_fast_clock_hides_nothing_once_it_is_set_right(
    sender: Sender, archive: ArchiveService, database: Database, clock: FixedClock
) -> None:
    clock.advance(days=365)
    assert archive.reconcile() == NOTHING
    clock.advance(days=-365)
    sender.send(ct_slice(1))
    forget_rows(database)
    assert restarted(archive, database, clock).reconcile().rebuilt == 1
