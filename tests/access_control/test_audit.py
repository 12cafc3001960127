from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from access_control.audit import AuditHead, AuditTrail
from access_control.errors import InvalidAuditEventError
from access_control.tables import APPEND_ONLY
from hub_kernel.database import Database
from tests.access_control.auditing import KEY, LENGTH
from tests.access_control.auditing import audit_event as _event
from tests.support.clock import FixedClock


def _sql(database: Database, *statements: str) -> None:
    """Do what somebody with every right over the database can do: first drop its triggers."""
    with database.unit_of_work() as work:
        for table in APPEND_ONLY:
            for verb in ("update", "delete"):
                work.session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
        for statement in statements:
            work.session.execute(text(statement))


def test_an_empty_trail_verifies(trail: AuditTrail) -> None:
    verdict = trail.verify()
    assert (verdict.ok, verdict.count, verdict.first_bad_id) == (True, 0, None)


def test_untouched_records_verify_and_are_counted(written: AuditTrail) -> None:
    verdict = written.verify()
    assert (verdict.ok, verdict.count, verdict.reason) == (True, LENGTH, "")


def test_records_are_numbered_from_one_without_a_gap(trail: AuditTrail) -> None:
    assert [trail.record_now(_event()) for _ in range(3)] == [1, 2, 3]


def test_several_records_in_one_transaction_are_chained(
    database: Database, trail: AuditTrail
) -> None:
    with database.unit_of_work() as work:
        assert [trail.record(work.session, _event(n)) for n in range(3)] == [1, 2, 3]
    assert trail.verify().count == 3


def test_a_record_vanishes_with_its_transaction_and_leaves_no_gap(
    database: Database, trail: AuditTrail
) -> None:
    trail.record_now(_event(1))
    with pytest.raises(ZeroDivisionError), database.unit_of_work() as work:
        trail.record(work.session, _event(2))
        _ = 1 / 0
    assert trail.record_now(_event(3)) == 2
    assert trail.verify().count == 2


def test_an_event_that_cannot_be_recorded_stops_the_access(
    database: Database, trail: AuditTrail
) -> None:
    with pytest.raises(InvalidAuditEventError), database.unit_of_work() as work:
        trail.record(work.session, _event(outcome="perhaps"))
    assert trail.verify().count == 0


