"""The patient index: local identifiers in, one person out (IHE PIX, ITI TF-1 chapter 5)."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from hub_kernel.clock import Clock
from hub_kernel.database import Database, UnitOfWork
from hub_kernel.events import InstanceArchived, ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.outbox import Subscriber
from hub_kernel.settings import IdentitySettings
from patient_index import queries
from patient_index.errors import (
    UnidentifiedPatientError,
    UnknownIdentifierError,
    UnknownPersonError,
    UnknownReviewError,
)
from patient_index.global_ids import GlobalIdFactory, SystemGlobalIdFactory
from patient_index.model import Decided, LinkEntry, Person, Review
from patient_index.registration import (
    LINK,
    REGISTER,
    UNLINK,
    NewLink,
    Registrar,
    Statement,
    statement_of,
)
from patient_index.tables import (
    KnownIdentifier,
    LinkLog,
    LinkReview,
    LinkReviewDecision,
    ObservedDemographics,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 8
_REMEMBERED = 4096


class PatientIndex:
    """Says which person an identifier belongs to; safe to use from many threads and processes.

    `global_ids` makes new global IDs; tests pass one that counts.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: IdentitySettings,
        *,
        global_ids: GlobalIdFactory | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._issuer = AssigningAuthority(settings.global_namespace, settings.global_oid)
        self._global_ids = global_ids or SystemGlobalIdFactory()
        # Observations are never taken back, so what was observed once need not be looked up again.
        self._observed: set[ObservedPatient] = set()

    def observe(self, patient: ObservedPatient) -> str:
        """Remember what a site says about its patient; return the global ID.

        The same statement again changes nothing and costs one read. An identifier never seen
        before becomes a new person, unless a verified resident ID number makes it a known one.

        Raises:
            UnidentifiedPatientError: the identifier is empty or longer than 64 characters.
        """
        statement = statement_of(patient, self._clock.now().date())
        known = self._already_known(statement)
        if known is not None:
            return known
        return self._written(lambda registrar, _session: registrar.register(statement))

    def resolve(
        self, identifier: PatientIdentifier, *, as_of: datetime | None = None
    ) -> str | None:
        """Return the global ID the identifier belongs to, now or at an earlier time, if any."""
        with self._database.read() as session:
            return queries.global_id_of(session, identifier, as_of)

    def identifiers_of(
        self, global_id: str, *, as_of: datetime | None = None
    ) -> tuple[PatientIdentifier, ...]:
        """Return every identifier that resolves to the global ID, oldest first."""
        with self._database.read() as session:
            rows = queries.identifiers_by_person(session, [global_id], as_of)
            return tuple(map(queries.identifier, rows.get(global_id, ())))

    def person(self, global_id: str) -> Person | None:
        """Return the person, `None` when nothing resolves to that global ID (any more)."""
        with self._database.read() as session:
            found = queries.persons(session, [global_id])
            return found[0] if found else None

    def persons(self, global_ids: Sequence[str]) -> list[Person]:
        """Return several persons in the order asked, leaving out those nothing resolves to."""
        with self._database.read() as session:
            return queries.persons(session, list(dict.fromkeys(global_ids)))

    def search(
        self, text: str, *, issuers: frozenset[AssigningAuthority] | None, limit: int
    ) -> list[Person]:
        """Return up to `limit` people found by Hanzi, pinyin, initials or any of their numbers.

        Names match from their beginning, numbers as a whole; exact matches come first. `issuers`
        limits the answer to people who have an identifier of one of them; `None` is everybody.
        """
        with self._database.read() as session:
            return queries.search(session, queries.Search(text, issuers, limit))

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        """Return the global ID as an identifier of the affinity domain."""
        return PatientIdentifier(global_id, self._issuer)

    def link(self, identifier: PatientIdentifier, global_id: str, decided: Decided) -> None:
        """Make the identifier resolve to that person from now on, as a person has decided.

        Raises:
            UnknownIdentifierError: the identifier was never observed.
            UnknownPersonError: nothing resolves to that global ID.
        """

        def write(registrar: Registrar, session: Session) -> None:
            row = _known_row(session, identifier)
            if not queries.identifiers_by_person(session, [global_id]):
                raise UnknownPersonError("no identifier resolves to this global ID")
            if queries.global_id_of(session, identifier) != global_id:
                registrar.move([row], NewLink(global_id, LINK, decided))

        self._written(write)

    def unlink(self, identifier: PatientIdentifier, decided: Decided) -> str:
        """Make the identifier a person of its own again; return that person's global ID.

        It returns to the global ID it was first given, if nobody else uses that now. No rule will
        link it again. An identifier that is alone already stays as it is.

        Raises:
            UnknownIdentifierError: the identifier was never observed.
        """

        def write(registrar: Registrar, session: Session) -> str:
            row = _known_row(session, identifier)
            current = queries.global_id_of(session, identifier) or ""
            first = _first_global_id(session, row)
            groups = queries.identifiers_by_person(session, [current, first])
            if len(groups.get(current, ())) == 1:
                return current
            own = first if first not in groups else registrar.issue()
            registrar.move([row], NewLink(own, UNLINK, decided))
            return own

        return self._written(write)

    def history(self, identifier: PatientIdentifier) -> tuple[LinkEntry, ...]:
        """Return every line of the link log about an identifier, oldest first."""
        with self._database.read() as session:
            rows = session.scalars(
                select(LinkLog)
                .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
                .where(queries.is_identifier(identifier))
                .order_by(LinkLog.position)
            )
            return tuple(_entry(identifier, row) for row in rows)

    def open_reviews(self, *, limit: int = 100) -> list[Review]:
        """Return the oldest questions that wait for a person: not decided, and still two people."""
        with self._database.read() as session:
            return _open_reviews(session, limit)

    def keep_apart(self, review_id: int, decided: Decided) -> None:
        """Answer a review: two people. No rule will link them; `link` still can.

        Raises:
            UnknownReviewError: there is no such review.
        """

        def write(_registrar: Registrar, session: Session) -> None:
            if session.get(LinkReview, review_id) is None:
                raise UnknownReviewError("no such review")
            answered = select(LinkReviewDecision.id).where(
                LinkReviewDecision.review_id == review_id
            )
            if session.scalar(answered) is None:
                decision = LinkReviewDecision(
                    review_id=review_id,
                    decided_by=decided.by[:128],
                    reason=decided.reason[:400],
                    decided_at=self._clock.now(),
                )
                session.add(decision)

        self._written(write)

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions to events: every archived instance is an observation."""
        return [Subscriber("patient-index", InstanceArchived, self._instance_archived)]

    def _instance_archived(self, archived: InstanceArchived) -> None:
        """Observe the patient; the thousand instances of one study are one observation."""
        if archived.patient in self._observed:
            return
        try:
            self.observe(archived.patient)
            if len(self._observed) >= _REMEMBERED:
                self._observed.clear()
            self._observed.add(archived.patient)
        except UnidentifiedPatientError:
            # Trying again would not help; the study stays reachable by its UIDs.
            log.warning("study without a usable patient ID", extra={"site_id": archived.site_id})

    def _already_known(self, statement: Statement) -> str | None:
        asked = (
            select(LinkLog.global_id)
            .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
            .join(ObservedDemographics, ObservedDemographics.identifier_id == KnownIdentifier.id)
            .where(
                queries.is_identifier(statement.patient.identifier),
                ObservedDemographics.fingerprint == statement.fingerprint,
            )
            .order_by(LinkLog.position.desc())
            .limit(1)
        )
        with self._database.read() as session:
            return session.scalar(asked)

    def _written(self, write: Callable[[Registrar, Session], T]) -> T:
        """Run `write` in a unit of work, again when another writer was there first."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._write_once(write)
            except IntegrityError:
                # Registered or linked by somebody else since we looked: look again.
                continue
        return self._write_once(write)

    def _write_once(self, write: Callable[[Registrar, Session], T]) -> T:
        with self._database.unit_of_work() as unit:
            return write(self._registrar(unit), unit.session)

    def _registrar(self, unit: UnitOfWork) -> Registrar:
        return Registrar(unit, self._global_ids)


