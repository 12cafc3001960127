"""What people see of forwarding, and what they can do: try again, park, release, hold."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dicom_router.forwarding.breaker import Breaker, breaker_state
from dicom_router.forwarding.ledger import Ledger, item_of
from dicom_router.forwarding.model import OPEN_STATES, BreakerState, Item, State
from dicom_router.forwarding.tables import ITEM, ForwardingDestinationRow
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError


@dataclass(frozen=True)
class DestinationView:
    """One destination at a glance. `counts` has every state that is not done.

    `oldest_at` is when the oldest queued instance was queued; `configured` is False for one that
    the settings no longer name.
    """

    name: str
    configured: bool
    breaker: BreakerState
    failures: int
    next_try_at: datetime | None
    held_by: str
    last_error: str
    last_error_at: datetime | None
    last_success_at: datetime | None
    sent_count: int
    sent_bytes: int
    bytes_per_s: int
    counts: Mapping[str, int]
    oldest_at: datetime | None


class ForwardingDesk:
    """Reads the ledger for people; what they decide is written here too."""

    def __init__(self, database: Database, configured: Collection[str]) -> None:
        self._database = database
        self._configured = frozenset(configured)
        self._ledger = Ledger(database)

    def destinations(self) -> list[DestinationView]:
        """Return every destination that is configured or was ever promised something."""
        with self._database.read() as session:
            rows = {row.name: row for row in session.scalars(select(ForwardingDestinationRow))}
            names = sorted({*rows, *self._configured})
            return [self._view(session, name, rows.get(name)) for name in names]

    def destination(self, name: str) -> DestinationView:
        """Return one destination.

        Raises:
            NotFoundError: there is none of this name.
        """
        with self._database.read() as session:
            row = session.get(ForwardingDestinationRow, name)
            if row is None and name not in self._configured:
                raise NotFoundError("forwarding: no such destination")
            return self._view(session, name, row)

    def items(
        self, destination: str, state: str, *, limit: int, after: int | None = None
    ) -> list[Item]:
        """Return rows of one state, the oldest first; `after` continues a page."""
        query = select(ITEM).where(ITEM.c.destination == destination, ITEM.c.state == State(state))
        if after is not None:
            query = query.where(ITEM.c.id > after)
        with self._database.read() as session:
            rows = session.execute(query.order_by(ITEM.c.id).limit(limit)).all()
        return [item_of(row) for row in rows]

    def item(self, item_id: int) -> Item:
        """Return one row; raises NotFoundError."""
        return self._ledger.item(item_id)

    def items_of_instance(self, sop_instance_uid: str) -> list[Item]:
        """Return the rows of one instance, one a destination."""
        query = select(ITEM).where(ITEM.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as session:
            return [item_of(row) for row in session.execute(query.order_by(ITEM.c.destination))]

    def retry(self, item_id: int) -> None:
        """Send a row again now, wherever it stands; one that a worker has in hand stays there.

        Raises:
            NotFoundError: there is none of this number.
        """
        self._ledger.item(item_id)
        self._change([item_id], tuple(set(State) - {State.LEASED}), _owed(self._now()))

    def park(self, item_id: int, by: str, reason: str) -> None:
        """Set a row that waits aside, until somebody sends it again.

        Raises:
            NotFoundError: there is none of this number.
            InvalidValueError: it does not wait any more.
        """
        self._ledger.item(item_id)
        values = {
            "state": State.PARKED,
            "last_status": "parked",
            "last_comment": f"parked by {by}: {reason}"[:200],
        }
        if not self._change([item_id], (State.QUEUED, State.ACCEPTED), values):
            raise InvalidValueError("only an instance that waits can be parked")

    def retry_now(self, destination: str) -> int:
        """Try a destination now, and everything that waits for it; return how many rows."""
        self.destination(destination)
        Breaker(self._database, destination).try_now()
        return self._change_all(destination, State.QUEUED, {"due_at": self._now()})

    def release_parked(self, destination: str) -> int:
        """Send again what is parked for a destination; return how many rows."""
        self.destination(destination)
        return self._change_all(destination, State.PARKED, _owed(self._now()))

    def hold(self, destination: str, by: str) -> None:
        """Send nothing to a destination until it is resumed."""
        self.destination(destination)
        Breaker(self._database, destination).hold(by)

    def resume(self, destination: str) -> None:
        """Send to a destination again."""
        self.destination(destination)
        Breaker(self._database, destination).release()

    def _now(self) -> datetime:
        return self._database.clock.now()

    def _view(
        self, session: Session, name: str, row: ForwardingDestinationRow | None
    ) -> DestinationView:
        counts = dict.fromkeys(OPEN_STATES, 0) | _counts(session, name)
        breaker = breaker_state(row, self._now())
        known = row or ForwardingDestinationRow(
            failures=0, held_by="", last_error="", sent_count=0, sent_bytes=0, bytes_per_s=0
        )
        return DestinationView(
            name=name,
            configured=name in self._configured,
            breaker=breaker,
            failures=known.failures,
            next_try_at=known.due_at if breaker is BreakerState.OPEN else None,
            held_by=known.held_by,
            last_error=known.last_error,
            last_error_at=known.last_error_at,
            last_success_at=known.last_success_at,
            sent_count=known.sent_count,
            sent_bytes=known.sent_bytes,
            bytes_per_s=known.bytes_per_s,
            counts={str(state): count for state, count in counts.items()},
            oldest_at=_oldest(session, name),
        )

    def _change(
        self, item_ids: Sequence[int], states: Iterable[State], values: Mapping[str, Any]
    ) -> int:
        with self._database.unit_of_work() as work:
            changed = work.session.execute(
                update(ITEM)
                .where(ITEM.c.id.in_(item_ids), ITEM.c.state.in_(list(states)))
                .values(**values)
                .returning(ITEM.c.id)
            ).all()
        return len(changed)

    def _change_all(self, destination: str, state: State, values: Mapping[str, Any]) -> int:
        with self._database.unit_of_work() as work:
            changed = work.session.execute(
                update(ITEM)
                .where(ITEM.c.destination == destination, ITEM.c.state == state)
                .values(**values)
                .returning(ITEM.c.id)
            ).all()
        return len(changed)


def study_progress(
    session: Session, study_instance_uids: Collection[str]
) -> dict[str, dict[str, dict[str, int]]]:
    """Return, by study and destination, how many instances stand in each state."""
    query = (
        select(ITEM.c.study_instance_uid, ITEM.c.destination, ITEM.c.state, func.count())
        .where(ITEM.c.study_instance_uid.in_(list(study_instance_uids)))
        .group_by(ITEM.c.study_instance_uid, ITEM.c.destination, ITEM.c.state)
    )
    found: dict[str, dict[str, dict[str, int]]] = {}
    for study, destination, state, count in session.execute(query):
        found.setdefault(study, {}).setdefault(destination, {})[state] = count
    return found


def open_by_site(session: Session, destinations: Collection[str]) -> dict[str, dict[str, int]]:
    """Return, by site, how many rows of these destinations stand in each state not yet done."""
    query = (
        select(ITEM.c.site_id, ITEM.c.state, func.count())
        .where(ITEM.c.destination.in_(list(destinations)), ITEM.c.state.in_(OPEN_STATES))
        .group_by(ITEM.c.site_id, ITEM.c.state)
    )
    found: dict[str, dict[str, int]] = {}
    for site_id, state, count in session.execute(query):
        found.setdefault(site_id, {})[state] = count
    return found


def _counts(session: Session, destination: str) -> dict[State, int]:
    """Count what is not done; what is done may be millions and stands in the destination's row."""
    query = (
        select(ITEM.c.state, func.count())
        .where(ITEM.c.destination == destination, ITEM.c.state.in_(OPEN_STATES))
        .group_by(ITEM.c.state)
    )
    return {State(state): count for state, count in session.execute(query)}


def _oldest(session: Session, destination: str) -> datetime | None:
    """Return when the oldest queued row was queued; the least number is the oldest."""
    first = (
        select(func.min(ITEM.c.id))
        .where(ITEM.c.destination == destination, ITEM.c.state == State.QUEUED)
        .scalar_subquery()
    )
    return session.scalar(select(ITEM.c.queued_at).where(ITEM.c.id == first))


def _owed(now: datetime) -> dict[str, Any]:
    return {
        "state": State.QUEUED,
        "due_at": now,
        "settled_at": None,
        "transaction_uid": "",
        "asked_at": None,
    }