TAMPERING: dict[str, tuple[list[str], int]] = {
    "a message is edited": (
        ["UPDATE audit_record SET message = replace(message, '1.2.5', '1.2.9') WHERE sequence = 5"],
        5,
    ),
    "a message is replaced": (
        ["UPDATE audit_record SET message = '{action:x}' WHERE sequence = 5"],
        5,
    ),
    "one letter of a code changes": (
        ["UPDATE audit_record SET mac = replace(mac, substr(mac, 1, 1), 'z') WHERE sequence = 5"],
        5,
    ),
    "a searched column is edited": (
        ["UPDATE audit_record SET subject_id = 'somebody else' WHERE sequence = 5"],
        5,
    ),
    "the time in a column is edited": (
        ["UPDATE audit_record SET recorded_at = '2020-01-01 00:00:00.000000' WHERE sequence = 5"],
        5,
    ),
    "a time is no time": (["UPDATE audit_record SET recorded_at = 'never' WHERE sequence = 5"], 5),
    "a message is bytes": (["UPDATE audit_record SET message = x'ff00' WHERE sequence = 5"], 5),
    "a code is bytes": (["UPDATE audit_record SET mac = x'ff00' WHERE sequence = 5"], 5),
    "the first record is deleted": (["DELETE FROM audit_record WHERE sequence = 1"], 1),
    "a record is deleted": (["DELETE FROM audit_record WHERE sequence = 5"], 5),
    "a record is deleted and the gap closed": (
        [
            "DELETE FROM audit_record WHERE sequence = 5",
            "UPDATE audit_record SET sequence = sequence + 1000 WHERE sequence > 5",
            "UPDATE audit_record SET sequence = sequence - 1001 WHERE sequence > 1000",
        ],
        5,
    ),
    "two records are exchanged": (
        [
            "UPDATE audit_record SET sequence = 100 WHERE sequence = 5",
            "UPDATE audit_record SET sequence = 5 WHERE sequence = 6",
            "UPDATE audit_record SET sequence = 6 WHERE sequence = 100",
        ],
        5,
    ),
    "a record is copied to the end": (
        [
            "INSERT INTO audit_record SELECT 13, recorded_at, action, outcome, subject_kind,"
            " subject_id, resource_kind, resource_id, message, mac"
            " FROM audit_record WHERE sequence = 5"
        ],
        LENGTH + 1,
    ),
    "a record is put before the first": (
        [
            "INSERT INTO audit_record SELECT 0, recorded_at, action, outcome, subject_kind,"
            " subject_id, resource_kind, resource_id, message, mac"
            " FROM audit_record WHERE sequence = 5"
        ],
        1,
    ),
    "a number is no number": (["UPDATE audit_record SET sequence = 'x' WHERE sequence = 5"], 5),
    "the last record is deleted": (["DELETE FROM audit_record WHERE sequence = 12"], LENGTH),
    "the end is cut off": (["DELETE FROM audit_record WHERE sequence > 7"], 8),
    "everything is deleted": (["DELETE FROM audit_record"], 1),
    "the end is cut off and the head set back": (
        [
            "DELETE FROM audit_record WHERE sequence > 7",
            "UPDATE audit_head SET sequence = 7,"
            " mac = (SELECT mac FROM audit_record WHERE sequence = 7)",
        ],
        8,
    ),
    "the head is deleted": (["DELETE FROM audit_head"], LENGTH + 1),
    "the end and the head are deleted": (
        ["DELETE FROM audit_record WHERE sequence > 7", "DELETE FROM audit_head"],
        8,
    ),
    "the head's code is edited": (["UPDATE audit_head SET head_mac = 'no code'"], LENGTH + 1),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_shows_and_the_first_bad_record_is_named(
    database: Database, written: AuditTrail, what: str
) -> None:
    assert written.verify().ok  # the control: before, everything is well
    statements, first_bad = TAMPERING[what]
    _sql(database, *statements)
    verdict = written.verify()
    assert not verdict.ok
    assert (verdict.first_bad_id, verdict.count) == (first_bad, first_bad - 1)
    assert verdict.reason


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a record is deleted", "is missing; record 6 stands in its place"),
        ("a message is edited", "does not fit the chain"),
        ("a searched column is edited", "other values in its columns"),
        ("the end is cut off", "truncated, its head names 12 records"),
        ("the head is deleted", "the head of the chain was deleted"),
        ("the head's code is edited", "the head of the chain was altered"),
    ],
)
def test_the_verdict_says_what_was_done(
    database: Database, written: AuditTrail, what: str, said: str
) -> None:
    _sql(database, *TAMPERING[what][0])
    assert said in written.verify().reason


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_record SET message = ''", "DELETE FROM audit_record WHERE sequence = 5"],
)
def test_the_database_itself_refuses_to_change_a_record(
    database: Database, written: AuditTrail, statement: str
) -> None:
    with (
        pytest.raises(IntegrityError, match="audit_record is append-only"),
        database.unit_of_work() as work,
    ):
        work.session.execute(text(statement))
    assert written.verify().count == LENGTH


def test_an_older_head_put_back_shows(database: Database, written: AuditTrail) -> None:
    _sql(database, "CREATE TABLE old_head AS SELECT * FROM audit_head")
    written.record_now(_event())
    assert written.verify().ok
    _sql(database, "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM old_head")
    verdict = written.verify()
    assert (verdict.ok, verdict.first_bad_id) == (False, LENGTH + 2)
    assert "set back" in verdict.reason


def test_rewriting_a_row_with_what_it_held_is_no_tampering(
    database: Database, written: AuditTrail
) -> None:
    _sql(
        database,
        "CREATE TABLE kept AS SELECT * FROM audit_record WHERE sequence = 5",
        "DELETE FROM audit_record WHERE sequence = 5",
        "INSERT INTO audit_record SELECT * FROM kept",
    )
    assert written.verify().ok


