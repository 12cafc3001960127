"""What a gateway's forwarding ledger says of its one destination, the hub."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import and_, case, func, select, update

from dicom_router.forwarding.model import DONE, State
from dicom_router.forwarding.tables import ITEM
from edge_gateway import marks, reasons
from edge_gateway.marks import Marks
from edge_gateway.model import (
    MENDED_BY_RESENDING,
    Difference,
    EdgeFigures,
    HeldInstance,
    StudyDeliveries,
)
from hub_kernel.database import Database
from image_archive.model import Condition
from image_archive.tables import INSTANCE

HUB = "hub"
"""What forwarding calls the hub of an edge."""

_PAGE = 500
_DONE = [state.value for state in DONE]
_WAITING = [state.value for state in State if state not in {*DONE, State.PARKED}]
_TO_HUB = ITEM.c.destination == HUB


class EdgeQueue:
    """Reads the rows of the hub; owes again what it turns out to lack."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self, spool: Path, room: str, noted: Marks) -> EdgeFigures:
        """Return what this edge says of itself; `room` is what is wrong with its disk."""
        with self._database.read() as session:
            waiting = session.execute(
                select(
                    func.count(), func.sum(ITEM.c.dataset_bytes), func.min(ITEM.c.queued_at)
                ).where(_TO_HUB, ITEM.c.state.in_(_WAITING))
            ).one()
            parked = session.scalar(
                select(func.count()).where(_TO_HUB, ITEM.c.state == State.PARKED.value)
            )
        usage = shutil.disk_usage(spool)
        return EdgeFigures(
            waiting=waiting[0],
            waiting_bytes=int(waiting[1] or 0),
            oldest_waiting_at=waiting[2],
            parked=parked or 0,
            free_bytes=usage.free,
            total_bytes=usage.total,
            reason=_reason(room, noted, waiting=waiting[0] > 0, parked=bool(parked)),
            version=version("eirhub"),
        )

    def deliveries(self, study_uids: Sequence[str]) -> dict[str, StudyDeliveries]:
        """Return how far the instances of studies are on their way to the hub."""
        parked = ITEM.c.state == State.PARKED.value
        query = (
            select(
                ITEM.c.study_instance_uid,
                func.sum(case((ITEM.c.state.in_(_DONE), 1), else_=0)),
                func.sum(case((ITEM.c.state.in_(_WAITING), 1), else_=0)),
                func.sum(case((parked, 1), else_=0)),
                func.max(case((parked, ITEM.c.last_status), else_="")),
            )
            .where(_TO_HUB, ITEM.c.study_instance_uid.in_(study_uids))
            .group_by(ITEM.c.study_instance_uid)
        )
        with self._database.read() as session:
            return {row[0]: StudyDeliveries(*row[1:]) for row in session.execute(query)}

    def unfinished(self, limit: int) -> list[str]:
        """Return the studies of which something is owed or was refused, the oldest first."""
        query = (
            select(ITEM.c.study_instance_uid)
            .where(_TO_HUB, ITEM.c.state.in_([*_WAITING, State.PARKED.value]))
            .group_by(ITEM.c.study_instance_uid)
            .order_by(func.min(ITEM.c.id))
            .limit(limit)
        )
        with self._database.read() as session:
            return list(session.scalars(query))

    def taken_before(self, moment: datetime) -> Iterator[HeldInstance]:
        """Yield the instances in the spool whose very bytes the hub took before, oldest first."""
        last = 0
        while rows := self._taken(last, moment):
            for row in rows:
                yield HeldInstance(*row[1:])
            last = rows[-1].id

    def owe_again(self, differences: Collection[Difference]) -> int:
        """Owe the hub what it lacks and this spool still has; return how many instances."""
        lacking = [one.sop_instance_uid for one in differences if one.kind in MENDED_BY_RESENDING]
        owed = 0
        for start in range(0, len(lacking), _PAGE):
            there = select(INSTANCE.c.sop_instance_uid).where(
                INSTANCE.c.sop_instance_uid == ITEM.c.sop_instance_uid,
                INSTANCE.c.condition == Condition.INTACT.value,
            )
            with self._database.unit_of_work() as work:
                changed = work.session.execute(
                    update(ITEM)
                    .where(
                        _TO_HUB,
                        ITEM.c.sop_instance_uid.in_(lacking[start : start + _PAGE]),
                        ITEM.c.state.in_([*_DONE, State.PARKED.value]),
                        there.exists(),
                    )
                    .values(state=State.QUEUED.value, due_at=work.clock.now(), settled_at=None)
                    .returning(ITEM.c.id)
                    .execution_options(synchronize_session=False)
                ).all()
            owed += len(changed)
        return owed

    def _taken(self, last: int, moment: datetime) -> Sequence[Any]:
        query = (
            select(
                ITEM.c.id,
                ITEM.c.sop_instance_uid,
                ITEM.c.study_instance_uid,
                ITEM.c.dataset_sha256,
                ITEM.c.dataset_bytes,
                INSTANCE.c.received_at,
            )
            .join(
                INSTANCE,
                and_(
                    INSTANCE.c.sop_instance_uid == ITEM.c.sop_instance_uid,
                    INSTANCE.c.dataset_sha256 == ITEM.c.dataset_sha256,
                ),
            )
            .where(
                _TO_HUB,
                ITEM.c.id > last,
                ITEM.c.state.in_(_DONE),
                ITEM.c.settled_at <= moment,
                INSTANCE.c.condition == Condition.INTACT.value,
            )
            .order_by(ITEM.c.id)
            .limit(_PAGE)
        )
        with self._database.read() as session:
            return session.execute(query).all()


def _reason(room: str, noted: Marks, *, waiting: bool, parked: bool) -> str:
    """Return what keeps this edge from its work, the worst first."""
    uploads = noted.get(marks.UPLOAD_REASON) if waiting else ""
    line = noted.get(marks.REPORT_REASON)
    for reason in (room if room == reasons.SPOOL_FULL else "", line, uploads, room):
        if reason:
            return reason
    return reasons.PARKED if parked else ""
