"""Legal holds: what is kept whatever retention, a desk or an administrator would delete.

A hold on a person covers all their studies, those that come later too, and follows the identifiers
the person had through merge and unmerge. Every path that deletes for good asks here first.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from access_control.consent import PersonIdentifiers
from access_control.errors import InvalidHoldError
from access_control.tables_holds import LegalHoldIdentifierRow, LegalHoldRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.named_locks import held_alone
from hub_kernel.pairs import is_any_of

LONGEST_REASON = 400
_VALUES_PER_QUERY = 400
_LOCK = "legal-holds"
_PATIENCE_S = 60.0

OnRecord = Callable[[Session, "LegalHold"], None]
"""Puts a hold on record in the transaction that places or lifts it."""


@dataclass(frozen=True)
class LegalHold:
    """One hold: on one study, or on all of a person where `study_instance_uid` is empty.

    Reasons name no patient. `lifted_at` is None while it holds.
    """

    hold_id: int
    study_instance_uid: str
    global_id: str
    reason: str
    placed_by: str
    placed_at: datetime
    lifted_by: str = ""
    lifted_at: datetime | None = None
    lifted_reason: str = ""


@dataclass(frozen=True)
class HoldRequest:
    """What is to be held, by whom and why; an empty study means all of the person."""

    global_id: str
    by: str
    reason: str
    study_instance_uid: str = ""


class LegalHolds:
    """Holds in the database: every process of the hub honours one from its commit on."""

    def __init__(self, database: Database, clock: Clock, people: PersonIdentifiers) -> None:
        self._database = database
        self._clock = clock
        self._people = people

    def place(self, request: HoldRequest, on_record: OnRecord) -> LegalHold:
        """Place a hold; it is in force when this returns.

        Raises:
            InvalidHoldError: no reason, or a deletion under way does not end.
            NotFoundError: nothing resolves to that global ID.
        """
        reason = _checked(request.reason)
        covered = {_key(one) for one in self._people.of_person(request.global_id)}
        if not covered:
            raise NotFoundError("no identifier resolves to this global ID")
        row = LegalHoldRow(
            study_instance_uid=request.study_instance_uid,
            global_id=request.global_id,
            reason=reason,
            placed_by=request.by[:128],
            placed_at=self._clock.now(),
            lifted_by="",
            lifted_reason="",
        )
        with deleting_alone(self._database), self._database.unit_of_work() as work:
            work.session.add(row)
            work.session.flush()
            work.session.add_all(
                LegalHoldIdentifierRow(hold_id=row.hold_id, value=value, issuer_oid=oid)
                for value, oid in sorted(covered)
            )
            placed = _hold(row)
            on_record(work.session, placed)
        return placed

    def lift(self, hold_id: int, by: str, reason: str, on_record: OnRecord) -> LegalHold:
        """End a hold; it stays on record with who ended it and why.

        Raises:
            NotFoundError: there is no such hold in force.
            InvalidHoldError: no reason.
        """
        checked = _checked(reason)
        with self._database.unit_of_work() as work:
            row = work.session.get(LegalHoldRow, hold_id, with_for_update=True)
            if row is None or row.lifted_at is not None:
                raise NotFoundError("no hold of this number is in force")
            row.lifted_by, row.lifted_at = by[:128], self._clock.now()
            row.lifted_reason = checked
            lifted = _hold(row)
            on_record(work.session, lifted)
        return lifted

    def get(self, hold_id: int) -> LegalHold:
        """Return one hold.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self._database.read() as session:
            row = session.get(LegalHoldRow, hold_id)
            if row is None:
                raise NotFoundError("no hold of this number")
            return _hold(row)

    def in_force(self) -> tuple[LegalHold, ...]:
        """Return every hold that is in force, the latest first."""
        with self._database.read() as session:
            return _holds(session, LegalHoldRow.lifted_at.is_(None))

    def of_person(self, global_id: str) -> tuple[LegalHold, ...]:
        """Return every hold that was ever placed on the person or on a study of theirs."""
        keys = sorted({_key(one) for one in self._people.of_person(global_id)})
        covering = select(LegalHoldIdentifierRow.hold_id).where(
            is_any_of(LegalHoldIdentifierRow.value, LegalHoldIdentifierRow.issuer_oid, keys)
        )
        with self._database.read() as session:
            return _holds(session, LegalHoldRow.hold_id.in_(covering))

    def on(self, patient: PatientIdentifier, study_instance_uid: str) -> bool:
        """Return whether a study of the holder of `patient` is held."""
        identifiers = self._people.of_holders([patient]).get(patient, (patient,))
        with self._database.read() as session:
            return is_held(session, study_instance_uid, identifiers)


