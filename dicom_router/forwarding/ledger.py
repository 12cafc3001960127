"""The ledger of forwarding: promises in, leases out, results in. Every change is one transaction.

Results are written by whoever knows them: that a destination took an instance is true whoever holds
the lease by now; a failure counts only while the lease is the reporter's own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from dicom_router.forwarding.breaker import destination_row
from dicom_router.forwarding.model import (
    LATEST_ROW_DUE,
    Claim,
    Item,
    Promise,
    Result,
    State,
    row_pause,
)
from dicom_router.forwarding.tables import ITEM
from dicom_router.forwarding.verdicts import Verdict
from dicom_router.routing.model import Priority
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

_VALUES_PER_QUERY = 500
# A lease that begins later than this after "now" was written before the clock was set back.
_CLOCK_TOLERANCE = timedelta(minutes=1)
INTERRUPTED = "the hub ended while it was being sent"


class Ledger:
    """Reads and writes the rows. Safe from many threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = database.clock

    def promise(self, session: Session, promises: Iterable[Promise]) -> list[int]:
        """Add what is promised and not in the ledger yet, in the caller's transaction.

        A row whose instance has other bytes by now is owed again. Returns the rows added or owed
        again; the same promise a second time changes nothing.
        """
        touched: list[int] = []
        for promise in promises:
            held = session.execute(
                select(ITEM.c.id, ITEM.c.dataset_sha256).where(
                    ITEM.c.sop_instance_uid == promise.sop_instance_uid,
                    ITEM.c.destination == promise.destination,
                )
            ).first()
            if held is None:
                touched.append(self._add(session, promise))
            elif held.dataset_sha256 != promise.dataset_sha256:
                session.execute(update(ITEM).where(ITEM.c.id == held.id).values(self._new(promise)))
                touched.append(held.id)
        return touched

    def is_due(self, claim: Claim) -> bool:
        """Tell whether there is something to claim, without a write lock.

        An idle worker must not disturb the receive path.
        """
        now = self._clock.now()
        with self._database.read() as session:
            return any(
                session.scalar(kind.with_only_columns(ITEM.c.id).limit(1)) is not None
                for kind in (_run_out(claim, now), _waiting(claim, now))
            )

    def claim(self, claim: Claim) -> list[Item]:
        """Take what is due, the most urgent first and then the oldest; it is the claimer's own.

        A dead worker's leases run out, or are taken back at the next start (`release_dead`).
        """
        now = self._clock.now()
        with self._database.unit_of_work() as work:
            found: list[Row[Any]] = []
            for kind in (_run_out(claim, now), _waiting(claim, now)):
                some = kind.limit(claim.limit - len(found)).with_for_update(skip_locked=True)
                found += work.session.execute(some).all()
            rows = _within(found, claim.limit_bytes)
            work.session.execute(
                update(ITEM)
                .where(ITEM.c.id.in_([row.id for row in rows]))
                .values(
                    state=State.LEASED,
                    lease_owner=claim.owner,
                    leased_at=now,
                    lease_until=now + timedelta(seconds=claim.lease_s),
                )
            )
        return [item_of(row) for row in rows]

    def schedules(self, destination: str) -> list[str]:
        """Return the schedules of what the destination is owed."""
        query = (
            select(ITEM.c.schedule)
            .where(ITEM.c.destination == destination, ITEM.c.state == State.QUEUED)
            .distinct()
        )
        with self._database.read() as session:
            return list(session.scalars(query))

    def something_urgent(self, destination: str) -> bool:
        """Tell whether an emergency waits for the destination and could go now."""
        now = self._clock.now()
        query = (
            select(ITEM.c.id)
            .where(ITEM.c.destination == destination, ITEM.c.state == State.QUEUED)
            .where(ITEM.c.priority == Priority.EMERGENCY, ITEM.c.due_at <= now)
            .limit(1)
        )
        with self._database.read() as session:
            return session.scalar(query) is not None

    def record(
        self, session: Session, owner: str, results: Sequence[Result], *, committing: bool
    ) -> None:
        """Write what became of leased rows. `committing`: what is taken awaits its commitment."""
        for result in results:
            if result.verdict in {Verdict.ACCEPTED, Verdict.NOTED}:
                self._taken(session, result, committing=committing)
            else:
                self._not_taken(session, owner, result)

    def give_back(self, owner: str, item_ids: Sequence[int]) -> None:
        """Return rows that were leased and not tried."""
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(ITEM)
                .where(ITEM.c.id.in_(item_ids), *_own(owner))
                .values(state=State.QUEUED, **_NO_LEASE)
            )

    def extend(self, owner: str, item_ids: Sequence[int], lease_s: float) -> None:
        """Keep the leases of a batch that takes long."""
        until = self._clock.now() + timedelta(seconds=lease_s)
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(ITEM).where(ITEM.c.id.in_(item_ids), *_own(owner)).values(lease_until=until)
            )

    def release_dead(self, destinations: Iterable[str], is_dead: Callable[[str], bool]) -> int:
        """Take back what dead workers held, at start-up; return how many rows."""
        leased = and_(ITEM.c.destination.in_(list(destinations)), ITEM.c.state == State.LEASED)
        with self._database.unit_of_work() as work:
            owners = work.session.scalars(select(ITEM.c.lease_owner).where(leased).distinct()).all()
            released = work.session.execute(
                update(ITEM)
                .where(leased, ITEM.c.lease_owner.in_([one for one in owners if is_dead(one)]))
                .values(
                    state=State.QUEUED,
                    attempts=ITEM.c.attempts + 1,
                    due_at=self._clock.now(),
                    last_comment=INTERRUPTED,
                    **_NO_LEASE,
                )
                .returning(ITEM.c.id)
            ).all()
        return len(released)

    def item(self, item_id: int) -> Item:
        """Return one row.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self._database.read() as session:
            row = session.execute(select(ITEM).where(ITEM.c.id == item_id)).first()
        if row is None:
            raise NotFoundError("forwarding: no such row")
        return item_of(row)

    def items_of(self, study_instance_uid: str, destination: str | None = None) -> list[Item]:
        """Return the rows of a study."""
        query = select(ITEM).where(ITEM.c.study_instance_uid == study_instance_uid)
        if destination is not None:
            query = query.where(ITEM.c.destination == destination)
        with self._database.read() as session:
            return [item_of(row) for row in session.execute(query.order_by(ITEM.c.id))]

    def _add(self, session: Session, promise: Promise) -> int:
        # Two deliveries of one event at the same moment collide on the unique index: the later one
        # fails, is delivered again, and finds the row.
        new = insert(ITEM).values(self._new(promise)).returning(ITEM.c.id)
        added: int = session.execute(new).scalar_one()
        # A destination must be seen even after the settings have forgotten it.
        destination_row(session, promise.destination)
        return added

    def _new(self, promise: Promise) -> dict[str, Any]:
        now = self._clock.now()
        return asdict(promise) | {
            "state": State.QUEUED,
            "attempts": 0,
            "due_at": now,
            "last_status": "",
            "last_comment": "",
            "sent_syntax_uid": "",
            "queued_at": now,
            "last_attempt_at": None,
            "settled_at": None,
            "transaction_uid": "",
            "asked_at": None,
            **_NO_LEASE,
        }

    def _taken(self, session: Session, result: Result, *, committing: bool) -> None:
        now = self._clock.now()
        session.execute(
            update(ITEM)
            .where(ITEM.c.id == result.item_id, ITEM.c.state.in_([State.QUEUED, State.LEASED]))
            .values(
                state=State.ACCEPTED if committing else State.SENT,
                attempts=ITEM.c.attempts + 1,
                last_attempt_at=now,
                settled_at=None if committing else now,
                last_status=result.status,
                last_comment=result.comment[:200],
                sent_syntax_uid=result.sent_syntax_uid,
                **_NO_LEASE,
            )
        )

    def _not_taken(self, session: Session, owner: str, result: Result) -> None:
        now = self._clock.now()
        attempts = session.scalar(select(ITEM.c.attempts).where(ITEM.c.id == result.item_id)) or 0
        parked = result.verdict is Verdict.PARK
        session.execute(
            update(ITEM)
            .where(ITEM.c.id == result.item_id, *_own(owner))
            .values(
                state=State.PARKED if parked else State.QUEUED,
                attempts=attempts + 1,
                last_attempt_at=now,
                due_at=now if parked else now + row_pause(attempts + 1),
                last_status=result.status,
                last_comment=result.comment[:200],
                **_NO_LEASE,
            )
        )


_NO_LEASE: dict[str, Any] = {"lease_owner": "", "leased_at": None, "lease_until": None}


def item_of(row: Row[Any]) -> Item:
    """Return the record of a whole row."""
    values = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's name for a public thing)
    values["item_id"], values["state"] = values.pop("id"), State(values["state"])
    return Item(**{name: values[name] for name in Item.__dataclass_fields__})


def _waiting(claim: Claim, now: datetime) -> Select[Any]:
    """Return what is queued and due; the index has it in this order."""
    due = or_(ITEM.c.due_at <= now, ITEM.c.due_at > now + LATEST_ROW_DUE)
    return _of(claim, State.QUEUED).where(due, ITEM.c.schedule.in_(claim.schedules))


def _run_out(claim: Claim, now: datetime) -> Select[Any]:
    """Return what somebody leased and has not settled in time."""
    return _of(claim, State.LEASED).where(
        or_(ITEM.c.lease_until <= now, ITEM.c.leased_at > now + _CLOCK_TOLERANCE)
    )


def _of(claim: Claim, state: State) -> Select[Any]:
    query = select(ITEM).where(ITEM.c.destination == claim.destination, ITEM.c.state == state)
    if claim.most_urgent_only:
        query = query.where(ITEM.c.priority == Priority.EMERGENCY)
    return query.order_by(ITEM.c.priority, ITEM.c.id)


def _within(rows: Sequence[Row[Any]], limit_bytes: int) -> list[Row[Any]]:
    """Return the first rows, up to so many bytes; one at least."""
    taken: list[Row[Any]] = []
    room = limit_bytes
    for row in rows:
        room -= row.dataset_bytes
        if taken and room < 0:
            break
        taken.append(row)
    return taken


def _own(owner: str) -> tuple[ColumnElement[bool], ...]:
    return (ITEM.c.state == State.LEASED, ITEM.c.lease_owner == owner)
