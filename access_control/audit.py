"""The audit trail: who saw what, chained so that tampering shows (DICOM PS3.15 A.5).

Record n carries `HMAC-SHA256(key, n, MAC of record n-1, message of record n)`; one head row, under
its own HMAC, says how many records there are. Without the key nobody can edit, delete, reorder or
truncate unseen. Who empties the trail or rolls the whole database back to an earlier state is
caught by the head kept outside it (`HeadKeeper`).
"""

import hashlib
import hmac
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from access_control.atna import AuditSource, audit_message
from access_control.audit_head import AuditHead, HeadKeeper
from access_control.audit_message import (
    AuditEvent,
    AuditRecord,
    canonical_message,
    record_of,
)
from access_control.audit_rows import has_rows, rows_after
from access_control.audit_search import AuditPage, AuditQuery, conditions
from access_control.errors import KeptHeadError
from access_control.tables import AuditHeadRow, AuditRecordRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.prepared import Prepared

__all__ = [
    "AuditEvent",
    "AuditHead",
    "AuditPage",
    "AuditQuery",
    "AuditRecord",
    "AuditTrail",
    "AuditVerification",
    "HeadKeeper",
]

log = logging.getLogger(__name__)

_HEAD_ID = 1
_GENESIS = hashlib.sha256(b"eirhub audit trail").hexdigest()
_BATCH = 500
_LONGEST_PAGE = 500


@dataclass(frozen=True)
class AuditVerification:
    """What `verify` found: `count` good records, and the first bad or missing one, if any."""

    ok: bool
    count: int
    first_bad_id: int | None = None
    reason: str = ""


