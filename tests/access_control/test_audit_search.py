"""What the auditor finds in the trail, page by page, and how a record is handed out."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from access_control.audit import AuditQuery, AuditTrail
from access_control.model import Subject, SubjectKind
from hub_kernel.database import Database
from tests.access_control.auditing import LENGTH
from tests.access_control.auditing import audit_event as _event
from tests.support.clock import FixedClock


@pytest.fixture
def mixed(trail: AuditTrail, clock: FixedClock) -> AuditTrail:
    """Four records, an hour apart: two by the reader, one refused, one by a link."""
    link = Subject(SubjectKind.LINK, "link-1", "link")
    for event in (
        _event(1),
        _event(2, outcome="refused", action="view_record", resource_kind="patient"),
        _event(1, subject=link, action="view_public"),
        _event(3),
    ):
        trail.record_now(event)
        clock.advance(hours=1)
    return trail


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (AuditQuery(), [4, 3, 2, 1]),
        (AuditQuery(subject_kind="user", subject_id="user-1"), [4, 2, 1]),
        (AuditQuery(subject_kind="link"), [3]),
        (AuditQuery(resource_ids=frozenset({"1.2.1"})), [3, 1]),
        (AuditQuery(resource_ids=frozenset({"1.2.1", "1.2.3"})), [4, 3, 1]),
        (AuditQuery(outcome="refused"), [2]),
        (AuditQuery(action="view_public"), [3]),
        (AuditQuery(subject_id="' OR 1=1 --"), []),
        (AuditQuery(subject_id="user%"), []),
        (AuditQuery(subject_id="\ud800", resource_ids=frozenset({"\ud800"})), []),
        (AuditQuery(before_sequence=3), [2, 1]),
    ],
)
def test_the_auditor_finds_records_newest_first(
    mixed: AuditTrail, query: AuditQuery, found: list[int]
) -> None:
    assert [record.sequence for record in mixed.search(query).records] == found


def test_the_auditor_finds_records_of_a_time_span(mixed: AuditTrail, clock: FixedClock) -> None:
    query = AuditQuery(
        since=clock.now() - timedelta(hours=3), until=clock.now() - timedelta(hours=1)
    )
    assert [record.sequence for record in mixed.search(query).records] == [3, 2]


def test_the_auditor_turns_pages_to_the_end(written: AuditTrail) -> None:
    seen: list[int] = []
    before: int | None = None
    for expected_more in (True, True, False):
        page = written.search(AuditQuery(before_sequence=before, limit=5))
        seen += [record.sequence for record in page.records]
        before = page.next_before
        assert (before is not None) is expected_more
    assert seen == list(range(LENGTH, 0, -1))


@pytest.mark.parametrize("limit", [-1, 0, 10**9])
def test_an_absurd_page_length_is_bounded(written: AuditTrail, limit: int) -> None:
    assert 1 <= len(written.search(AuditQuery(limit=limit)).records) <= 500


def test_a_record_is_handed_out_as_dicom_xml(written: AuditTrail) -> None:
    (record,) = written.search(AuditQuery(limit=1)).records
    assert b"<AuditMessage>" in written.xml(record)


def test_no_name_of_a_patient_reaches_the_database(database: Database, trail: AuditTrail) -> None:
    trail.record_now(_event(detail="looked for 王小东 (Wang^XiaoDong)"))
    with database.read() as session:
        stored = repr([tuple(row) for row in session.execute(text("SELECT * FROM audit_record"))])
    assert "looked for" in stored  # the control: the detail itself is there
    for trace in ("王小东", "\\u738b", "XiaoDong"):
        assert trace not in stored
