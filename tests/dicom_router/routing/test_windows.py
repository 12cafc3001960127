"""Hours and weekdays mean what a person reads in them, over midnight too."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_router.routing.windows import WEEKDAYS, Window, parse, window

ZONE = ZoneInfo("Asia/Shanghai")
FRIDAY = datetime(2026, 11, 20, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("hours", "at", "inside"),
    [
        ("08:00-18:00", "08:00", True),
        ("08:00-18:00", "17:59", True),
        ("08:00-18:00", "18:00", False),
        ("20:00-06:00", "23:00", True),
        ("20:00-06:00", "05:59", True),
        ("20:00-06:00", "06:00", False),
        ("00:00-24:00", "23:59", True),
    ],
)
def test_hours_hold_from_the_first_to_before_the_last_minute(
    hours: str, at: str, *, inside: bool
) -> None:
    hour, minute = map(int, at.split(":"))
    found = window(hours)
    assert found is not None
    assert found.contains(FRIDAY.replace(hour=hour, minute=minute)) is inside


def test_the_night_belongs_to_the_day_it_began() -> None:
    friday_night = window("20:00-06:00", ("fri",))
    assert friday_night is not None
    assert friday_night.contains(FRIDAY + timedelta(hours=27))  # Saturday 03:00
    assert not friday_night.contains(FRIDAY + timedelta(hours=3))  # Friday 03:00


def test_without_hours_or_days_there_is_no_window() -> None:
    assert window() is None
    assert parse("") is None


@pytest.mark.parametrize(("hours", "days"), [("8-9", ()), ("25:00-26:00", ()), ("", ("monday",))])
def test_what_is_no_window_is_refused_with_what_is_allowed(
    hours: str, days: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="write HH:MM-HH:MM|allowed: mon"):
        window(hours, days)


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 7 * 1440 - 1),
)
def test_a_window_survives_being_written(start: int, end: int, days: set[int], minute: int) -> None:
    one = Window(start, end, frozenset(days))
    again = parse(str(one))
    assert again == one
    moment = FRIDAY + timedelta(minutes=minute)
    assert again.contains(moment) == one.contains(moment)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 7 * 1440 - 1))
def test_a_window_and_what_it_leaves_make_the_week(start: int, end: int, minute: int) -> None:
    if start == end:
        return
    moment = FRIDAY + timedelta(minutes=minute)
    assert Window(start, end).contains(moment) != Window(end, start).contains(moment)


def test_all_weekdays_are_known() -> None:
    assert [day for day in WEEKDAYS if window("", (day,)) is None] == []
