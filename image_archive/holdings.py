"""What is held of each site, kept as counters that follow the index a few seconds behind.

Receiving costs nothing for it: a periodic job adds what came since. It counts only up to the newest
instance of the run before, because two machines may commit out of the order of their row numbers.
"""

from collections.abc import Mapping

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from image_archive.tables import INSTANCE, SERIES, STUDY
from image_archive.tables_holdings import HOLDING_POSITION, SITE_HOLDING

_PER_STEP = 5_000
_STEPS_PER_RUN = 40
_ONLY = 1
# Added up by the database: a hub that catches up with an old archive has questions to answer.
_HELD_BETWEEN = (
    select(STUDY.c.site_id, func.sum(INSTANCE.c.dataset_bytes), func.count())
    .select_from(INSTANCE)
    .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
    .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
    .where(INSTANCE.c.id > bindparam("after"), INSTANCE.c.id <= bindparam("last"))
    .group_by(STUDY.c.site_id)
    .order_by(STUDY.c.site_id)
)


class Holdings:
    """Counts what the archive holds of each site; one process at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> None:
        """Add what came until the last run; the first runs of an old hub catch up in steps."""
        for _ in range(_STEPS_PER_RUN):
            with self._database.unit_of_work() as work:
                if not _step(work.session):
                    return

    def recount(self) -> None:
        """Count everything anew; what has come since the last run is left to the next."""
        with self._database.unit_of_work() as work:
            _position(work.session)
            work.session.execute(update(SITE_HOLDING).values(dataset_bytes=0, instances=0))
            work.session.execute(update(HOLDING_POSITION).values(counted_to=0))
        while True:
            with self._database.unit_of_work() as work:
                if not _step(work.session):
                    return


def held_by_site(session: Session) -> Mapping[str, tuple[int, int]]:
    """Return bytes of datasets and instances held of each site, as they were counted last."""
    rows = session.execute(select(SITE_HOLDING)).all()
    return {row.site_id: (row.dataset_bytes, row.instances) for row in rows}


def subtract(session: Session, site_id: str, study_row_id: int) -> None:
    """Take a study off the counters, in the transaction that removes its rows."""
    counted_to, _ = _position(session)
    gone = session.execute(
        select(func.count(), func.coalesce(func.sum(INSTANCE.c.dataset_bytes), 0))
        .select_from(INSTANCE)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .where(SERIES.c.study_row_id == study_row_id, INSTANCE.c.id <= counted_to)
    ).one()
    _add(session, site_id, -int(gone[1]), -int(gone[0]))


def _step(session: Session) -> bool:
    """Count one step further; False when all that may be counted is."""
    counted_to, seen_to = _position(session)
    if counted_to < seen_to:
        last = min(counted_to + _PER_STEP, seen_to)
        held = session.execute(_HELD_BETWEEN, {"after": counted_to, "last": last}).all()
        for site_id, dataset_bytes, instances in held:
            _add(session, site_id, int(dataset_bytes), instances)
        session.execute(update(HOLDING_POSITION).values(counted_to=last))
        return True
    newest = session.scalar(select(func.max(INSTANCE.c.id))) or 0
    session.execute(update(HOLDING_POSITION).values(seen_to=max(newest, seen_to)))
    return False


def _position(session: Session) -> tuple[int, int]:
    """Return the position, locked until the transaction ends."""
    row = session.execute(select(HOLDING_POSITION).with_for_update()).first()
    if row is None:
        session.execute(insert(HOLDING_POSITION).values(id=_ONLY, counted_to=0, seen_to=0))
        return 0, 0
    return row.counted_to, row.seen_to


def _add(session: Session, site_id: str, dataset_bytes: int, instances: int) -> None:
    changed = session.execute(
        update(SITE_HOLDING)
        .where(SITE_HOLDING.c.site_id == site_id)
        .values(
            dataset_bytes=SITE_HOLDING.c.dataset_bytes + dataset_bytes,
            instances=SITE_HOLDING.c.instances + instances,
        )
    )
    if not changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE counts
        session.execute(
            insert(SITE_HOLDING).values(
                site_id=site_id, dataset_bytes=dataset_bytes, instances=instances
            )
        )
