"""Dates of searches compared as intervals, prefix by prefix (FHIR R4 search.html#prefix)."""

from datetime import UTC, datetime

import pytest

from hub_kernel.fhir.intervals import Interval, interval_of, interval_test

NOW = datetime(2026, 11, 21, tzinfo=UTC)
# What was asked, and for each of these times whether it is meant.
TOLD = ("2024-01-01", "2024-01-02", "2024-01-02T03:04:05Z", "2024-01", "2024-01-03")
TABLE = {
    "2024-01-02": "nyynn",
    "eq2024-01-02": "nyynn",
    "ne2024-01-02": "ynnyy",
    "2024": "yyyyy",
    "2024-01": "yyyyy",
    "gt2024-01-02": "nnnyy",
    "sa2024-01-02": "nnnny",
    "ge2024-01-02": "nyyyy",
    "lt2024-01-02": "ynnyn",
    "eb2024-01-02": "ynnnn",
    "le2024-01-02": "yyyyn",
    "2024-01-02T03:04:05Z": "nnynn",
    "2024-01-02T11:04:05+08:00": "nnynn",
    "ge2024-01-02T03:04:05Z": "nyyyy",
    "ap2024-01-02": "yyyyy",
}


@pytest.mark.parametrize(("asked", "wanted"), TABLE.items(), ids=TABLE)
def test_a_prefix_means_what_the_specification_says(asked: str, wanted: str) -> None:
    test = interval_test(asked, NOW)
    assert test is not None
    assert "".join("y" if test(_told(text)) else "n" for text in TOLD) == wanted


def test_overlap_asks_for_any_time_in_common() -> None:
    test = interval_test("2024-01-02", NOW, overlaps=True)
    assert test is not None
    assert [test(_told(text)) for text in TOLD] == [False, True, True, True, False]


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2024-13", "2024-02-30", "20240102", "zz2024", "2024-01-02T25:00:00Z"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert interval_test(text, NOW) is None
    assert interval_of(text) is None


def test_the_last_year_has_an_end() -> None:
    assert interval_of("9999") is not None
    assert interval_of("9999-12-31T23:59:59Z") is not None


def _told(text: str) -> Interval:
    found = interval_of(text)
    assert found is not None
    return found
