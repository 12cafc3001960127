"""Which deliveries messages are to be about: the tables, not the broker, are the truth."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update

from hub_kernel.database import Database
from hub_kernel.outbox import Outbox
from hub_kernel.outbox_tables import FAR_AHEAD, PENDING, OutboxDelivery, is_due


@dataclass(frozen=True)
class HandOver:
    """What messages are to be about; what was handed over `lost_s` ago is so again."""

    kind: str
    urgent: bool
    limit: int
    lost_s: float


@dataclass(frozen=True)
class Handed:
    """A delivery that a message is to be about; `tried` says that it goes in one of its own."""

    delivery_id: int
    tried: bool


def hand_over(database: Database, outbox: Outbox, wanted: HandOver) -> list[Handed]:
    """Choose due deliveries for messages to workers, and remember that; the oldest first.

    Nobody holds them by that: whoever gets the message claims, and a message that never arrives
    or arrives twice does no harm.
    """
    names = [s.name for s in outbox.subscribers.values() if s.kind == wanted.kind]
    with database.unit_of_work() as work:
        now = work.clock.now()
        found = work.session.execute(
            select(OutboxDelivery.delivery_id, OutboxDelivery.attempts)
            .where(OutboxDelivery.state == PENDING, is_due(now))
            .where(OutboxDelivery.subscriber.in_(names))
            .where(OutboxDelivery.urgent == wanted.urgent, _not_handed(now, wanted.lost_s))
            .order_by(OutboxDelivery.delivery_id)
            .limit(wanted.limit)
            .with_for_update(skip_locked=True)
        ).all()
        work.session.execute(
            update(OutboxDelivery)
            .where(OutboxDelivery.delivery_id.in_([row.delivery_id for row in found]))
            .values(handed_at=now)
        )
    return [Handed(row.delivery_id, tried=bool(row.attempts)) for row in found]


def to_hand_over(database: Database, outbox: Outbox, lost_s: float) -> set[tuple[str, bool]]:
    """Return the queues for which something is due that no message is about: name and urgency.

    What was handed over `lost_s` ago counts too: its message may be lost.
    """
    with database.read() as session:
        now = database.clock.now()
        found = session.execute(
            select(OutboxDelivery.subscriber, OutboxDelivery.urgent)
            .where(OutboxDelivery.state == PENDING, is_due(now), _not_handed(now, lost_s))
            .distinct()
        ).all()
    known = outbox.subscribers
    return {(known[row[0]].kind, row[1]) for row in found if row[0] in known}


def _not_handed(now: datetime, lost_s: float) -> ColumnElement[bool]:
    never = OutboxDelivery.handed_at.is_(None)
    lost = OutboxDelivery.handed_at <= now - timedelta(seconds=lost_s)
    return or_(never, lost, OutboxDelivery.handed_at > now + FAR_AHEAD)
