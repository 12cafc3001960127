"""The page that shows the last run of a published test suite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import Region
from viewer_api.conformance_results import SuiteResult, TestResult, keep_result, last_result


def test_the_last_run_is_shown_to_who_runs_the_hub(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    data = region.hub.settings.hub.data_dir
    engineer = signed_in("engineer")
    assert "eirhub conformance run" in engineer.page("/operations/conformance").get_text()
    tests = (
        TestResult("11990", 3, 0, 0),
        TestResult("11991", 1, 1, 1, ("fail 11991/x/s1: <b>status</b>",)),
        TestResult("12379", 0, 0, 2),
    )
    keep_result(data, SuiteResult(datetime(2026, 11, 21, tzinfo=UTC), "nist", tests))
    try:
        page = engineer.page("/operations/conformance")
        rows = [row.get_text(" ", strip=True) for row in page.select("tbody tr")]
        told = "11991 1 1 1 fail 11991/x/s1: <b>status</b>"
        assert rows == ["11990 3 0 0", told, "12379 0 0 2"]
        lamps = [lamp["class"][1] for lamp in page.select("tbody .lamp")]
        assert lamps == ["lamp-on", "lamp-bad", "lamp-never"], "what was not judged is not green"
        assert "4 steps passed" in page.select_one(".figures").get_text(" ", strip=True)
        assert signed_in("doctor").get("/operations/conformance").status_code == 404
        (data / "conformance.json").write_bytes(b'{"half')
        assert last_result(data) is None
    finally:
        (data / "conformance.json").unlink()