def test_who_rewrites_the_whole_chain_without_the_key_is_found_out(
    database: Database, clock: FixedClock, written: AuditTrail
) -> None:
    _sql(database, "DELETE FROM audit_record", "DELETE FROM audit_head")
    forger = AuditTrail(database, clock, b"f" * 32)
    for number in range(1, LENGTH + 1):
        forger.record_now(_event(number))
    assert forger.verify().ok  # the control: the forged chain is a chain
    assert written.verify().first_bad_id == 1


def test_a_head_kept_elsewhere_finds_out_a_trail_set_back_to_an_earlier_state(
    database: Database, written: AuditTrail
) -> None:
    _sql(
        database,
        "CREATE TABLE old_record AS SELECT * FROM audit_record",
        "CREATE TABLE old_head AS SELECT * FROM audit_head",
    )
    for number in range(5):
        written.record_now(_event(number))
    kept = written.head()
    _sql(
        database,
        "DELETE FROM audit_record",
        "DELETE FROM audit_head",
        "INSERT INTO audit_record SELECT * FROM old_record",
        "INSERT INTO audit_head SELECT * FROM old_head",
    )
    assert written.verify().ok  # inside the database alone it cannot be seen
    verdict = written.verify(anchor=kept)
    assert (verdict.ok, verdict.first_bad_id) == (False, LENGTH + 1)


def test_a_head_kept_elsewhere_is_found_again_in_a_trail_that_went_on(written: AuditTrail) -> None:
    kept = written.head()
    written.record_now(_event())
    assert written.verify(anchor=kept).ok
    other = AuditHead(kept.sequence, "0" * 64)
    verdict = written.verify(anchor=other)
    assert (verdict.ok, verdict.first_bad_id) == (False, kept.sequence)


def test_an_anchor_finds_out_that_everything_was_wiped(
    database: Database, written: AuditTrail
) -> None:
    kept = written.head()
    _sql(database, "DELETE FROM audit_record", "DELETE FROM audit_head")
    assert written.verify(anchor=kept).first_bad_id == 1


def test_nothing_can_be_appended_unseen_behind_a_forged_head(
    database: Database, written: AuditTrail
) -> None:
    _sql(database, "UPDATE audit_head SET mac = 'forged'")
    written.record_now(_event())
    assert written.verify().first_bad_id == LENGTH + 1


def test_verification_reports_its_progress_to_the_end(
    database: Database, trail: AuditTrail
) -> None:
    with database.unit_of_work() as work:
        for number in range(1200):
            trail.record(work.session, _event(number))
    told: list[tuple[int, int]] = []
    assert trail.verify(lambda done, claimed: told.append((done, claimed))).ok
    assert told == [(500, 1200), (1000, 1200), (1200, 1200)]


def test_racing_threads_give_one_unbroken_chain(database: Database, trail: AuditTrail) -> None:
    def append(number: int) -> int:
        return trail.record_now(_event(number))

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(append, range(80)))
    assert sorted(numbers) == list(range(1, 81))
    assert trail.verify().count == 80


def test_two_processes_with_one_key_continue_one_chain(
    database: Database, clock: FixedClock, trail: AuditTrail
) -> None:
    other = AuditTrail(database, clock, KEY)
    assert [trail.record_now(_event()), other.record_now(_event())] == [1, 2]
    assert trail.verify().count == 2


def test_records_appended_while_verifying_disturb_nothing(
    database: Database, trail: AuditTrail
) -> None:
    with database.unit_of_work() as work:
        for number in range(600):
            trail.record(work.session, _event(number))
    appended: list[int] = []

    def append_meanwhile(_done: int, _claimed: int) -> None:
        appended.append(trail.record_now(_event()))

    assert trail.verify(append_meanwhile).ok
    assert appended == [601, 602]
    assert trail.verify().count == 602


def test_a_key_too_short_to_protect_anything_is_refused(
    database: Database, clock: FixedClock
) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        AuditTrail(database, clock, b"short")
