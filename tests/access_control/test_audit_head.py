"""The head kept outside the database: emptying the trail and setting it back are found out."""

from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

from access_control.audit import AuditEvent, AuditHead, AuditTrail, HeadKeeper
from access_control.errors import KeptHeadError
from access_control.model import Subject, SubjectKind
from hub_kernel.database import Database
from tests.support.clock import FixedClock

KEY = b"k" * 32
EVENT = AuditEvent(
    action="view_clinical",
    outcome="success",
    subject=Subject(SubjectKind.USER, "user-1", "reader"),
    resource_kind="study",
    resource_id="1.2.3",
    address="10.21.0.9",
    detail="",
)


class Kept(NamedTuple):
    """A trail that has begun, and where its head is kept."""

    trail: AuditTrail
    path: Path
    database: Database

    def write(self, count: int) -> None:
        for _ in range(count):
            self.trail.record_now(EVENT)

    def sql(self, *statements: str) -> None:
        """Do what somebody with every right over the database can do."""
        drops = [f"DROP TRIGGER IF EXISTS audit_record_no_{verb}" for verb in ("update", "delete")]
        with self.database.unit_of_work() as work:
            for statement in (*drops, *statements):
                work.session.execute(text(statement))

    def empty(self) -> None:
        self.sql("DELETE FROM audit_record", "DELETE FROM audit_head")


@pytest.fixture
def kept(tmp_path: Path, database: Database, clock: FixedClock) -> Kept:
    path = tmp_path / "secrets" / "audit.head"
    trail = AuditTrail(database, clock, KEY, keeper=HeadKeeper(path))
    trail.begin()
    return Kept(trail, path, database)


def test_a_trail_that_has_just_begun_is_whole(kept: Kept) -> None:
    assert (kept.trail.verify().ok, kept.trail.verify().count) == (True, 0)
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_beginning_again_changes_nothing(kept: Kept) -> None:
    kept.write(3)
    kept.trail.begin()
    assert kept.trail.verify().count == 3
    assert HeadKeeper(kept.path).kept() == kept.trail.head()


def test_a_trail_that_has_not_begun_alarms_nobody_and_one_that_was_emptied_does(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.empty()
    kept.trail.keep_head()
    assert "does not continue" in caplog.text
    caplog.clear()
    kept.path.unlink()  # as where `eirhub db upgrade` has made the tables and no hub was started
    kept.trail.keep_head()
    assert caplog.text == ""
    assert not kept.path.exists()
    kept.write(1)
    kept.sql("UPDATE audit_head SET mac = 'forged'")
    kept.trail.keep_head()
    assert "does not continue" in caplog.text


def test_an_emptied_trail_is_named_although_nothing_was_kept_since_the_start(kept: Kept) -> None:
    kept.write(3)
    kept.empty()
    verdict = kept.trail.verify()
    assert (verdict.ok, verdict.first_bad_id) == (False, 1)
    assert "the head of the chain was deleted" in verdict.reason


def test_an_emptied_trail_is_named_with_how_many_records_were_there(kept: Kept) -> None:
    kept.write(3)
    kept.trail.keep_head()
    kept.empty()
    verdict = kept.trail.verify()
    assert (verdict.ok, verdict.first_bad_id) == (False, 1)
    assert "3 records were there" in verdict.reason


@pytest.mark.parametrize("kept_before", [True, False])
@pytest.mark.parametrize("written_after", [1, 3, 5])
def test_an_emptied_trail_that_went_on_is_named(
    kept: Kept, written_after: int, *, kept_before: bool
) -> None:
    kept.write(3)
    if kept_before:
        kept.trail.keep_head()
    kept.empty()
    kept.trail.begin()  # a start does not make the trail whole
    kept.write(written_after)
    kept.trail.keep_head()
    verdict = kept.trail.verify()
    assert (verdict.ok, verdict.first_bad_id) == (False, 1)


def test_records_can_be_written_although_the_head_was_deleted(kept: Kept) -> None:
    kept.write(3)
    kept.sql("DELETE FROM audit_head")
    kept.write(2)
    verdict = kept.trail.verify()
    assert (verdict.ok, verdict.first_bad_id) == (False, 4)


@pytest.mark.parametrize("written_after", [0, 1, 2, 3])
def test_a_trail_set_back_below_the_kept_head_is_named(kept: Kept, written_after: int) -> None:
    kept.write(2)
    kept.sql(
        "CREATE TABLE old_record AS SELECT * FROM audit_record",
        "CREATE TABLE old_head AS SELECT * FROM audit_head",
    )
    kept.write(2)
    kept.trail.keep_head()
    before = HeadKeeper(kept.path).kept()
    kept.empty()
    kept.sql(
        "INSERT INTO audit_record SELECT * FROM old_record",
        "INSERT INTO audit_head SELECT * FROM old_head",
    )
    kept.trail.record_now(AuditEvent(**{**vars(EVENT), "resource_id": "1.2.4"}))
    kept.write(written_after)
    kept.trail.keep_head()
    assert HeadKeeper(kept.path).kept() == before, "the proof must outlive the attack"
    verdict = kept.trail.verify()
    assert not verdict.ok
    assert verdict.first_bad_id == 4


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-1 " + b"0" * 64 + b"\n", b"9" * 500])
def test_a_damaged_head_proves_nothing_and_is_left_for_a_person(kept: Kept, content: bytes) -> None:
    kept.write(2)
    kept.path.write_bytes(content)
    kept.trail.begin()
    assert kept.path.read_bytes() == content
    verdict = kept.trail.verify()
    assert not verdict.ok
    assert "kept head" in verdict.reason


def test_a_head_that_cannot_be_written_stops_nothing(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.write(2)
    before = HeadKeeper(kept.path).kept()
    kept.path.parent.rename(kept.path.parent.with_name("elsewhere"))
    kept.path.parent.write_text("no folder")
    kept.trail.keep_head()
    assert "audit head not kept" in caplog.text
    with pytest.raises(KeptHeadError):
        HeadKeeper(kept.path).kept()
    assert before == AuditHead(0, before.mac if before else "")


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    keeper = HeadKeeper(tmp_path / "new" / "audit.head")
    assert keeper.kept() is None
    for head in (AuditHead(7, "a" * 64), AuditHead(8, "b" * 64)):
        keeper.keep(head)
        assert keeper.kept() == head
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["audit.head"]
