"""Break-glass: in an emergency a reader opens the record of one person without a right to it.

It wants a reason, lasts an hour, is on record in the transaction that opens it, and waits until
somebody else has reviewed it. What it opens is a row of `policy.GRANTS`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from access_control.errors import InvalidBreakGlassError, TooManyOpenError
from access_control.model import Subject, SubjectKind
from access_control.tables_break_glass import BrokenGlassRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

log = logging.getLogger(__name__)

LASTS = timedelta(minutes=60)
MOST_OPEN = 5
"""How many people's records one reader may hold open at a time."""
SHORTEST_TEXT, LONGEST_TEXT = 2, 400
_CLOSED_AT_ONCE = 200

OnRecord = Callable[[Session, "BrokenGlass"], object]
"""Puts on record what is done, in the transaction that does it."""


class Verdict(StrEnum):
    """What a reviewer finds."""

    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"


@dataclass(frozen=True)
class BrokenGlass:
    """One emergency: who opened whose record, from where, why and until when.

    `closed_by` is empty where the hour ran out. `verdict` is None until it is reviewed. Texts name
    no patient.
    """

    glass_id: int
    user_id: str
    display: str
    global_id: str
    reason: str
    address: str
    opened_at: datetime
    ends_at: datetime
    closed_at: datetime | None = None
    closed_by: str = ""
    verdict: Verdict | None = None
    note: str = ""
    reviewed_by: str = ""
    reviewed_at: datetime | None = None


@dataclass(frozen=True)
class Emergency:
    """What a reader says to open a record: who from where, whose, and why."""

    reader: Subject
    global_id: str
    reason: str
    address: str


@dataclass(frozen=True)
class Review:
    """A reviewer's verdict on one emergency, and why."""

    glass_id: int
    by: str
    verdict: Verdict
    note: str


