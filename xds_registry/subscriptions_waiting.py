"""What consumers are still owed, told for each of them; who runs the hub looks at it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from xds_registry.tables_subscriptions import PARKED, PENDING, ConsumerRow, NotificationRow


@dataclass(frozen=True)
class WaitingConsumer:
    """A consumer that has not taken all it is owed.

    `pending` are tried again by themselves, next at `due_at` where it failed of late; `parked` only
    when somebody says so. `reason` is the latest one, in words without anybody's name.
    """

    address: str
    pending: int
    parked: int
    oldest_at: datetime
    failures: int
    due_at: datetime | None
    reason: str


def waiting_consumers(session: Session) -> list[WaitingConsumer]:
    """Return every consumer that is owed something, those with parked notifications first."""
    row = NotificationRow
    parked = func.sum(case((row.state == PARKED, 1), else_=0))
    pending = func.sum(case((row.state == PENDING, 1), else_=0))
    found = session.execute(
        select(
            row.consumer,
            pending,
            parked,
            func.min(row.occurred_at),
            func.max(ConsumerRow.failures),
            func.max(ConsumerRow.due_at),
            func.max(row.reason),
        )
        .outerjoin(ConsumerRow, ConsumerRow.address == row.consumer)
        .group_by(row.consumer)
        .order_by((parked == 0), row.consumer)
    )
    return [
        WaitingConsumer(address, int(pending), int(parked), oldest, failures or 0, due_at, reason)
        for address, pending, parked, oldest, failures, due_at, reason in found
    ]
