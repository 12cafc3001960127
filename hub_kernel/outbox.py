"""Transactional outbox: an event and what it causes can never be separated by a crash.

An event row and one delivery row per subscriber are written in the transaction that made the event
true. A task engine then carries each delivery at least once; the tables, not the engine, are the
truth.

A delivery is claimed for a lease, which its worker extends while it works. A worker that dies lets
its leases run out; that was an attempt like one that raised. What was tried before is handed out
alone: a delivery that kills its worker takes no other with it twice.
"""

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.events import Event, decode_event, encode_event
from hub_kernel.outbox_tables import PARKED, PENDING, OutboxDelivery, OutboxEvent, is_due

log = logging.getLogger(__name__)

LEASE_S = 60.0
_BACKOFF_CAP_S = 300.0
_ENDED = "its worker ended while delivering it"


@dataclass(frozen=True)
class Subscriber:
    """A named reaction to one type of event.

    `handle` opens its own units of work and must be idempotent: it can be called again with the
    same event after a crash. Raising means "try again later"; after `attempts` it is parked for a
    person, with the reason. `heavy` work (rendering) never stands in the way of quick work. Of
    events written together `news` returns those the subscriber must be told, all without it: for
    reactions to which most of a thousand events say nothing new. `queue` names its kind of
    work, where an engine keeps several apart.
    """

    name: str
    event_type: type[Event]
    handle: Callable[[Any], None]
    attempts: int = 12
    heavy: bool = False
    queue: str = ""
    news: Callable[[Sequence[Any]], Iterable[Any]] | None = None

    @property
    def kind(self) -> str:
        """The kind of work: as named, or by its weight."""
        return self.queue or ("rendering" if self.heavy else "following")

    def owed(self, occurred: Sequence[Event]) -> Iterable[Event]:
        """Return what of the events written together is to be delivered."""
        concerned = [one for one in occurred if isinstance(one, self.event_type)]
        return self.news(concerned) if self.news and concerned else concerned


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
    kind: str
    payload: str
    worker: str

    @property
    def is_again(self) -> bool:
        """Whether it was tried before."""
        return self.attempts > 1

    @property
    def event(self) -> Event:
        """What is delivered.

        Raises:
            KeyError, ValueError: this version of the hub does not know such an event.
        """
        return decode_event(self.kind, self.payload)


