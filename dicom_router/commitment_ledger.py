"""The transactions of storage commitment in the database: kept from N-ACTION to the report heard.

A transaction is worked on by whoever holds its lease; what a dead process held is free at once on
its machine, and after the lease elsewhere.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, or_, select, update

from dicom_router.commitment_messages import (
    CommitmentReport,
    CommitmentRequest,
    FailedReference,
    SopReference,
)
from dicom_router.model import Caller
from dicom_router.tables import TRANSACTION
from hub_kernel.database import Database

_LEASE = timedelta(seconds=60)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 3600.0


@dataclass(frozen=True)
class Transaction:
    """One transaction under way: what was asked and, for the first of it, what was found."""

    row_id: int
    transaction_uid: str
    calling_ae_title: str
    asked: tuple[SopReference, ...]
    found: tuple[int, ...]
    attempts: int

    @property
    def rest(self) -> tuple[SopReference, ...]:
        """What has not been looked at yet."""
        return self.asked[len(self.found) :]

    def report(self) -> CommitmentReport:
        """Return the report; everything must have been looked at."""
        pairs = list(zip(self.asked, self.found, strict=True))
        return CommitmentReport(
            self.transaction_uid,
            tuple(one for one, reason in pairs if not reason),
            tuple(FailedReference(one, reason) for one, reason in pairs if reason),
        )


@dataclass(frozen=True)
class OwedReport:
    """A report that was promised and has not been heard yet; times are UTC."""

    transaction_uid: str
    site_id: str
    calling_ae_title: str
    asked_at: datetime
    instances: int
    examined: int
    attempts: int
    due_at: datetime
    last_error: str


@dataclass(frozen=True)
class CommitmentLedger:
    """Every transaction; `owner` is this process as host:pid, or empty for who only looks."""

    database: Database
    owner: str = ""

    def owed(self, *, limit: int) -> list[OwedReport]:
        """Return the reports that are owed, the oldest first."""
        wanted = (
            select(TRANSACTION)
            .where(TRANSACTION.c.reported_at.is_(None))
            .order_by(TRANSACTION.c.asked_at, TRANSACTION.c.id)
            .limit(limit)
        )
        with self.database.read() as session:
            return [_owed(row) for row in session.execute(wanted)]

    def begin(self, caller: Caller, request: CommitmentRequest) -> int:
        """Keep a request for good; return its row. It is this process's for the moment."""
        now = self.database.clock.now()
        with self.database.unit_of_work() as work:
            kept = work.session.execute(
                insert(TRANSACTION)
                .values(
                    transaction_uid=request.transaction_uid,
                    site_id=caller.site.site_id,
                    calling_ae_title=caller.calling_ae_title,
                    asked_at=now,
                    asked=[[one.sop_class_uid, one.sop_instance_uid] for one in request.references],
                    found=[],
                    due_at=now,
                    attempts=0,
                    last_error="",
                    lease_owner=self.owner,
                    lease_until=now + _LEASE,
                )
                .returning(TRANSACTION.c.id)
            )
            return int(kept.scalar_one())

    def release_dead(self, is_dead: Callable[[str], bool]) -> None:
        """Take back what processes held that are no more."""
        with self.database.unit_of_work() as work:
            owners = work.session.scalars(
                select(TRANSACTION.c.lease_owner)
                .where(TRANSACTION.c.reported_at.is_(None), TRANSACTION.c.lease_owner != "")
                .distinct()
            )
            dead = [owner for owner in owners if is_dead(owner)]
            work.session.execute(
                update(TRANSACTION)
                .where(TRANSACTION.c.lease_owner.in_(dead))
                .values(lease_owner="", lease_until=None)
            )

    def claim(self, without: Collection[int]) -> Transaction | None:
        """Take the transaction whose turn it is, but none of `without`; None when none is due."""
        now = self.database.clock.now()
        free = or_(
            TRANSACTION.c.lease_owner.in_(("", self.owner)), TRANSACTION.c.lease_until <= now
        )
        due = (TRANSACTION.c.reported_at.is_(None), TRANSACTION.c.due_at <= now, free)
        wanted = (
            select(TRANSACTION)
            .where(*due, TRANSACTION.c.id.not_in(without))
            .order_by(TRANSACTION.c.due_at, TRANSACTION.c.id)
            .limit(1)
        )
        with self.database.read() as session:
            if session.execute(wanted.with_only_columns(TRANSACTION.c.id)).first() is None:
                return None
        with self.database.unit_of_work() as work:
            row = work.session.execute(wanted.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            self._set(work.session, row.id, lease_owner=self.owner, lease_until=now + _LEASE)
        return _transaction(row)

    def note_found(self, transaction: Transaction, reasons: Sequence[int]) -> Transaction:
        """Keep what was found of the next instances; the transaction goes to the end."""
        found = (*transaction.found, *reasons)
        self._update(transaction.row_id, found=list(found), due_at=self.database.clock.now())
        return Transaction(**{**vars(transaction), "found": found})

    def renew(self) -> None:
        """Hold on to all that this process holds: only its end lets others take it."""
        mine = (TRANSACTION.c.lease_owner == self.owner, TRANSACTION.c.reported_at.is_(None))
        with self.database.read() as session:
            if session.execute(select(TRANSACTION.c.id).where(*mine).limit(1)).first() is None:
                return
        until = self.database.clock.now() + _LEASE
        with self.database.unit_of_work() as work:
            work.session.execute(update(TRANSACTION).where(*mine).values(lease_until=until))

    def note_reported(self, row_id: int) -> None:
        """The requester has heard: the transaction is over."""
        now = self.database.clock.now()
        self._update(row_id, reported_at=now, lease_owner="", lease_until=None, last_error="")

    def postpone(self, transaction: Transaction, reason: str) -> None:
        """The requester was not reached: try again later, later each time, without end."""
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(transaction.attempts, 20))
        self._update(
            transaction.row_id,
            attempts=transaction.attempts + 1,
            due_at=self.database.clock.now() + timedelta(seconds=pause_s),
            last_error=reason[:200],
            lease_owner="",
            lease_until=None,
        )

    def _update(self, row_id: int, **values: Any) -> None:
        with self.database.unit_of_work() as work:
            self._set(work.session, row_id, **values)

    def _set(self, session: Any, row_id: int, **values: Any) -> None:
        session.execute(update(TRANSACTION).where(TRANSACTION.c.id == row_id).values(**values))


def _owed(row: Row[Any]) -> OwedReport:
    return OwedReport(
        transaction_uid=row.transaction_uid,
        site_id=row.site_id,
        calling_ae_title=row.calling_ae_title,
        asked_at=row.asked_at,
        instances=len(row.asked),
        examined=len(row.found),
        attempts=row.attempts,
        due_at=row.due_at,
        last_error=row.last_error,
    )


def _transaction(row: Row[Any]) -> Transaction:
    return Transaction(
        row_id=row.id,
        transaction_uid=row.transaction_uid,
        calling_ae_title=row.calling_ae_title,
        asked=tuple(SopReference(*pair) for pair in row.asked),
        found=tuple(row.found),
        attempts=row.attempts,
    )
