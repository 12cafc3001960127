"""Carry out what a person decided about a case: at once in one transaction, or step by step.

What the index alone decides is one transaction. What makes new instances is first written down as
pending; each instance then goes the way of anything received, and carrying it out again makes the
same bytes, so that a crash anywhere is mended by `finish_pending`.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import BinaryIO

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from hub_kernel.database import Database, UnitOfWork
from hub_kernel.errors import HubError, NotFoundError
from image_archive.coercion import LARGEST_BYTES, Coercion, coerced
from image_archive.conflict_swapping import swap
from image_archive.conflict_words import (
    AT_ONCE,
    VERDICTS,
    CaseStatus,
    Decided,
    Decision,
    DecisionState,
    Verdict,
)
from image_archive.conflicts import ConflictCases, Parked, decision, parked, parked_rows, waiting
from image_archive.errors import CaseDecidedError, InvalidDecisionError, UnreadableInstanceError
from image_archive.model import (
    IncomingHeader,
    InstanceOrigin,
    QuarantineReason,
    QuarantineRecord,
)
from image_archive.reading import skip_file_meta
from image_archive.service import ArchiveService
from image_archive.tables import CONFLICT_DECISION, INSTANCE, QUARANTINE

_CHUNK_BYTES = 1_048_576
_LONGEST_ID = 64
_ROWS_PER_PURGE = 500

OnRecord = Callable[[Session], None]
"""Writes the audit record of a decision, in its transaction."""


Readmit = Callable[[QuarantineRecord, InstanceOrigin], InstanceOrigin | None]
"""Says whose a parked instance is whose sender nobody knew; None while nobody does."""

IsHeld = Callable[[QuarantineRecord], bool]
"""Tells whether parked bytes must be kept, whatever was decided about them (a legal hold)."""


class ConflictResolver:
    """Decides cases; safe from several processes, which find a case decided or still open.

    `cases` reads them.
    """

    def __init__(
        self, database: Database, archive: ArchiveService, readmit: Readmit | None = None
    ) -> None:
        self.cases = ConflictCases(database)
        self._database = database
        self._archive = archive
        self._readmit = readmit

    def decide(
        self, case_key: str, verdict: Verdict, decided: Decided, on_record: OnRecord
    ) -> Decision:
        """Decide about what waits in a case, and carry it out; return how far that went.

        Raises:
            NotFoundError: there is no such case.
            CaseDecidedError: nothing of it waits any more.
            InvalidDecisionError: the verdict does not fit the case, or a patient ID is missing.
            UnreadableInstanceError: bytes that are to go live cannot be read.
        """
        with self._database.unit_of_work() as work:
            found = waiting(parked_rows(work.session, case_key))
            if not found:
                raise CaseDecidedError("this case is decided already")
            _check(found[0].record.reason, verdict, decided)
            decision_id = _note(work, case_key, verdict, decided)
            if verdict is Verdict.REPLACE:
                for one in found:
                    swap(work, self._archive.backend, one)
            status = CaseStatus.CLOSED if verdict in AT_ONCE else CaseStatus.PENDING
            _mark(work.session, found, status, decision_id)
            on_record(work.session)
        if verdict not in AT_ONCE:
            self._carry_out(decision_id)
        return self.decision(decision_id)

    def undo(self, decision_id: int, by: str, on_record: OnRecord) -> None:
        """Take a decision back; its case waits again.

        Raises:
            NotFoundError: there is no such decision.
            InvalidDecisionError: it cannot be undone, was undone, or bytes are discarded already.
        """
        with self._database.unit_of_work() as work:
            known = _decision(work.session, decision_id)
            if not known.can_be_undone:
                raise InvalidDecisionError("this decision cannot be taken back")
            rows = parked_rows(work.session, known.case_key)
            found = [one for one in rows if one.decision_id == decision_id]
            if not found or any(one.status is not CaseStatus.CLOSED for one in found):
                raise InvalidDecisionError("the bytes of this case are discarded already")
            if known.verdict is Verdict.REPLACE:
                for one in found:
                    swap(work, self._archive.backend, one)
            _mark(work.session, found, CaseStatus.OPEN, None)
            work.session.execute(
                update(CONFLICT_DECISION)
                .where(CONFLICT_DECISION.c.id == decision_id)
                .values(state=DecisionState.UNDONE.value, undone_by=by, undone_at=work.clock.now())
            )
            on_record(work.session)

    def decision(self, decision_id: int) -> Decision:
        """Return a decision as it stands now.

        Raises:
            NotFoundError: there is none of that number.
        """
        with self._database.read() as session:
            return _decision(session, decision_id)

    def finish_pending(self) -> int:
        """Carry out what a crash left half done; return how many decisions that were."""
        d = CONFLICT_DECISION.c
        with self._database.read() as session:
            pending = session.scalars(
                select(d.id).where(d.state == DecisionState.PENDING.value).order_by(d.id)
            ).all()
        for decision_id in pending:
            self._carry_out(decision_id)
        return len(pending)

    def discard_old(self, retention: timedelta, is_held: IsHeld) -> int:
        """Delete parked bytes decided about longer ago than `retention`; return how many.

        What is held stays, and is asked about again the next time.
        """
        discarded = last = 0
        while rows := self._decided(retention, last):
            last = rows[-1].row_id
            for one in rows:
                if not is_held(one.record):
                    self._discard(one)
                    discarded += 1
        return discarded

    def _decided(self, retention: timedelta, last: int) -> list[Parked]:
        q, d = QUARANTINE.c, CONFLICT_DECISION.c
        due = (
            select(QUARANTINE)
            .join(CONFLICT_DECISION, d.id == q.decision_id)
            .where(
                q.id > last,
                q.status == CaseStatus.CLOSED.value,
                d.decided_at <= self._database.clock.now() - retention,
                q.storage_key.not_in(select(INSTANCE.c.storage_key)),
            )
            .order_by(q.id)
            .limit(_ROWS_PER_PURGE)
        )
        with self._database.read() as session:
            return [parked(row) for row in session.execute(due)]

    def _discard(self, one: Parked) -> None:
        # The bytes first: a row whose bytes are gone is looked at again and loses nothing.
        self._archive.backend.delete(one.record.storage_key)
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(QUARANTINE)
                .where(QUARANTINE.c.id == one.row_id)
                .values(status=CaseStatus.DISCARDED.value)
            )

    def _carry_out(self, decision_id: int) -> None:
        known = self.decision(decision_id)
        with self._database.read() as session:
            rows = session.execute(
                select(QUARANTINE).where(
                    QUARANTINE.c.decision_id == decision_id,
                    QUARANTINE.c.status == CaseStatus.PENDING.value,
                )
            ).all()
        failures = 0
        for one in map(parked, rows):
            try:
                self._take_in(one, known)
            except HubError as error:
                failures += 1
                self._settle(one, CaseStatus.OPEN, None, str(error))
            else:
                self._settle(one, CaseStatus.CLOSED, decision_id, one.record.detail)
        state = DecisionState.FAILED if failures else DecisionState.DONE
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(CONFLICT_DECISION)
                .where(CONFLICT_DECISION.c.id == decision_id)
                .values(state=state.value)
            )

    def _take_in(self, one: Parked, known: Decision) -> None:
        """Store a parked dataset the way anything received is stored."""
        with self._archive.backend.open(one.record.storage_key) as stream:
            meta = skip_file_meta(stream)
            if meta.origin is None:
                raise UnreadableInstanceError("the parked file does not say who sent it")
            origin = self._origin(one, meta.origin)
            header = IncomingHeader(
                meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, origin
            )
            if known.verdict is Verdict.KEEP_BOTH:
                stream.seek(0)
                new = coerced(stream, _coercion(one, known))
                header = replace(header, sop_instance_uid=new.sop_instance_uid)
                self._store(header, io.BytesIO(new.dataset), undoubted=True)
            else:
                self._store(header, stream, undoubted=known.verdict is Verdict.ACCEPT)

    def _origin(self, one: Parked, told: InstanceOrigin) -> InstanceOrigin:
        """Return who sent a parked instance, as its receipt says or as is known by now."""
        if one.record.reason is not QuarantineReason.UNKNOWN_SENDER:
            return told
        known = self._readmit(one.record, told) if self._readmit else None
        if known is None:
            raise InvalidDecisionError(f"still of no known site: {one.record.detail}")
        return known

    def _store(self, header: IncomingHeader, dataset: BinaryIO, *, undoubted: bool) -> None:
        with self._archive.incoming(header, undoubted=undoubted) as incoming:
            while chunk := dataset.read(_CHUNK_BYTES):
                incoming.write(chunk)
            incoming.commit()

    def _settle(
        self, one: Parked, status: CaseStatus, decision_id: int | None, detail: str
    ) -> None:
        """Note what became of one instance; how often its sender sent it stays what it was."""
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(QUARANTINE)
                .where(QUARANTINE.c.id == one.row_id)
                .values(
                    status=status.value,
                    decision_id=decision_id,
                    detail=detail[:256],
                    times=one.times,
                )
            )


def _check(reason: QuarantineReason, verdict: Verdict, decided: Decided) -> None:
    if verdict not in VERDICTS[reason]:
        allowed = ", ".join(VERDICTS[reason])
        raise InvalidDecisionError(f"verdict of such a case: one of {allowed}")
    named = decided.patient_id
    if named and (verdict is not Verdict.KEEP_BOTH or not _is_plain_id(named)):
        raise InvalidDecisionError("patient ID: up to 64 plain characters, when keeping both")
    wanted = verdict is Verdict.KEEP_BOTH and reason is QuarantineReason.CONTRADICTING_PATIENT
    if wanted and not named:
        raise InvalidDecisionError("patient ID: say under which ID the new person is known")


def _is_plain_id(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID and "\\" not in text


def _note(work: UnitOfWork, case_key: str, verdict: Verdict, decided: Decided) -> int:
    state = DecisionState.DONE if verdict in AT_ONCE else DecisionState.PENDING
    now: datetime = work.clock.now()
    written = work.session.execute(
        insert(CONFLICT_DECISION).returning(CONFLICT_DECISION.c.id),
        {
            "case_key": case_key,
            "verdict": verdict.value,
            "state": state.value,
            "patient_id": decided.patient_id,
            "decided_by": decided.by[:128],
            "decided_at": now,
            "reason": decided.reason[:400],
        },
    )
    decision_id: int = written.scalar_one()
    return decision_id


def _mark(
    session: Session, found: Iterable[Parked], status: CaseStatus, decision_id: int | None
) -> None:
    """Note what becomes of parked datasets.

    Raises:
        CaseDecidedError: somebody else has decided meanwhile.
    """
    for one in found:
        changed = session.execute(
            update(QUARANTINE)
            .where(QUARANTINE.c.id == one.row_id, QUARANTINE.c.status == one.status.value)
            .values(status=status.value, decision_id=decision_id)
        )
        if not changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE counts
            raise CaseDecidedError("this case was decided meanwhile")


def _decision(session: Session, decision_id: int) -> Decision:
    row = session.execute(
        select(CONFLICT_DECISION).where(CONFLICT_DECISION.c.id == decision_id)
    ).first()
    if row is None:
        raise NotFoundError("no such decision")
    return decision(row)


def _coercion(one: Parked, known: Decision) -> Coercion:
    """One study of one patient gets one new study UID, however many cases it came in."""
    record = one.record
    if record.dataset_bytes > LARGEST_BYTES:
        raise InvalidDecisionError("keeping both rewrites the dataset: 512 MiB at most")
    of_study = record.reason is QuarantineReason.CONFLICTING_STUDY
    scope = f"{record.issuer_oid} {record.patient_id}" if of_study else record.dataset_sha256
    return Coercion(scope, known.decided_at, new_study=of_study, patient_id=known.patient_id)
