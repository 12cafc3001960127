"""The circuit breaker of each destination: kept in the database, so that it outlives the process.

A destination that fails is left alone for a while that grows with every failure and has a longest;
then one instance is tried. Another destination never notices.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_router.forwarding.model import (
    LATEST_BREAKER_DUE,
    LONGEST_BREAKER_PAUSE,
    BreakerState,
    breaker_pause,
)
from dicom_router.forwarding.tables import DESTINATION, ForwardingDestinationRow
from hub_kernel.database import Database


@dataclass(frozen=True)
class Delivered:
    """What one association brought a destination: instances, bytes, and how long it took."""

    instances: int
    dataset_bytes: int
    seconds: float


class Breaker:
    """The breaker of one destination."""

    def __init__(self, database: Database, destination: str) -> None:
        self._database = database
        self._clock = database.clock
        self._destination = destination

    def state(self) -> BreakerState:
        """Return whether the destination may be tried now."""
        with self._database.read() as session:
            row = session.get(ForwardingDestinationRow, self._destination)
            return breaker_state(row, self._clock.now())

    def failed(self, reason: str, *, permanent: bool = False) -> None:
        """Leave the destination alone for a while: the longest one if it says no for good."""
        now = self._clock.now()
        with self._database.unit_of_work() as work:
            row = destination_row(work.session, self._destination)
            row.failures += 1
            pause = LONGEST_BREAKER_PAUSE if permanent else breaker_pause(row.failures)
            row.due_at = now + pause
            row.last_error = reason[:200]
            row.last_error_at = now

    def succeeded(self, session: Session, delivered: Delivered) -> None:
        """Close the breaker and add to what was delivered, in the caller's transaction."""
        row = destination_row(session, self._destination)
        values: dict[str, Any] = {
            "failures": 0,
            "due_at": None,
            "last_success_at": self._clock.now(),
            "sent_count": DESTINATION.c.sent_count + delivered.instances,
            "sent_bytes": DESTINATION.c.sent_bytes + delivered.dataset_bytes,
        }
        if delivered.seconds > 0 and delivered.dataset_bytes:
            values["bytes_per_s"] = round(delivered.dataset_bytes / delivered.seconds)
        session.flush()
        session.execute(update(DESTINATION).where(DESTINATION.c.name == row.name).values(**values))

    def try_now(self) -> None:
        """Forget the pause: a person says that the destination is back."""
        with self._database.unit_of_work() as work:
            row = destination_row(work.session, self._destination)
            row.due_at = self._clock.now() if row.failures else None

    def hold(self, by: str) -> None:
        """Send nothing there until it is released; what comes is queued."""
        with self._database.unit_of_work() as work:
            row = destination_row(work.session, self._destination)
            row.held, row.held_by = True, by[:200]

    def release(self) -> None:
        """Send there again."""
        with self._database.unit_of_work() as work:
            row = destination_row(work.session, self._destination)
            row.held, row.held_by = False, ""


def breaker_state(row: ForwardingDestinationRow | None, now: datetime) -> BreakerState:
    """Return the state that a row of the table stands for; without a row it is closed."""
    if row is None:
        return BreakerState.CLOSED
    if row.held:
        return BreakerState.HELD
    if not row.failures or row.due_at is None:
        return BreakerState.CLOSED
    paused = now < row.due_at <= now + LATEST_BREAKER_DUE
    return BreakerState.OPEN if paused else BreakerState.PROBING


def destination_row(session: Session, name: str) -> ForwardingDestinationRow:
    """Return the row of a destination to be changed, made where there is none."""
    row = session.scalars(
        select(ForwardingDestinationRow)
        .where(ForwardingDestinationRow.name == name)
        .with_for_update()
    ).first()
    if row is None:
        row = ForwardingDestinationRow(
            name=name,
            failures=0,
            held=False,
            held_by="",
            last_error="",
            sent_count=0,
            sent_bytes=0,
            bytes_per_s=0,
        )
        session.add(row)
        session.flush()
    return row
