"""Transactional outbox: an event and what it causes can never be separated by a crash.

An event row and one delivery row per subscriber are written in the transaction that made the event
true. A task engine then carries each delivery at least once; the tables, not the engine, are the
truth.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from hub_kernel.database import Base, Database, UtcDateTime
from hub_kernel.events import Event, decode_event, encode_event

PENDING = "pending"
PARKED = "parked"
_BACKOFF_CAP_S = 300.0
# Farther ahead than any lease or delay: written by a clock that has been set back since.
_FAR_AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Subscriber:
    """A named reaction to one type of event.

    `handle` opens its own units of work and must be idempotent: it can be called again with the
    same event after a crash. Raising means "try again later"; after `attempts` it is parked for a
    person, with the reason. `heavy` work (rendering) never stands in the way of quick work. Of
    events written together `news` returns those the subscriber must be told, all without it: for
    reactions to which most of a thousand events say nothing new.
    """

    name: str
    event_type: type[Event]
    handle: Callable[[Any], None]
    attempts: int = 12
    heavy: bool = False
    news: Callable[[Sequence[Any]], Iterable[Any]] | None = None

    def owed(self, occurred: Sequence[Event]) -> Iterable[Event]:
        """Return what of the events written together is to be delivered."""
        concerned = [one for one in occurred if isinstance(one, self.event_type)]
        return self.news(concerned) if self.news and concerned else concerned


class OutboxEvent(Base):
    """One published event."""

    __tablename__ = "outbox_event"

    event_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class OutboxDelivery(Base):
    """One event still owed to one subscriber; the row goes when the subscriber is done."""

    __tablename__ = "outbox_delivery"
    __table_args__ = (Index("ix_outbox_delivery_due", "state", "due_at", "delivery_id"),)

    delivery_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("outbox_event.event_id"), index=True)
    subscriber: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(10), default=PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str] = mapped_column(String(200), default="")
    reason: Mapped[str] = mapped_column(Text, default="")


_OWED = select(
    OutboxDelivery.delivery_id,
    OutboxDelivery.subscriber,
    OutboxDelivery.attempts,
    OutboxEvent.kind,
    OutboxEvent.payload,
).join(OutboxEvent)
_INSERT_EVENT = insert(OutboxEvent.__table__)  # type: ignore[arg-type]
_INSERT_DELIVERY = insert(OutboxDelivery.__table__)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Delivery:
    """A claimed delivery: nobody else carries it until its lease runs out."""

    delivery_id: int
    subscriber: str
    attempts: int
    event: Event


@dataclass(frozen=True)
class Claim:
    """What a worker asks for. `heavy` None means both quick and heavy work."""

    worker: str
    limit: int = 64
    lease_s: float = 600.0
    heavy: bool | None = None

    def takes(self, subscriber: Subscriber) -> bool:
        """Tell whether this claim is for that subscriber's deliveries."""
        return self.heavy is None or self.heavy == subscriber.heavy


@dataclass(frozen=True)
class OutboxStatus:
    """How much is owed, and since when."""

    pending: int
    parked: int
    oldest_occurred_at: datetime | None


