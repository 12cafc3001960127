"""How far the audit trail was shipped: a durable cursor, moved only past what was received.

One process ships to a destination at a time: whoever holds the cursor. A holder that died lets go
by itself after a while; what it had sent without saying so is sent again.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from access_control.audit_message import AuditRecord, record_of
from access_control.tables import AuditRecordRow
from access_control.tables_trust import AuditCursorRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database


@dataclass(frozen=True)
class StoredRecord:
    """A record to be shipped; `record` is None when what is stored cannot be read any more."""

    sequence: int
    recorded_at: datetime | None
    record: AuditRecord | None


@dataclass(frozen=True)
class Lag:
    """How many records wait, and for how long the oldest of them has."""

    records: int
    seconds: float


class AuditCursor:
    """The cursor of one destination, in the database of the trail itself."""

    def __init__(
        self, database: Database, clock: Clock, destination: str, hold_s: float = 300.0
    ) -> None:
        self._database = database
        self._clock = clock
        self._destination = destination
        self._hold = timedelta(seconds=hold_s)
        self._holder = str(uuid.uuid4())

    def hold(self) -> int | None:
        """Take the cursor and return the last sequence received; None while another holds it."""
        now = self._clock.now()
        with self._database.unit_of_work() as work:
            self._begin(work.session, now)
            taken = work.session.execute(
                update(AuditCursorRow)
                .where(
                    AuditCursorRow.destination == self._destination,
                    (AuditCursorRow.held_until <= now) | (AuditCursorRow.held_by == self._holder),
                )
                .values(held_by=self._holder, held_until=now + self._hold)
                .returning(AuditCursorRow.sequence)
            )
            return taken.scalar_one_or_none()

    def move(self, sequence: int) -> bool:
        """Say that everything up to `sequence` was received; durable on return.

        False when another has taken the cursor meanwhile: it goes on from where it stood.
        """
        now = self._clock.now()
        with self._database.unit_of_work() as work:
            moved = work.session.execute(
                update(AuditCursorRow)
                .where(
                    AuditCursorRow.destination == self._destination,
                    AuditCursorRow.held_by == self._holder,
                    AuditCursorRow.sequence < sequence,
                )
                .values(sequence=sequence, shipped_at=now, held_until=now + self._hold)
                .returning(AuditCursorRow.sequence)
            )
            return moved.scalar_one_or_none() is not None

    def release(self) -> None:
        """Let another process take over at once."""
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(AuditCursorRow)
                .where(
                    AuditCursorRow.destination == self._destination,
                    AuditCursorRow.held_by == self._holder,
                )
                .values(held_by="", held_until=self._clock.now())
            )

    def records_after(self, sequence: int, limit: int) -> list[StoredRecord]:
        """Return up to `limit` records behind `sequence`, in order."""
        with self._database.read() as session:
            rows = session.execute(
                select(AuditRecordRow.sequence, AuditRecordRow.message)
                .where(AuditRecordRow.sequence > sequence)
                .order_by(AuditRecordRow.sequence)
                .limit(limit)
            )
            return [_stored(number, message) for number, message in rows]

    def lag(self) -> Lag:
        """Return what waits to be received."""
        with self._database.read() as session:
            row = session.get(AuditCursorRow, self._destination)
            received = row.sequence if row else 0
            last = session.scalar(select(func.max(AuditRecordRow.sequence))) or 0
            oldest = session.scalar(
                select(AuditRecordRow.recorded_at)
                .where(AuditRecordRow.sequence > received)
                .order_by(AuditRecordRow.sequence)
                .limit(1)
            )
        if oldest is None:
            return Lag(0, 0.0)
        waited = (self._clock.now() - oldest).total_seconds()
        return Lag(last - received, max(waited, 0.0))

    def _begin(self, session: Session, now: datetime) -> None:
        if session.get(AuditCursorRow, self._destination) is not None:
            return
        try:
            with session.begin_nested():
                session.add(
                    AuditCursorRow(
                        destination=self._destination,
                        sequence=0,
                        shipped_at=None,
                        held_by="",
                        held_until=now,
                    )
                )
        except IntegrityError:  # another process began in this very moment
            pass


def _stored(sequence: int, message: object) -> StoredRecord:
    """Read one record; tampering with one must not keep those behind it from being shipped."""
    try:
        record = record_of(str(message))
    except (ValueError, KeyError, TypeError):
        return StoredRecord(sequence, None, None)
    return StoredRecord(sequence, record.recorded_at, record)
