"""Emergencies of readers: a reason, an hour, a review by somebody else, all on record."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from access_control.break_glass import (
    LASTS,
    MOST_OPEN,
    BreakGlass,
    BrokenGlass,
    Emergency,
    OnRecord,
    Review,
    Verdict,
)
from access_control.errors import InvalidBreakGlassError, TooManyOpenError
from access_control.model import Role, Subject, SubjectKind
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from tests.support.clock import FixedClock

DOCTOR = Subject(SubjectKind.USER, "doctor-1", "陈医师", frozenset({Role.CLINICIAN}))
REASON = "unconscious, life in danger"


@pytest.fixture
def break_glass(database: Database, clock: FixedClock) -> BreakGlass:
    return BreakGlass(database, clock)


@pytest.fixture
def recorded() -> list[BrokenGlass]:
    return []


@pytest.fixture
def on_record(recorded: list[BrokenGlass]) -> OnRecord:
    def put(_session: Session, glass: BrokenGlass) -> None:
        recorded.append(glass)

    return put


@pytest.fixture
def opens(break_glass: BreakGlass, on_record: OnRecord) -> Callable[..., BrokenGlass]:
    def opened(global_id: str = "EIR-1", reason: str = REASON) -> BrokenGlass:
        return break_glass.open(Emergency(DOCTOR, global_id, reason, "10.0.0.9"), on_record)

    return opened


def test_what_is_opened_is_open_for_an_hour_and_no_longer(
    break_glass: BreakGlass, opens: Callable[..., BrokenGlass], clock: FixedClock
) -> None:
    glass = opens()
    assert glass.ends_at - glass.opened_at == LASTS
    clock.advance(minutes=59, seconds=59)
    assert break_glass.open_of("doctor-1") == (glass,)
    assert break_glass.open_of("doctor-2") == ()
    clock.advance(seconds=1)
    assert break_glass.open_of("doctor-1") == ()


def test_to_open_what_is_open_does_not_begin_another_hour(
    break_glass: BreakGlass,
    opens: Callable[..., BrokenGlass],
    clock: FixedClock,
    recorded: list[BrokenGlass],
) -> None:
    first = opens()
    clock.advance(minutes=30)
    assert opens() == first
    assert recorded == [first]
    clock.advance(minutes=30)
    assert opens().glass_id != first.glass_id
    assert len(break_glass.waiting()) == 2


@pytest.mark.parametrize("reason", ["", " ", "x", "\t\n", "a\0b", "two\nlines", "x" * 401])
def test_without_a_reason_that_can_be_written_down_nothing_is_opened(
    break_glass: BreakGlass,
    opens: Callable[..., BrokenGlass],
    recorded: list[BrokenGlass],
    reason: str,
) -> None:
    with pytest.raises(InvalidBreakGlassError, match="reason: 2 to 400"):
        opens(reason=reason)
    assert break_glass.open_of("doctor-1") == ()
    assert recorded == []


@pytest.mark.parametrize("kind", [kind for kind in SubjectKind if kind is not SubjectKind.USER])
def test_nobody_but_a_person_has_emergencies(
    break_glass: BreakGlass, on_record: OnRecord, kind: SubjectKind
) -> None:
    asker = Subject(kind, "doctor-1", "x", frozenset(Role), None)
    with pytest.raises(InvalidBreakGlassError, match="signed-in person"):
        break_glass.open(Emergency(asker, "EIR-1", REASON, ""), on_record)


def test_only_so_many_records_are_open_at_a_time(
    break_glass: BreakGlass, opens: Callable[..., BrokenGlass], on_record: OnRecord
) -> None:
    first, *_ = [opens(f"EIR-{number}") for number in range(MOST_OPEN)]
    with pytest.raises(TooManyOpenError):
        opens("EIR-more")
    break_glass.close(first.glass_id, "doctor-1", on_record)
    assert opens("EIR-more").global_id == "EIR-more"


def test_what_cannot_be_put_on_record_is_not_opened(break_glass: BreakGlass) -> None:
    def broken(_session: Session, _glass: BrokenGlass) -> None:
        raise RuntimeError("the audit trail cannot be written")

    with pytest.raises(RuntimeError):
        break_glass.open(Emergency(DOCTOR, "EIR-1", REASON, ""), broken)
    assert break_glass.open_of("doctor-1") == break_glass.waiting() == ()


def test_ending_is_for_the_reader_alone_and_once(
    break_glass: BreakGlass, opens: Callable[..., BrokenGlass], on_record: OnRecord
) -> None:
    glass = opens()
    with pytest.raises(NotFoundError):
        break_glass.close(glass.glass_id, "doctor-2", on_record)
    assert break_glass.open_of("doctor-1") == (glass,)
    ended = break_glass.close(glass.glass_id, "doctor-1", on_record)
    assert ended.closed_by == "doctor-1"
    assert break_glass.open_of("doctor-1") == ()
    with pytest.raises(NotFoundError):
        break_glass.close(glass.glass_id, "doctor-1", on_record)


def test_the_end_of_the_hour_goes_on_record_once(
    break_glass: BreakGlass,
    opens: Callable[..., BrokenGlass],
    on_record: OnRecord,
    clock: FixedClock,
    recorded: list[BrokenGlass],
) -> None:
    glass = opens()
    clock.advance(minutes=59)
    opens("EIR-2")
    recorded.clear()
    assert break_glass.close_expired(on_record) == 0
    clock.advance(minutes=2)
    assert break_glass.close_expired(on_record) == 1
    assert break_glass.close_expired(on_record) == 0
    assert [(one.glass_id, one.closed_at, one.closed_by) for one in recorded] == [
        (glass.glass_id, glass.ends_at, "")
    ]


def test_each_waits_for_a_review_by_somebody_else(
    break_glass: BreakGlass, opens: Callable[..., BrokenGlass], on_record: OnRecord
) -> None:
    glass, other = opens(), opens("EIR-2")
    assert break_glass.waiting_count() == 2
    with pytest.raises(InvalidBreakGlassError, match="of their own"):
        break_glass.review(Review(glass.glass_id, "doctor-1", Verdict.JUSTIFIED, "ok"), on_record)
    with pytest.raises(InvalidBreakGlassError, match="note: 2 to 400"):
        break_glass.review(Review(glass.glass_id, "auditor-1", Verdict.JUSTIFIED, " "), on_record)
    said = Review(glass.glass_id, "auditor-1", Verdict.JUSTIFIED, "asked the ward")
    judged = break_glass.review(said, on_record)
    assert (judged.verdict, judged.note, judged.reviewed_by) == (
        Verdict.JUSTIFIED,
        "asked the ward",
        "auditor-1",
    )
    assert [one.glass_id for one in break_glass.waiting()] == [other.glass_id]
    assert break_glass.reviewed(10) == (judged,)
    assert break_glass.get(glass.glass_id) == judged
    with pytest.raises(NotFoundError):
        break_glass.review(said, on_record)
    # What was justified stays open for its hour.
    assert judged in break_glass.open_of("doctor-1")


def test_what_is_not_justified_ends_at_once(
    break_glass: BreakGlass, opens: Callable[..., BrokenGlass], on_record: OnRecord
) -> None:
    glass = opens()
    said = Review(glass.glass_id, "auditor-1", Verdict.UNJUSTIFIED, "nobody of that name came in")
    assert break_glass.review(said, on_record).closed_by == "auditor-1"
    assert break_glass.open_of("doctor-1") == ()