class Outbox:
    """Writes events with their deliveries, hands deliveries out under a lease, settles them.

    Every process of a hub is built with the same `subscribers`, whether it delivers or not: the
    deliveries are written by whoever publishes.
    """

    def __init__(self, subscribers: Iterable[Subscriber] = ()) -> None:
        self.subscribers: dict[str, Subscriber] = {}
        for subscriber in subscribers:
            self.subscribe(subscriber)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; only while the hub is being wired."""
        if subscriber.name in self.subscribers:
            raise ValueError(f"two subscribers are called {subscriber.name}")
        self.subscribers[subscriber.name] = subscriber

    def write(self, session: Session, occurred: Sequence[Event]) -> set[type[Event]]:
        """Record the events and what is owed for them, in the caller's transaction.

        Returns the types of those that somebody is owed; the others are not written.
        """
        names: dict[str, list[str]] = {}
        for subscriber in self.subscribers.values():
            for one in subscriber.owed(occurred):
                names.setdefault(one.event_id, []).append(subscriber.name)
        written = [one for one in occurred if one.event_id in names]
        if written:
            # On the connection, with prepared inserts: this runs for every instance received.
            connection = session.connection()
            connection.execute(_INSERT_EVENT, [_event_values(one) for one in written])
            connection.execute(
                _INSERT_DELIVERY,
                [_delivery_values(one, name) for one in written for name in names[one.event_id]],
            )
        return {type(one) for one in written}

    def claim(self, database: Database, wanted: Claim) -> list[Delivery]:
        """Take due deliveries, oldest first; they are ours until the lease runs out.

        A worker that dies lets its lease run out, or loses it at the next start on its machine
        (`release_dead`).
        """
        names = [s.name for s in self.subscribers.values() if wanted.takes(s)]
        if not self._something_is_due(database, names):
            return []
        with database.unit_of_work() as work:
            now = work.clock.now()
            due = work.session.execute(
                _OWED.where(OutboxDelivery.state == PENDING, _is_due(now))
                .where(OutboxDelivery.subscriber.in_(names))
                .order_by(OutboxDelivery.delivery_id)
                .limit(wanted.limit)
                .with_for_update(skip_locked=True, of=OutboxDelivery)
            ).all()
            work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id.in_([row.delivery_id for row in due]))
                .values(
                    due_at=now + timedelta(seconds=wanted.lease_s),
                    claimed_by=wanted.worker,
                    attempts=OutboxDelivery.attempts + 1,
                )
                .execution_options(synchronize_session=False)
            )
        return [
            Delivery(
                delivery_id=row.delivery_id,
                subscriber=row.subscriber,
                attempts=row.attempts + 1,
                event=decode_event(row.kind, row.payload),
            )
            for row in due
        ]

    def settle(self, database: Database, done: Iterable[int]) -> None:
        """Forget deliveries whose subscribers have done their work."""
        with database.unit_of_work() as work:
            work.session.execute(
                delete(OutboxDelivery).where(OutboxDelivery.delivery_id.in_(list(done)))
            )

    def postpone(self, database: Database, delivery: Delivery, reason: str) -> bool:
        """Put a failed delivery back with growing delay, or park it; tell whether it was parked."""
        parked = delivery.attempts >= self.subscribers[delivery.subscriber].attempts
        delay_s = min(_BACKOFF_CAP_S, 0.5 * 2 ** min(delivery.attempts, 10))
        with database.unit_of_work() as work:
            work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id == delivery.delivery_id)
                .values(
                    state=PARKED if parked else PENDING,
                    claimed_by="",
                    due_at=work.clock.now() + timedelta(seconds=delay_s * random.uniform(0.8, 1.2)),  # noqa: S311 (jitter)
                    reason=reason[:2000],
                )
            )
        return parked

    def status(self, session: Session) -> OutboxStatus:
        """Return how much is owed."""
        by_state = select(OutboxDelivery.state, func.count()).group_by(OutboxDelivery.state)
        counts = {row[0]: row[1] for row in session.execute(by_state)}
        oldest = session.scalar(
            select(func.min(OutboxEvent.occurred_at))
            .join(OutboxDelivery)
            .where(OutboxDelivery.state == PENDING)
        )
        return OutboxStatus(counts.get(PENDING, 0), counts.get(PARKED, 0), oldest)

    def purge(self, database: Database, *, limit: int = 5000) -> int:
        """Delete events that nobody is owed any more; return how many."""
        with database.read() as session:
            stale = session.scalars(
                select(OutboxEvent.event_id)
                .outerjoin(OutboxDelivery)
                .where(OutboxDelivery.delivery_id.is_(None))
                .limit(limit)
            ).all()
        for start in range(0, len(stale), 500):
            with database.unit_of_work() as work:
                work.session.execute(
                    delete(OutboxEvent).where(OutboxEvent.event_id.in_(stale[start : start + 500]))
                )
        return len(stale)

    def release_dead(self, database: Database, is_dead: Callable[[str], bool]) -> int:
        """Make deliveries of dead workers due again; `is_dead` judges a worker's name."""
        with database.unit_of_work() as work:
            claimed = work.session.scalars(
                select(OutboxDelivery.claimed_by)
                .where(OutboxDelivery.claimed_by != "", OutboxDelivery.state == PENDING)
                .distinct()
            ).all()
            dead = [worker for worker in claimed if is_dead(worker)]
            released = work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.claimed_by.in_(dead), OutboxDelivery.state == PENDING)
                .values(due_at=work.clock.now(), claimed_by="")
                .returning(OutboxDelivery.delivery_id)
            ).all()
        return len(released)

    def _something_is_due(self, database: Database, names: list[str]) -> bool:
        """Look without a write lock: an idle worker must not disturb the receive path."""
        with database.read() as session:
            return (
                session.scalar(
                    select(OutboxDelivery.delivery_id)
                    .where(
                        OutboxDelivery.state == PENDING,
                        _is_due(database.clock.now()),
                        OutboxDelivery.subscriber.in_(names),
                    )
                    .limit(1)
                )
                is not None
            )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(OutboxDelivery.due_at <= now, OutboxDelivery.due_at > now + _FAR_AHEAD)


def _event_values(occurred: Event) -> dict[str, Any]:
    return {
        "event_id": occurred.event_id,
        "kind": type(occurred).__name__,
        "payload": encode_event(occurred),
        "occurred_at": occurred.occurred_at,
    }


def _delivery_values(occurred: Event, subscriber: str) -> dict[str, Any]:
    return {
        "event_id": occurred.event_id,
        "subscriber": subscriber,
        "state": PENDING,
        "attempts": 0,
        "due_at": occurred.occurred_at,
        "claimed_by": "",
        "reason": "",
    }
