"""How linking has gone lately, in figures: scores, links and questions by day, duplicates by site.

Only what was written since `since` is read: rows are numbered as they are written, so the first of
them is found by halving.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, select

from patient_index.explanations import decoded
from patient_index.queries import current_links
from patient_index.tables import KnownIdentifier, LinkReview
from patient_index.tables_feed import LinkDecision, ReviewEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session

BIN_BITS = 2.0
_MOST_SCORES = 5000
_JOINING = ("LINK", "MERGE")


@dataclass(frozen=True)
class DayFigures:
    """One day at the region: numbers first seen, links by rule and by people, questions raised."""

    begins_at: datetime
    newcomers: int
    by_rule: int
    by_people: int
    questions: int

    @property
    def review_rate(self) -> float | None:
        """Questions for each hundred newcomers; None on a day without newcomers."""
        return 100.0 * self.questions / self.newcomers if self.newcomers else None


@dataclass(frozen=True)
class SiteDuplicates:
    """One issuer's numbers of the time, and how many of them a person had beside another."""

    namespace: str
    issued: int
    duplicates: int

    @property
    def percent(self) -> float:
        """Duplicates for each hundred numbers."""
        return 100.0 * self.duplicates / self.issued if self.issued else 0.0


@dataclass(frozen=True)
class Drift:
    """Everything the drift page shows; scores by the lower edge of their bin, in bits."""

    days: tuple[DayFigures, ...]
    linked_scores: Mapping[float, int]
    asked_scores: Mapping[float, int]
    duplicates: tuple[SiteDuplicates, ...]


def drift(session: Session, midnights: Sequence[datetime]) -> Drift:
    """Return the figures of the days that begin at `midnights` (UTC, oldest first)."""
    since = midnights[0]
    newcomers = _by_day(session, KnownIdentifier.registered_at, KnownIdentifier.id, midnights)
    questions = _by_day(session, LinkReview.raised_at, LinkReview.id, midnights)
    by_rule, by_people = _links(session, midnights)
    return Drift(
        days=tuple(
            DayFigures(midnight, newcomers[at], by_rule[at], by_people[at], questions[at])
            for at, midnight in enumerate(midnights)
        ),
        linked_scores=_linked_scores(session, since),
        asked_scores=_asked_scores(session, since),
        duplicates=_duplicates(session, since),
    )


def _first_id(
    session: Session,
    at: InstrumentedAttribute[datetime],
    row_id: InstrumentedAttribute[int],
    since: datetime,
) -> int:
    """The first row that is not older than `since`, or the number after the last row."""
    low, high = 1, (session.scalar(select(func.max(row_id))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = session.execute(
            select(at, row_id).where(row_id >= middle).order_by(row_id).limit(1)
        ).first()
        if found is None or found[0] >= since:
            high = middle
        else:
            low = found[1] + 1
    return low


def _by_day(
    session: Session,
    at: InstrumentedAttribute[datetime],
    row_id: InstrumentedAttribute[int],
    midnights: Sequence[datetime],
) -> list[int]:
    first = _first_id(session, at, row_id, midnights[0])
    counted = [
        func.sum(case((_within(at, midnights, day), 1), else_=0)) for day in _days(midnights)
    ]
    row = session.execute(select(*counted).where(row_id >= first)).one()
    return [int(count or 0) for count in row]


def _links(session: Session, midnights: Sequence[datetime]) -> tuple[list[int], list[int]]:
    row = LinkDecision
    first = _first_id(session, row.decided_at, row.id, midnights[0])
    counted = [
        func.sum(case((and_(whose, _within(row.decided_at, midnights, day)), 1), else_=0))
        for whose in (row.decided_by == "rule", row.decided_by != "rule")
        for day in _days(midnights)
    ]
    found = session.execute(select(*counted).where(row.id >= first, row.action.in_(_JOINING))).one()
    counts = [int(count or 0) for count in found]
    return counts[: len(midnights)], counts[len(midnights) :]


def _days(midnights: Sequence[datetime]) -> range:
    return range(len(midnights))


def _within(
    at: InstrumentedAttribute[datetime], midnights: Sequence[datetime], day: int
) -> ColumnElement[bool]:
    end = midnights[day + 1] if day + 1 < len(midnights) else midnights[day] + timedelta(days=1)
    return and_(at >= midnights[day], at < end)


def _linked_scores(session: Session, since: datetime) -> Mapping[float, int]:
    texts = session.scalars(
        select(LinkDecision.explanation)
        .where(
            LinkDecision.decided_by == "rule",
            LinkDecision.decided_at >= since,
            LinkDecision.explanation != "",
        )
        .order_by(LinkDecision.id.desc())
        .limit(_MOST_SCORES)
    )
    return _binned([decoded(text).score for text in texts])


def _asked_scores(session: Session, since: datetime) -> Mapping[float, int]:
    return _binned(
        session.scalars(
            select(ReviewEvidence.score)
            .join(LinkReview, LinkReview.id == ReviewEvidence.review_id)
            .where(LinkReview.raised_at >= since, ReviewEvidence.score.is_not(None))
            .order_by(ReviewEvidence.review_id.desc())
            .limit(_MOST_SCORES)
        ).all()
    )


def _binned(scores: Sequence[float | None]) -> Mapping[float, int]:
    return Counter(score // BIN_BITS * BIN_BITS for score in scores if score is not None)


def _duplicates(session: Session, since: datetime) -> tuple[SiteDuplicates, ...]:
    """Of the numbers each issuer gave lately: how many to somebody who had one there already."""
    first = _first_id(session, KnownIdentifier.registered_at, KnownIdentifier.id, since)
    its, others = current_links(), current_links()
    other = KnownIdentifier.__table__.alias("other_identifier")
    had_one = (
        select(other.c.id)
        .join(others, others.c.identifier_id == other.c.id)
        .where(
            others.c.global_id == its.c.global_id,
            other.c.issuer_oid == KnownIdentifier.issuer_oid,
            other.c.id < KnownIdentifier.id,
        )
        .exists()
    )
    rows = session.execute(
        select(
            KnownIdentifier.issuer_namespace,
            func.count(),
            func.sum(case((had_one, 1), else_=0)),
        )
        .join(its, its.c.identifier_id == KnownIdentifier.id)
        .where(KnownIdentifier.id >= first)
        .group_by(KnownIdentifier.issuer_namespace)
    )
    found = [SiteDuplicates(name, count, int(twice or 0)) for name, count, twice in rows]
    return tuple(sorted(found, key=lambda one: (-one.percent, one.namespace)))
