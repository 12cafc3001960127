"""Make the keys to match by again: for people known before there were any, or when rules change."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from patient_index import candidates, rows
from patient_index.matcher import Matcher
from patient_index.tables import KnownIdentifier, ObservedDemographics
from patient_index.tables_feed import MatchKey, StatementDetail

_BATCH = 500


def rekey(
    database: Database, matcher: Matcher, progress: Callable[[int, int], None] | None = None
) -> int:
    """Add the keys of every identifier's latest statement; return how many identifiers were read.

    Batches commit one by one, so that feeds go on meanwhile. Keys of earlier rules stay: they cost
    a comparison and change nothing. Repeating it is harmless.
    """
    with database.read() as session:
        total = session.scalar(select(func.max(KnownIdentifier.id))) or 0
    done = after = 0
    while ids := _next_ids(database, after):
        with database.unit_of_work() as work:
            _replace(work.session, matcher, ids)
        done, after = done + len(ids), ids[-1]
        if progress is not None:
            progress(after, total)
    return done


def _next_ids(database: Database, after: int) -> Sequence[int]:
    with database.read() as session:
        return session.scalars(
            select(KnownIdentifier.id)
            .where(KnownIdentifier.id > after)
            .order_by(KnownIdentifier.id)
            .limit(_BATCH)
        ).all()


def _replace(session: Session, matcher: Matcher, ids: Sequence[int]) -> None:
    known = candidates.records(session, matcher, ids)
    comparable = _comparable(session, ids)
    wanted = [
        {"key": key, "identifier_id": one.identifier_id}
        for one in known
        if one.identifier_id in comparable
        for key in matcher.keys(one.record)
    ]
    keys = sorted({row["key"] for row in wanted})
    for start in range(0, len(keys), _BATCH):
        session.execute(
            delete(MatchKey).where(
                MatchKey.key.in_(keys[start : start + _BATCH]), MatchKey.identifier_id.in_(ids)
            )
        )
    rows.add(session, MatchKey, wanted)


def _comparable(session: Session, ids: Sequence[int]) -> set[int]:
    """Return whose latest statement names them with certainty and is not provisional."""
    newest = (
        select(func.max(ObservedDemographics.id))
        .where(ObservedDemographics.identifier_id.in_(ids))
        .group_by(ObservedDemographics.identifier_id)
    )
    found = session.execute(
        select(
            ObservedDemographics.identifier_id,
            ObservedDemographics.name_confident,
            StatementDetail.provisional,
        )
        .outerjoin(StatementDetail, StatementDetail.observed_id == ObservedDemographics.id)
        .where(ObservedDemographics.id.in_(newest))
    )
    return {one for one, confident, provisional in found if confident and not provisional}