@dataclass(frozen=True)
class Claim:
    """What a worker asks for.

    `heavy` None means both quick and heavy work; `urgent_only` means emergencies alone; of `only`,
    where there is any, those that are due are wanted.
    """

    worker: str
    limit: int = 64
    lease_s: float = LEASE_S
    heavy: bool | None = None
    urgent_only: bool = False
    only: tuple[int, ...] | None = None

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
        """Take due deliveries, urgent and old ones first; they are ours until the lease runs out.

        Of several that ask at once each gets others. A worker that dies lets its leases run out, or
        loses them at the next start on its machine (`release_dead`); what has killed its workers as
        often as its subscriber may fail is parked.
        """
        asked = self._asked(wanted)
        if not self._somethingis_due(database, asked):
            return []
        with database.unit_of_work() as work:
            now = work.clock.now()
            due = self._without_killers(work.session, _due(work.session, now, asked, wanted.limit))
            # What was tried before goes alone: it may be what ended its worker.
            due = due[:1] if due and due[0].attempts else [row for row in due if not row.attempts]
            work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id.in_([row.delivery_id for row in due]))
                .values(
                    due_at=now + timedelta(seconds=wanted.lease_s),
                    claimed_by=wanted.worker,
                    attempts=OutboxDelivery.attempts + 1,
                    handed_at=None,
                )
                .execution_options(synchronize_session=False)
            )
        return [
            Delivery(
                delivery_id=row.delivery_id,
                subscriber=row.subscriber,
                attempts=row.attempts + 1,
                kind=row.kind,
                payload=row.payload,
                worker=wanted.worker,
            )
            for row in due
        ]

    def extend(self, database: Database, worker: str, held: Iterable[int]) -> None:
        """Keep the leases of deliveries that `worker` is still at."""
        with database.unit_of_work() as work:
            work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id.in_(list(held)))
                .where(OutboxDelivery.claimed_by == worker)
                .values(due_at=work.clock.now() + timedelta(seconds=LEASE_S))
            )

    def settle(self, database: Database, done: Iterable[int]) -> None:
        """Forget deliveries whose subscribers have done their work."""
        with database.unit_of_work() as work:
            work.session.execute(
                delete(OutboxDelivery).where(OutboxDelivery.delivery_id.in_(list(done)))
            )

    def postpone(self, database: Database, delivery: Delivery, reason: str) -> bool:
        """Put a failed delivery back with growing delay, or park it; tell whether it was parked."""
        parked = delivery.attempts >= self.subscribers[delivery.subscriber].attempts
        with database.unit_of_work() as work:
            work.session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id == delivery.delivery_id)
                # Whose lease has run out has nothing to say any more.
                .where(OutboxDelivery.claimed_by == delivery.worker)
                .values(
                    state=PARKED if parked else PENDING,
                    claimed_by="",
                    due_at=work.clock.now() + _delay(delivery.attempts),
                    reason=reason[:2000],
                )
            )
        return parked

    def status(self, session: Session) -> OutboxStatus:
        """Return how much is owed."""
        by_state = select(OutboxDelivery.state, func.count()).group_by(OutboxDelivery.state)
        counts = {row[0]: row[1] for row in session.execute(by_state)}
        first = select(func.min(OutboxDelivery.delivery_id)).where(OutboxDelivery.state == PENDING)
        oldest = session.scalar(
            select(OutboxEvent.occurred_at)
            .join(OutboxDelivery)
            .where(OutboxDelivery.delivery_id == first.scalar_subquery())
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
        """Make deliveries of dead workers due again; `is_dead` judges a worker's name.

        The first time at once; what has ended several workers waits longer each time.
        """
        with database.unit_of_work() as work:
            held = work.session.execute(
                select(
                    OutboxDelivery.delivery_id, OutboxDelivery.claimed_by, OutboxDelivery.attempts
                ).where(OutboxDelivery.claimed_by != "", OutboxDelivery.state == PENDING)
            ).all()
            dead = {worker for worker in {row.claimed_by for row in held} if is_dead(worker)}
            released = [row for row in held if row.claimed_by in dead]
            now = work.clock.now()
            for row in released:
                work.session.execute(
                    update(OutboxDelivery)
                    .where(OutboxDelivery.delivery_id == row.delivery_id)
                    .where(OutboxDelivery.claimed_by == row.claimed_by)
                    .values(
                        due_at=now if row.attempts <= 1 else now + _delay(row.attempts),
                        claimed_by="",
                        reason=_ENDED,
                    )
                )
        return len(released)

    def _asked(self, wanted: Claim) -> list[ColumnElement[bool]]:
        names = [s.name for s in self.subscribers.values() if wanted.takes(s)]
        asked: list[ColumnElement[bool]] = [OutboxDelivery.subscriber.in_(names)]
        if wanted.urgent_only:
            asked.append(OutboxDelivery.urgent.is_(True))
        if wanted.only is not None:
            asked.append(OutboxDelivery.delivery_id.in_(wanted.only))
        return asked

    def _without_killers(self, session: Session, found: Sequence[Any]) -> list[Any]:
        """Park what has been tried as often as may be and never came back with a reason."""
        over = [row for row in found if row.attempts >= self.subscribers[row.subscriber].attempts]
        if over:
            session.execute(
                update(OutboxDelivery)
                .where(OutboxDelivery.delivery_id.in_([row.delivery_id for row in over]))
                .values(state=PARKED, claimed_by="", reason=_ENDED)
                .execution_options(synchronize_session=False)
            )
            for row in over:
                log.error(
                    "delivery parked",
                    extra={"subscriber": row.subscriber, "event": row.kind, "reason": _ENDED},
                )
        return [row for row in found if row not in over]

    def _somethingis_due(self, database: Database, asked: list[ColumnElement[bool]]) -> bool:
        """Look without a write lock: an idle worker must not disturb the receive path."""
        with database.read() as session:
            return (
                session.scalar(
                    select(OutboxDelivery.delivery_id)
                    .where(
                        OutboxDelivery.state == PENDING,
                        is_due(database.clock.now()),
                        *asked,
                    )
                    .limit(1)
                )
                is not None
            )


def _due(
    session: Session, now: datetime, asked: Sequence[ColumnElement[bool]], limit: int
) -> list[Any]:
    """Return what is due and nobody else is claiming now, in the order of the index."""
    found: list[Any] = []
    for urgent in (True, False):
        some = (
            _OWED.where(OutboxDelivery.state == PENDING, OutboxDelivery.urgent == urgent)
            .where(is_due(now), *asked)
            .order_by(OutboxDelivery.delivery_id)
            .limit(limit - len(found))
            .with_for_update(skip_locked=True, of=OutboxDelivery)
        )
        found += session.execute(some).all()
    return found


def _delay(attempts: int) -> timedelta:
    delay_s = min(_BACKOFF_CAP_S, 0.5 * 2 ** min(attempts, 10))
    return timedelta(seconds=delay_s * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)


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
        "urgent": occurred.is_urgent,
        "handed_at": None,
    }