def _known_row(session: Session, identifier: PatientIdentifier) -> KnownIdentifier:
    row = session.scalar(select(KnownIdentifier).where(queries.is_identifier(identifier)))
    if row is None:
        raise UnknownIdentifierError("this patient identifier was never observed")
    return row


def _first_global_id(session: Session, row: KnownIdentifier) -> str:
    first = session.scalar(
        select(LinkLog.global_id).where(LinkLog.identifier_id == row.id, LinkLog.action == REGISTER)
    )
    return first or ""


def _entry(identifier: PatientIdentifier, row: LinkLog) -> LinkEntry:
    decided = Decided(by=row.decided_by, reason=row.reason, rule=row.rule)
    return LinkEntry(identifier, row.global_id, row.action, decided, row.logged_at)


def _open_reviews(session: Session, limit: int) -> list[Review]:
    one, other = aliased(KnownIdentifier), aliased(KnownIdentifier)
    its, theirs = queries.current_links(), queries.current_links()
    decided = exists().where(LinkReviewDecision.review_id == LinkReview.id)
    rows = session.execute(
        select(LinkReview, one, other)
        .join(one, one.id == LinkReview.identifier_id)
        .join(other, other.id == LinkReview.candidate_id)
        .join(its, its.c.identifier_id == LinkReview.identifier_id)
        .join(theirs, theirs.c.identifier_id == LinkReview.candidate_id)
        .where(its.c.global_id != theirs.c.global_id, ~decided)
        .order_by(LinkReview.id)
        .limit(limit)
    )
    return [
        Review(
            review.id,
            queries.identifier(first),
            queries.identifier(second),
            review.rule,
            review.reason,
        )
        for review, first, second in rows
    ]