class BreakGlass:
    """Emergencies in the database: every process of the hub knows one from its commit on."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(self, emergency: Emergency, on_record: OnRecord) -> BrokenGlass:
        """Open the person's record to the reader for an hour; it is open when this returns.

        What the reader has open already stays as it is, and its hour does not begin again.

        Raises:
            InvalidBreakGlassError: no reason, or not a signed-in person.
            TooManyOpenError: as many as the reader may hold open are open.
        """
        reader, said = emergency.reader, _checked("reason", emergency.reason)
        if reader.kind is not SubjectKind.USER:
            raise InvalidBreakGlassError("only a signed-in person can open a record in emergency")
        now = self._clock.now()
        row = BrokenGlassRow(
            user_id=reader.subject_id,
            display=reader.display[:128],
            global_id=emergency.global_id,
            reason=said,
            address=emergency.address[:64],
            opened_at=now,
            ends_at=now + LASTS,
            closed_by="",
            verdict="",
            note="",
            reviewed_by="",
        )
        with self._database.unit_of_work() as work:
            standing = _found(work.session, self._in_force(reader.subject_id))
            for glass in standing:
                if glass.global_id == emergency.global_id:
                    return glass
            if len(standing) >= MOST_OPEN:
                raise TooManyOpenError(f"at most {MOST_OPEN} records at a time; end one")
            work.session.add(row)
            work.session.flush()
            opened = _glass(row)
            on_record(work.session, opened)
        log.warning(
            "a record was opened in emergency; it waits for review",
            extra={"glass_id": opened.glass_id, "user_id": opened.user_id},
        )
        return opened

    def close(self, glass_id: int, user_id: str, on_record: OnRecord) -> BrokenGlass:
        """End an emergency of the reader before its hour is over.

        Raises:
            NotFoundError: the reader has no such emergency in force.
        """
        with self._database.unit_of_work() as work:
            row = work.session.get(BrokenGlassRow, glass_id, with_for_update=True)
            if row is None or row.user_id != user_id or not self._holds(row):
                raise NotFoundError("no emergency of this number is in force")
            row.closed_at, row.closed_by = self._clock.now(), user_id
            closed = _glass(row)
            on_record(work.session, closed)
        return closed

    def close_expired(self, on_record: OnRecord) -> int:
        """Put the end of each emergency on record whose hour is over; return how many."""
        over = and_(BrokenGlassRow.closed_at.is_(None), BrokenGlassRow.ends_at <= self._clock.now())
        with self._database.unit_of_work() as work:
            rows = work.session.scalars(select(BrokenGlassRow).where(over).limit(_CLOSED_AT_ONCE))
            ended = list(rows)
            for row in ended:
                row.closed_at = row.ends_at
            work.session.flush()
            for row in ended:
                on_record(work.session, _glass(row))
        return len(ended)

    def open_of(self, user_id: str) -> tuple[BrokenGlass, ...]:
        """Return what the reader has open now, the latest first."""
        with self._database.read() as session:
            return _found(session, self._in_force(user_id))

    def get(self, glass_id: int) -> BrokenGlass:
        """Return one emergency.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self._database.read() as session:
            row = session.get(BrokenGlassRow, glass_id)
            if row is None:
                raise NotFoundError("no emergency of this number")
            return _glass(row)

    def waiting(self) -> tuple[BrokenGlass, ...]:
        """Return every emergency that nobody has reviewed, the latest first."""
        with self._database.read() as session:
            return _found(session, _UNREVIEWED)

    def waiting_count(self) -> int:
        """Return how many emergencies nobody has reviewed."""
        with self._database.read() as session:
            counted = select(func.count()).select_from(BrokenGlassRow).where(_UNREVIEWED)
            return session.scalar(counted) or 0

    def reviewed(self, limit: int) -> tuple[BrokenGlass, ...]:
        """Return the emergencies that were reviewed, the latest first."""
        with self._database.read() as session:
            return _found(session, ~_UNREVIEWED, limit)

    def review(self, review: Review, on_record: OnRecord) -> BrokenGlass:
        """Write down a verdict, once and for all; one that is not justified ends at once.

        Raises:
            NotFoundError: there is none of this number that waits for review.
            InvalidBreakGlassError: no note, or the reviewer opened it.
        """
        note, now = _checked("note", review.note), self._clock.now()
        with self._database.unit_of_work() as work:
            row = work.session.get(BrokenGlassRow, review.glass_id, with_for_update=True)
            if row is None or row.verdict:
                raise NotFoundError("no emergency of this number waits for review")
            if row.user_id == review.by:
                raise InvalidBreakGlassError("nobody reviews an emergency of their own")
            row.verdict, row.note = review.verdict.value, note
            row.reviewed_by, row.reviewed_at = review.by[:128], now
            if review.verdict is Verdict.UNJUSTIFIED and self._holds(row):
                row.closed_at, row.closed_by = now, review.by[:128]
            reviewed = _glass(row)
            on_record(work.session, reviewed)
        return reviewed

    def _in_force(self, user_id: str) -> ColumnElement[bool]:
        return and_(
            BrokenGlassRow.user_id == user_id,
            BrokenGlassRow.closed_at.is_(None),
            BrokenGlassRow.ends_at > self._clock.now(),
        )

    def _holds(self, row: BrokenGlassRow) -> bool:
        return row.closed_at is None and row.ends_at > self._clock.now()


_UNREVIEWED = BrokenGlassRow.verdict == ""


def _checked(name: str, text: str) -> str:
    """Return what somebody must say, without blanks around it.

    Raises:
        InvalidBreakGlassError: it is missing, too short, too long or not printable.
    """
    said = text.strip()
    if not SHORTEST_TEXT <= len(said) <= LONGEST_TEXT or not said.isprintable():
        raise InvalidBreakGlassError(
            f"{name}: {SHORTEST_TEXT} to {LONGEST_TEXT} printable characters"
        )
    return said


def _found(
    session: Session, where: ColumnElement[bool], limit: int | None = None
) -> tuple[BrokenGlass, ...]:
    rows = session.scalars(
        select(BrokenGlassRow).where(where).order_by(BrokenGlassRow.glass_id.desc()).limit(limit)
    )
    return tuple(map(_glass, rows))


def _glass(row: BrokenGlassRow) -> BrokenGlass:
    return BrokenGlass(
        glass_id=row.glass_id,
        user_id=row.user_id,
        display=row.display,
        global_id=row.global_id,
        reason=row.reason,
        address=row.address,
        opened_at=row.opened_at,
        ends_at=row.ends_at,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        verdict=Verdict(row.verdict) if row.verdict else None,
        note=row.note,
        reviewed_by=row.reviewed_by,
        reviewed_at=row.reviewed_at,
    )