class AuditTrail:
    """Appends audit records and proves that they are still all there.

    `key` is 32 secret bytes from outside the database (`access_control.secrets`); `source` names
    this hub in every record; `keeper` keeps the head that `verify` holds the trail against.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: bytes,
        *,
        source: str = "eirhub",
        keeper: HeadKeeper | None = None,
    ) -> None:
        if len(key) < 16:
            raise ValueError("the audit key must have at least 16 bytes")
        self._database = database
        self._clock = clock
        self._key = key
        self._source = source
        self._keeper = keeper
        dialect = database.engine.dialect
        columns = [column.name for column in _RECORDS.columns]
        self._add_records = Prepared(insert(_RECORDS).inline(), dialect, columns)
        self._move_head = Prepared(_MOVE_HEAD, dialect, ["sequence", "mac", "head_mac"])

    def begin(self) -> None:
        """Write the head of an empty trail once and for all, and keep it.

        From then on a trail without its head is a trail that was emptied. Repeating it is harmless;
        a head that was deleted is not made again.
        """
        if self._keeper and not self._is_begun():
            with self._database.writing() as connection:
                self._locked_head(connection)
                connection.commit()
        self.keep_head()

    def keep_head(self) -> None:
        """Keep the head as it stands, unless the trail no longer leads there from the one kept.

        Never raises because of what is stored or because it cannot be written: the log says it.
        """
        if self._keeper is None:
            return
        try:
            kept, head = self._keeper.kept(), self._proven_head()
            if head and (kept is None or self._leads_on(kept, head)):
                self._keeper.keep(head)
                return
            if kept is None and self._has_no_head():  # only the schema has been made
                return
        except (KeptHeadError, OSError, SQLAlchemyError) as error:
            log.error("audit head not kept", extra={"error": type(error).__qualname__})  # noqa: TRY400 (no traceback wanted)
            return
        log.error("the audit trail does not continue its kept head; run eirhub audit verify")

    def record(self, session: Session, event: AuditEvent) -> int:
        """Append `event` in the caller's transaction and return its sequence number.

        The record becomes true exactly when the access does. Appending locks the head of the chain
        until the transaction ends: make it the last thing a transaction does.

        Raises:
            InvalidAuditEventError: the event is not one that can be recorded.
        """
        return self.record_all(session, [event])

    def record_all(self, session: Session, events: Iterable[AuditEvent]) -> int:
        """Append `events` in order, as `record` does one; return the last sequence number.

        Many cost three statements as one does, and the head is locked no longer for it.

        Raises:
            InvalidAuditEventError: one of them cannot be recorded; none of them was.
        """
        session.flush()
        return self.append(session.connection(), events)

    def append(self, connection: Connection, events: Iterable[AuditEvent]) -> int:
        """Append `events` as `record_all` does, in a transaction that has no session.

        Raises:
            InvalidAuditEventError: one of them cannot be recorded; none of them was.
        """
        head = self._locked_head(connection)
        sequence, mac, rows = head.sequence, head.mac, []
        for event in events:
            sequence += 1
            message = canonical_message(event, sequence, self._clock.now(), self._source)
            mac = self._mac("record", sequence, mac, message)
            rows.append(_values(record_of(message), message, mac))
        if rows:
            head_mac = self._mac("head", sequence, mac)
            moved = {"sequence": sequence, "mac": mac, "head_mac": head_mac}
            self._add_records.execute(connection.connection, rows)
            self._move_head.execute(connection.connection, [moved])
        return sequence

    def record_now(self, event: AuditEvent) -> int:
        """Append `event` in a transaction of its own: for refusals, which change nothing else."""
        with self._database.writing() as connection:
            sequence = self.append(connection, [event])
            connection.commit()
        return sequence

    def head(self) -> AuditHead:
        """Return the head of the chain, to be kept outside this database."""
        with self._database.read() as session:
            row = session.get(AuditHeadRow, _HEAD_ID)
            return AuditHead(row.sequence, row.mac) if row else AuditHead(0, _GENESIS)

    def verify(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        anchor: AuditHead | None = None,
    ) -> AuditVerification:
        """Check every record against the chain, and the chain against its head and every anchor.

        Anchors are the kept head and `anchor`, a head exported by `head` some time before.

        `progress` is called with (records checked, records claimed by the head). Records appended
        meanwhile are checked as well. Never raises because of what is stored.
        """
        try:
            # Before the database: read after it, a head might name records it does not see yet.
            kept = self._keeper.kept() if self._keeper else None
        except KeptHeadError as error:
            return _bad(AuditHead(0, _GENESIS), f"cannot be proved: the kept head {error}")
        anchors = tuple(head for head in (anchor, kept) if head)
        with self._database.read() as session:
            return self._verify(session, progress or _silent, anchors)

    def search(self, query: AuditQuery) -> AuditPage:
        """Return the newest records that match `query`, at most 500 a page."""
        limit = max(1, min(query.limit, _LONGEST_PAGE))
        statement = (
            select(AuditRecordRow.message)
            .where(*conditions(query))
            .order_by(AuditRecordRow.sequence.desc())
            .limit(limit + 1)
        )
        with self._database.read() as session:
            found = [record_of(message) for message in session.scalars(statement)]
        page = tuple(found[:limit])
        return AuditPage(page, page[-1].sequence if len(found) > limit else None)

    def xml(self, record: AuditRecord) -> bytes:
        """Return `record` as a DICOM audit message (PS3.15 A.5.1), UTF-8."""
        return audit_message(record, AuditSource(self._source))

    def _locked_head(self, connection: Connection) -> AuditHead:
        head = _select_head(connection)
        if head is None:
            start = self._start(connection)
            first = {"head_id": _HEAD_ID, "sequence": start, "mac": _GENESIS}
            first["head_mac"] = self._mac("head", start, _GENESIS)
            try:
                with connection.begin_nested():
                    connection.execute(insert(_HEADS), first)
            except IntegrityError:  # another process began the chain in this very moment
                pass
            head = _select_head(connection)
        if head is None:
            raise RuntimeError("the head of the audit trail cannot be written")
        return head

    def _start(self, connection: Connection) -> int:
        """Return 0 for a new trail; behind a deleted head leave a gap that `verify` finds."""
        last = connection.scalar(select(func.max(_RECORDS.c.sequence)))
        try:
            kept = self._keeper.kept() if self._keeper else None
        except KeptHeadError:
            kept = AuditHead(0, _GENESIS)
        if last is None and kept is None:
            return 0
        return max(last or 0, kept.sequence if kept else 0) + 1

    def _is_begun(self) -> bool:
        try:
            return self._keeper is not None and self._keeper.kept() is not None
        except KeptHeadError:
            return True

    def _proven_head(self) -> AuditHead | None:
        with self._database.read() as session:
            row = session.get(AuditHeadRow, _HEAD_ID)
            return AuditHead(row.sequence, row.mac) if row and self._is_authentic(row) else None

    def _has_no_head(self) -> bool:
        with self._database.read() as session:
            return session.get(AuditHeadRow, _HEAD_ID) is None

    def _leads_on(self, kept: AuditHead, head: AuditHead) -> bool:
        with self._database.read() as session:
            row = session.get(AuditRecordRow, kept.sequence)
            same = kept.mac == (row.mac if row else _GENESIS)
            return same and kept.sequence <= head.sequence

    def _verify(
        self,
        session: Session,
        progress: Callable[[int, int], None],
        anchors: tuple[AuditHead, ...],
    ) -> AuditVerification:
        end, claimed = AuditHead(0, _GENESIS), _claimed_length(session)
        while True:
            for sequence, row in rows_after(session, after=end.sequence):
                reason = self._fault(sequence, row, end) or _unlike_anchors(row, anchors)
                if reason:
                    return _bad(end, reason)
                end = AuditHead(end.sequence + 1, row.mac if row else "")
                if end.sequence % _BATCH == 0:
                    progress(end.sequence, max(claimed, end.sequence))
            reason = self._fault_of_end(session, end, anchors)
            if not reason or not has_rows(session, after=end.sequence):
                break  # else: records were appended between the last batch and the head
        progress(end.sequence, max(claimed, end.sequence))
        return _bad(end, reason) if reason else AuditVerification(ok=True, count=end.sequence)

    def _fault(self, sequence: object, row: AuditRecordRow | None, end: AuditHead) -> str:
        """Say what is wrong with the record that follows `end`, or nothing."""
        expected = end.sequence + 1
        if sequence != expected:
            return f"is missing; record {ascii(sequence)} stands in its place"
        if row is None or not isinstance(row.message, str) or not isinstance(row.mac, str):
            return "holds values of another type than was written"
        wanted = self._mac("record", expected, end.mac, row.message)
        if not hmac.compare_digest(wanted.encode(), row.mac.encode()):
            return "does not fit the chain: it was edited, or records were exchanged"
        if _columns(row) != _values(record_of(row.message), row.message, row.mac):
            return "shows other values in its columns than in its chained message"
        return ""

    def _fault_of_end(
        self, session: Session, end: AuditHead, anchors: tuple[AuditHead, ...]
    ) -> str:
        """Say what is wrong with how the chain ends, or nothing."""
        longest = max((anchor.sequence for anchor in anchors), default=0)
        head = session.get(AuditHeadRow, _HEAD_ID, populate_existing=True)
        if head is None:
            if longest > end.sequence:
                return f"is missing, and the head of the chain; {longest} records were there"
            if end.sequence or anchors:
                return "would follow, but the head of the chain was deleted"
        elif not self._is_authentic(head):
            return "would follow, but the head of the chain was altered"
        elif head.sequence > end.sequence:
            return f"is missing: the chain was truncated, its head names {head.sequence} records"
        elif (head.sequence, head.mac) != (end.sequence, end.mac):
            return "would follow, but the head of the chain was set back"
        if longest > end.sequence:
            return f"is missing: the head kept elsewhere names {longest} records"
        return ""

    def _is_authentic(self, head: AuditHeadRow) -> bool:
        wanted = self._mac("head", head.sequence, head.mac)
        return hmac.compare_digest(wanted.encode(), head.head_mac.encode())

    def _mac(self, what: str, sequence: int, *parts: str) -> str:
        """HMAC over unambiguous text: no part holds a line feed, messages are one ASCII line."""
        text = "\n".join((what, str(sequence), *parts))
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


# Run for every access there is: made once, and without the objects of the mapper.
_RECORDS, _HEADS = (cast("Table", row.__table__) for row in (AuditRecordRow, AuditHeadRow))
_HEAD_LOCKED = (
    select(_HEADS.c.sequence, _HEADS.c.mac).where(_HEADS.c.head_id == _HEAD_ID).with_for_update()
)
_MOVE_HEAD = update(_HEADS).where(_HEADS.c.head_id == _HEAD_ID)


def _select_head(connection: Connection) -> AuditHead | None:
    """The head, locked and read from the database, whatever a session has seen before."""
    row = connection.execute(_HEAD_LOCKED).one_or_none()
    return AuditHead(row.sequence, row.mac) if row else None


def _claimed_length(session: Session) -> int:
    return session.scalar(select(AuditHeadRow.sequence)) or 0


def _unlike_anchors(row: AuditRecordRow | None, anchors: tuple[AuditHead, ...]) -> str:
    if row and any(one.sequence == row.sequence and one.mac != row.mac for one in anchors):
        return "is not the record that the head kept elsewhere names"
    return ""


def _bad(end: AuditHead, reason: str) -> AuditVerification:
    return AuditVerification(
        ok=False, count=end.sequence, first_bad_id=end.sequence + 1, reason=reason
    )


def _values(record: AuditRecord, message: str, mac: str) -> dict[str, object]:
    return {
        "sequence": record.sequence,
        "recorded_at": record.recorded_at,
        "action": record.action,
        "outcome": record.outcome,
        "subject_kind": record.subject_kind,
        "subject_id": record.subject_id,
        "resource_kind": record.resource_kind,
        "resource_id": record.resource_id,
        "message": message,
        "mac": mac,
    }


def _columns(row: AuditRecordRow) -> dict[str, object]:
    return {column.name: getattr(row, column.name) for column in AuditRecordRow.__table__.columns}


def _silent(_done: int, _claimed: int) -> None:
    """No progress wanted."""