@contextmanager
def deleting_alone(database: Database) -> Iterator[None]:
    """Hold what keeps deleting and placing holds apart: neither passes the other.

    Whoever deletes for good asks for holds and deletes inside.

    Raises:
        InvalidHoldError: somebody else does not come to an end.
    """
    with held_alone(database, _LOCK, patience_s=_PATIENCE_S) as alone:
        if not alone:
            raise InvalidHoldError("another deletion is under way; try again")
        yield


def is_held(
    session: Session, study_instance_uid: str, identifiers: Iterable[PatientIdentifier]
) -> bool:
    """Return whether a study is held, or the person who has all of `identifiers` is."""
    of_study = select(LegalHoldRow.hold_id).where(
        LegalHoldRow.study_instance_uid == study_instance_uid,
        LegalHoldRow.study_instance_uid != "",
        LegalHoldRow.lifted_at.is_(None),
    )
    if session.scalar(of_study.limit(1)) is not None:
        return True
    return _covered(session, identifiers, of_person_only=True)


def holds_anything_of(session: Session, identifiers: Iterable[PatientIdentifier]) -> bool:
    """Return whether the person who has all of `identifiers` is held, or a study of theirs."""
    return _covered(session, identifiers, of_person_only=False)


def _covered(
    session: Session, identifiers: Iterable[PatientIdentifier], *, of_person_only: bool
) -> bool:
    keys = sorted({_key(one) for one in identifiers})
    wanted = (
        select(LegalHoldRow.hold_id)
        .join(LegalHoldIdentifierRow, LegalHoldIdentifierRow.hold_id == LegalHoldRow.hold_id)
        .where(LegalHoldRow.lifted_at.is_(None))
    )
    if of_person_only:
        wanted = wanted.where(LegalHoldRow.study_instance_uid == "")
    value, issuer_oid = LegalHoldIdentifierRow.value, LegalHoldIdentifierRow.issuer_oid
    batches = (
        is_any_of(value, issuer_oid, keys[start : start + _VALUES_PER_QUERY])
        for start in range(0, len(keys), _VALUES_PER_QUERY)
    )
    return any(session.scalar(wanted.where(some).limit(1)) is not None for some in batches)


def _holds(session: Session, where: ColumnElement[bool]) -> tuple[LegalHold, ...]:
    rows = session.scalars(select(LegalHoldRow).where(where).order_by(LegalHoldRow.hold_id.desc()))
    return tuple(map(_hold, rows))


def _hold(row: LegalHoldRow) -> LegalHold:
    return LegalHold(
        hold_id=row.hold_id,
        study_instance_uid=row.study_instance_uid,
        global_id=row.global_id,
        reason=row.reason,
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
        lifted_reason=row.lifted_reason,
    )


def _checked(reason: str) -> str:
    said = reason.strip()
    if not said or len(said) > LONGEST_REASON or not said.isprintable():
        raise InvalidHoldError(f"reason: 1 to {LONGEST_REASON} printable characters")
    return said


def _key(identifier: PatientIdentifier) -> tuple[str, str]:
    return identifier.value.strip(), identifier.issuer.oid
