"""At an edge: its own instances as it reports and compares them, read from its index in pages."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, or_, select

from edge_gateway.model import HeldInstance, StudyProgress
from edge_gateway.tables import EDGE_STUDY, EdgeStudyRow
from hub_kernel.database import Database
from image_archive.tables import INSTANCE, SERIES, STUDY

PAGE = 1000
_ASKED_AT_ONCE = 100
_ASKED_FOR = timedelta(days=30)


@dataclass(frozen=True)
class NewInstances:
    """Instances received since a mark, and the mark that comes after them."""

    instances: tuple[HeldInstance, ...]
    through: int


class OwnLedger:
    """Reads what this edge has received, and keeps what the hub says of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, through: int) -> NewInstances:
        """Return a page of what was received after the row `through`, in order of arrival."""
        with self._database.read() as session:
            rows = session.execute(
                _instances().where(INSTANCE.c.id > through).order_by(INSTANCE.c.id).limit(PAGE)
            ).all()
        return NewInstances(tuple(map(_held, rows)), rows[-1].id if rows else through)

    def pages(self) -> Iterator[tuple[HeldInstance, ...]]:
        """Yield everything this edge ever received, a page at a time."""
        through = 0
        while (page := self.since(through)).instances:
            yield page.instances
            through = page.through

    def count(self) -> int:
        """Return how many instances this edge ever received."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(INSTANCE)) or 0

    def unsettled_studies(self) -> list[str]:
        """Return the studies of the last month not known to be rendered whole, latest first.

        At most a hundred: older ones have their turn when these are done.
        """
        since = self._database.clock.now() - _ASKED_FOR
        query = (
            select(STUDY.c.study_instance_uid)
            .outerjoin(EDGE_STUDY, EDGE_STUDY.c.study_instance_uid == STUDY.c.study_instance_uid)
            .where(
                STUDY.c.last_received_at >= since,
                or_(
                    EDGE_STUDY.c.study_instance_uid.is_(None),
                    EDGE_STUDY.c.rendered.is_(False),
                    EDGE_STUDY.c.instances < STUDY.c.instance_count,
                ),
            )
            .order_by(STUDY.c.last_received_at.desc())
            .limit(_ASKED_AT_ONCE)
        )
        with self._database.read() as session:
            return list(session.scalars(query))

    def note(self, studies: Collection[StudyProgress]) -> None:
        """Keep what the hub said of studies."""
        with self._database.unit_of_work() as work:
            for one in studies:
                work.session.merge(
                    EdgeStudyRow(
                        study_instance_uid=one.study_instance_uid,
                        instances=one.instances,
                        complete=one.complete,
                        registered=one.registered,
                        rendered=one.rendered,
                        damaged=one.damaged,
                        said_at=work.clock.now(),
                    )
                )

    def at_hub(self, study_uids: Collection[str]) -> dict[str, StudyProgress]:
        """Return what the hub last said of studies; those it never spoke of are left out."""
        query = select(EDGE_STUDY).where(EDGE_STUDY.c.study_instance_uid.in_(study_uids))
        with self._database.read() as session:
            rows = session.execute(query).all()
        return {row.study_instance_uid: _progress(row) for row in rows}


def _instances() -> Select[Any]:
    return (
        select(
            INSTANCE.c.id,
            INSTANCE.c.sop_instance_uid,
            STUDY.c.study_instance_uid,
            INSTANCE.c.dataset_sha256,
            INSTANCE.c.dataset_bytes,
            INSTANCE.c.received_at,
        )
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
    )


def _held(row: Row[Any]) -> HeldInstance:
    return HeldInstance(
        row.sop_instance_uid,
        row.study_instance_uid,
        row.dataset_sha256,
        row.dataset_bytes,
        row.received_at,
    )


def _progress(row: Row[Any]) -> StudyProgress:
    completed: datetime | None = None  # the hub's own moment is of no use here
    return StudyProgress(
        study_instance_uid=row.study_instance_uid,
        site_id="",
        instances=row.instances,
        damaged=row.damaged,
        complete=row.complete,
        completed_at=completed,
        registered=row.registered,
        rendered=row.rendered,
    )
