"""The patient index: local identifiers in, one person out (IHE PIX, ITI TF-1 chapter 5)."""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import select

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.events import InstanceArchived, ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.outbox import Subscriber
from hub_kernel.settings import IdentitySettings
from patient_index import desk, history, merging, queries
from patient_index.errors import UnidentifiedPatientError
from patient_index.global_ids import GlobalIdFactory, SystemGlobalIdFactory
from patient_index.matcher import Matcher
from patient_index.merging import Merger, relink, unlink
from patient_index.model import (
    Decided,
    Decision,
    KnownAs,
    LinkEntry,
    MergeOutcome,
    Person,
    Review,
)
from patient_index.registration import Registrar
from patient_index.statements import Statement, observed
from patient_index.tables import KnownIdentifier, LinkLog, ObservedDemographics
from patient_index.transactions import Work, Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

_REMEMBERED = 4096


class PatientIndex:
    """Says which person an identifier belongs to; safe to use from many threads and processes.

    `global_ids` makes new global IDs; tests pass one that counts. `matcher` compares newcomers with
    who is known; without one, only identifiers and numbers link.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: IdentitySettings,
        *,
        global_ids: GlobalIdFactory | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        self.database = database
        self.clock = clock
        self.matcher = matcher
        self.issuer = AssigningAuthority(settings.global_namespace, settings.global_oid)
        self._writer = Writer(database, global_ids or SystemGlobalIdFactory())
        # Observations are never taken back, so what was observed once need not be looked up again.
        self._observed: set[ObservedPatient] = set()

    def observe(self, patient: ObservedPatient) -> str:
        """Remember what a site says about its patient; return the global ID.

        The same statement again changes nothing and costs one read. An identifier never seen
        before becomes a new person, unless a verified resident ID number makes it a known one.

        Raises:
            UnidentifiedPatientError: the identifier is empty or longer than 64 characters.
        """
        statement = observed(patient, self.clock.now().date())
        known = self._already_known(statement)
        if known is not None:
            return known
        return self.write(lambda work: Registrar(work, self.matcher).register(statement).global_id)

    def resolve(
        self, identifier: PatientIdentifier, *, as_of: datetime | None = None
    ) -> str | None:
        """Return the global ID the identifier belongs to, now or at an earlier time, if any."""
        with self.database.read() as session:
            return queries.global_id_of(session, identifier, as_of)

    def identifiers_of(
        self, global_id: str, *, as_of: datetime | None = None
    ) -> tuple[PatientIdentifier, ...]:
        """Return every identifier that resolves to the global ID, oldest first."""
        with self.database.read() as session:
            if as_of is None:
                return queries.identifiers_of(session, global_id)
            rows = queries.identifiers_by_person(session, [global_id], as_of)
            return tuple(map(queries.identifier, rows.get(global_id, ())))

    def person(self, global_id: str) -> Person | None:
        """Return the person, `None` when nothing resolves to that global ID (any more)."""
        with self.database.read() as session:
            found = queries.persons(session, [global_id])
            return found[0] if found else None

    def persons(self, global_ids: Sequence[str]) -> list[Person]:
        """Return several persons in the order asked, leaving out those nothing resolves to."""
        with self.database.read() as session:
            return queries.persons(session, list(dict.fromkeys(global_ids)))

    def search(
        self, text: str, *, issuers: frozenset[AssigningAuthority] | None, limit: int
    ) -> list[Person]:
        """Return up to `limit` people found by Hanzi, pinyin, initials or any of their numbers.

        Names match from their beginning, numbers as a whole; exact matches come first. `issuers`
        limits the answer to people who have an identifier of one of them; `None` is everybody.
        """
        with self.database.read() as session:
            return queries.search(session, queries.Search(text, issuers, limit))

    def numbered(self, number: str, *, limit: int) -> list[Person]:
        """Return up to `limit` people whom any site, card or the index knows by this very number.

        Nobody is found by a name or by a part of a number.
        """
        with self.database.read() as session:
            asked = queries.Search(number, None, limit, by_number_alone=True)
            return queries.search(session, asked)

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        """Return the global ID as an identifier of the affinity domain."""
        return PatientIdentifier(global_id, self.issuer)

    def is_merged_away(self, identifier: PatientIdentifier) -> bool:
        """Tell whether its source has merged the identifier into another, and not taken it back."""
        with self.database.read() as session:
            row = session.scalar(select(KnownIdentifier).where(queries.is_identifier(identifier)))
            return row is not None and row.id in merging.merged_into(session, [row.id])

    def link(self, identifier: PatientIdentifier, global_id: str, decided: Decided) -> None:
        """Make the identifier resolve to that person from now on, as a person has decided.

        Raises:
            UnknownIdentifierError: the identifier was never observed.
            UnknownPersonError: nothing resolves to that global ID.
        """
        self.write(lambda work: relink(work, identifier, global_id, decided))

    def unlink(self, identifier: PatientIdentifier, decided: Decided) -> str:
        """Make the identifier a person of its own again; return that person's global ID.

        It returns to the global ID it was first given, if nobody else uses that now. No rule will
        link it again. An identifier that is alone already stays as it is.

        Raises:
            UnknownIdentifierError: the identifier was never observed.
        """
        return self.write(lambda work: unlink(work, identifier, decided))

    def merge(self, survivor: str, subsumed: str, decided: Decided) -> MergeOutcome:
        """Make everything that resolves to one global ID resolve to another, as a person decided.

        Raises:
            UnknownPersonError: nothing resolves to one of the two.
        """
        return self.write(lambda work: Merger(work).merge_persons(survivor, subsumed, decided))

    def take_back(self, decision_id: int, decided: Decided) -> int:
        """Undo one decision, whoever made it; return the decision that undid it.

        What it joined no rule joins again; what it took apart is joined again. Identifiers that
        were moved elsewhere since stay there. Taking back twice is taking back once.

        Raises:
            UnknownDecisionError: there is no such decision, or it changed nothing.
        """
        return self.write(lambda work: Merger(work).take_back(decision_id, decided))

    def history(self, identifier: PatientIdentifier) -> tuple[LinkEntry, ...]:
        """Return every line of the link log about an identifier, oldest first."""
        with self.database.read() as session:
            return history.of_identifier(session, identifier)

    def decisions(self, global_id: str) -> tuple[Decision, ...]:
        """Return every decision that joined others to a person or took them away, oldest first."""
        with self.database.read() as session:
            return history.of_person(session, global_id)

    def decision(self, decision_id: int) -> Decision | None:
        """Return one decision with what it moved and why."""
        with self.database.read() as session:
            return history.decision(session, decision_id)

    def successor(self, global_id: str) -> str | None:
        """Return to whom a global ID leads now: itself while in use, None if never issued."""
        with self.database.read() as session:
            return history.successor(session, global_id)

    def known_as(self, global_id: str) -> KnownAs:
        """Return every identifier that resolves to a global ID, and every other one leading there.

        Both oldest first; nothing for a global ID that is not in use.
        """
        with self.database.read() as session:
            return history.known_as(session, global_id)

    def open_reviews(self, *, limit: int = 100) -> list[Review]:
        """Return the oldest questions that wait for a person: not decided, and still two people."""
        with self.database.read() as session:
            return desk.reviews(session, desk.Queue(), limit=limit)

    def keep_apart(self, review_id: int, decided: Decided) -> None:
        """Answer a review: two people. No rule will link them; `link` still can.

        Raises:
            UnknownReviewError: there is no such review.
        """
        self.write(lambda work: desk.keep_apart(work, review_id, decided))

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions to events: every archived instance is an observation."""
        return [
            Subscriber(
                "patient-index",
                InstanceArchived,
                self._instance_archived,
                news=self._unobserved,
            )
        ]

    def write(self, change: Callable[[Work], T]) -> T:
        """Run a change in a unit of work, again when another writer was there first."""
        return self._writer.write(change)

    def _unobserved(self, archived: Sequence[InstanceArchived]) -> Iterable[InstanceArchived]:
        """Return one event for each patient who has not been observed just so."""
        return {one.patient: one for one in archived if one.patient not in self._observed}.values()

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
                queries.is_identifier(statement.own[0]),
                ObservedDemographics.fingerprint == statement.fingerprint,
            )
            .order_by(LinkLog.position.desc())
            .limit(1)
        )
        with self.database.read() as session:
            return session.scalar(asked)
