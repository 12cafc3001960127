"""Drift: figures that fit what happened, drawn without a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk
from viewer_api.identity_figures import Drift, drift
from viewer_api.pages.identity_charts import HEIGHT, WIDTH, Series, bars


def figures(desk: Desk, days: int = 3) -> Drift:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    with desk.database.read() as session:
        return drift(session, midnights)


def test_newcomers_links_and_questions_count_on_their_day(
    desk: Desk, numbers: Iterator[int]
) -> None:
    before = figures(desk).days[-1]
    number = next(numbers)
    desk.asks_about_a_borrowed_card(number)
    one, other = desk.person("sijing", f"S{number}"), desk.person("jiuting", f"J{number}")
    after = figures(desk).days[-1]
    assert after.newcomers - before.newcomers == 2
    assert after.questions > before.questions
    assert after.by_rule == before.by_rule
    from patient_index.model import Decided

    desk.patients.merge(one, other, Decided("registrar", "shown"))
    assert figures(desk).days[-1].by_people == before.by_people + 1
    assert all(day.newcomers == day.questions == 0 for day in figures(desk).days[:-1])


def test_what_is_older_than_the_days_asked_for_is_left_out(desk: Desk) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with desk.database.read() as session:
        found = drift(session, [tomorrow])
    assert found.days[0].newcomers == found.days[0].questions == 0
    assert not found.asked_scores
    assert not found.duplicates


def test_the_first_row_of_the_time_is_found_by_halving_whatever_is_missing(desk: Desk) -> None:
    statements: list[str] = []
    from sqlalchemy import event

    @event.listens_for(desk.database.engine, "before_cursor_execute")
    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    figures(desk, days=30)
    event.remove(desk.database.engine, "before_cursor_execute", note)
    with desk.database.read() as session:
        rows = session.scalar(text("SELECT count(*) FROM patient_identifier")) or 0
    assert rows > 2
    assert len(statements) < 80


def test_a_second_number_of_one_issuer_counts_as_its_duplicate(
    desk: Desk, numbers: Iterator[int]
) -> None:
    def duplicates() -> int:
        return next((d.duplicates for d in figures(desk).duplicates if d.namespace == "CENTRAL"), 0)

    before, number = duplicates(), next(numbers)
    one = desk.arrives("central", f"D{number}", "Dugu^Qiu=独孤^求", "1930-03-03").global_id
    desk.arrives("central", f"E{number}", "Ximen^Chui=西门^吹", "1991-01-01")
    assert duplicates() == before
    from patient_index.model import Decided

    desk.patients.merge(one, desk.person("central", f"E{number}"), Decided("registrar", "shown"))
    assert duplicates() == before + 1


def test_the_page_draws_its_charts_without_a_script(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    desk.asks_about_a_borrowed_card(next(numbers))
    page = registrar.page("/identity/drift")
    charts = page.select("svg.chart")
    assert len(charts) == 3
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert charts[0].select("rect title")
    assert "china" in page.select_one(".head").get_text()
    assert len(page.select("details.numbers tbody tr")) == 30


def test_drift_is_of_the_whole_region(signed_in: Callable[..., Browser]) -> None:
    assert signed_in("local").get("/identity/drift").status_code == 404


@pytest.mark.parametrize("values", [(), (0.0,), (0.5, 3.0), (7.0, 0.0, 1234.0), (1e6,)])
def test_bars_stay_inside_their_chart_and_keep_their_proportions(values: tuple[float, ...]) -> None:
    shown = bars([str(place) for place in range(len(values))], (Series("one", values),))
    assert len(shown.bars) == sum(value > 0 for value in values)
    for bar in shown.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    heights = [bar.height for bar in shown.bars]
    tallest = max(zip((v for v in values if v > 0), heights, strict=True), default=(0, 0))
    assert tallest[1] == max(heights, default=0)


def test_stacked_bars_stand_on_each_other() -> None:
    low, high = bars(["a"], (Series("one", (2.0,)), Series("two", (2.0,)))).bars
    assert low.y == pytest.approx(high.y + high.height)
