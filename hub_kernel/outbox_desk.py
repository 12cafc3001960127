"""What people see of the outbox, and set right in it: who is owed what, and what was parked."""

from dataclasses import dataclass

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.outbox_tables import PARKED, PENDING, OutboxDelivery


@dataclass(frozen=True)
class Owed:
    """What one subscriber is owed: how much waits, how much is parked, and why one of those is."""

    subscriber: str
    pending: int
    parked: int
    reason: str


def owed(session: Session) -> list[Owed]:
    """Return what is owed to whom, by name."""
    parked = OutboxDelivery.state == PARKED
    asked = select(
        OutboxDelivery.subscriber,
        func.sum(case((parked, 0), else_=1)),
        func.sum(case((parked, 1), else_=0)),
        func.max(case((parked, OutboxDelivery.reason), else_="")),
    ).group_by(OutboxDelivery.subscriber)
    found = session.execute(asked.order_by(OutboxDelivery.subscriber)).all()
    return [Owed(*row) for row in found]


def retry_parked(database: Database, subscriber: str) -> int:
    """Owe again what was parked for `subscriber`, as if it had never been tried; count it."""
    with database.unit_of_work() as work:
        again = work.session.execute(
            update(OutboxDelivery)
            .where(OutboxDelivery.subscriber == subscriber, OutboxDelivery.state == PARKED)
            .values(state=PENDING, attempts=0, due_at=work.clock.now(), handed_at=None)
            .returning(OutboxDelivery.delivery_id)
        ).all()
    return len(again)
