"""Drift: is linking still what it was? Scores, links by day, questions, duplicates; no script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from access_control.model import Action, Purpose, Resource
from viewer_api.identity_figures import BIN_BITS, DayFigures, Drift, drift
from viewer_api.pages.identity_charts import Bars, Series, bars
from viewer_api.pages.language import local_time, local_today, month_day
from viewer_api.pages.people import site_book
from viewer_api.pages.words import gettext
from viewer_api.security import require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

blueprint = Blueprint("identity_drift", __name__)

DAYS = 30


@dataclass(frozen=True)
class Totals:
    """The figures of all days together."""

    newcomers: int
    linked: int
    questions: int

    @property
    def review_rate(self) -> float | None:
        """Questions for each hundred newcomers."""
        return 100.0 * self.questions / self.newcomers if self.newcomers else None


@blueprint.get("/identity/drift")
@signed_in
def page() -> str:
    """Show how linking has gone in the last thirty days."""
    found = require_drift()
    matcher = services().patients.matcher
    return render_template(
        "identity_drift.html",
        totals=_totals(found.days),
        any_score=bool(found.linked_scores or found.asked_scores),
        histogram=_histogram(found),
        links=_links(found.days),
        rate=_rate(found.days),
        days=found.days[::-1],
        duplicates=found.duplicates,
        names={site.assigning_authority.namespace: site for site in site_book().all()},
        thresholds=matcher.weights.thresholds if matcher else None,
        weights=matcher.weights.label if matcher else "",
    )


def require_drift() -> Drift:
    """Return the figures of the region's last days when the subject may see them.

    Raises nothing: who may not ends with 404.
    """
    everywhere = frozenset(site.site_id for site in services().sites.all())
    require(
        Action.REVIEW_IDENTITY,
        Resource("operations", site_ids=everywhere),
        Purpose.OPERATIONS,
        detail="drift",
    )
    with services().database.read() as session:
        return drift(session, _midnights())


def _midnights() -> list[datetime]:
    today = local_today()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return [
        datetime(day.year, day.month, day.day, tzinfo=local_time()).astimezone(UTC) for day in days
    ]


def _totals(days: tuple[DayFigures, ...]) -> Totals:
    return Totals(
        newcomers=sum(day.newcomers for day in days),
        linked=sum(day.by_rule + day.by_people for day in days),
        questions=sum(day.questions for day in days),
    )


def _histogram(found: Drift) -> Bars:
    edges = sorted({*found.linked_scores, *found.asked_scores})
    scale = _filled(edges)
    return bars(
        [f"{edge:g}" for edge in scale],
        (
            Series(gettext("Linked by rule"), _values(found.linked_scores, scale)),
            Series(gettext("Asked a person"), _values(found.asked_scores, scale)),
        ),
    )


def _filled(edges: list[float]) -> list[float]:
    if not edges:
        return []
    count = int((edges[-1] - edges[0]) / BIN_BITS) + 1
    return [edges[0] + BIN_BITS * step for step in range(min(count, 80))]


def _values(counts: Mapping[float, int], scale: list[float]) -> tuple[float, ...]:
    return tuple(float(counts.get(edge, 0)) for edge in scale)


def _links(days: tuple[DayFigures, ...]) -> Bars:
    return bars(
        _labels(days),
        (
            Series(gettext("By rule"), tuple(float(day.by_rule) for day in days)),
            Series(gettext("By people"), tuple(float(day.by_people) for day in days)),
        ),
    )


def _rate(days: tuple[DayFigures, ...]) -> Bars:
    return bars(
        _labels(days),
        (
            Series(
                gettext("Questions per 100 newcomers"), tuple(d.review_rate or 0.0 for d in days)
            ),
        ),
    )


def _labels(days: tuple[DayFigures, ...]) -> list[str]:
    return [month_day(day.begins_at.astimezone(local_time()).date()) for day in days]
