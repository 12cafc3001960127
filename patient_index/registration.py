"""Write what a site says about a patient, and let the rules link persons, in one unit of work."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hub_kernel.database import UnitOfWork
from hub_kernel.events import LinkChanged, ObservedPatient, new_event
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import name_keys
from patient_index import queries
from patient_index.errors import UnidentifiedPatientError
from patient_index.global_ids import GlobalIdFactory
from patient_index.model import (
    SEPARATED_BEFORE,
    SEVERAL_PERSONS,
    Decided,
    Evidence,
    LinkRule,
    Verdict,
    decide_link,
)
from patient_index.resident_id import IdentityNumber, NumberKind, read_number
from patient_index.tables import (
    GlobalPerson,
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    LinkLog,
    LinkReview,
    LinkReviewDecision,
    ObservedDemographics,
)

REGISTER, LINK, UNLINK = "REGISTER", "LINK", "UNLINK"

_LONGEST_IDENTIFIER = 64
_MOST_NUMBERS = 16
_MOST_CANDIDATES = 64
_LINKING_KINDS = frozenset({NumberKind.RESIDENT, NumberKind.OLD_RESIDENT})
_NEW_IDENTIFIER = Decided(by="rule", rule="new-identifier", reason="first seen")


@dataclass(frozen=True)
class Statement:
    """An observation made ready to be stored: its numbers read, its fingerprint taken."""

    patient: ObservedPatient
    numbers: tuple[IdentityNumber, ...]
    fingerprint: str


@dataclass(frozen=True)
class NewLink:
    """Where identifiers are moved to, and why."""

    global_id: str
    action: str
    decided: Decided


def statement_of(patient: ObservedPatient, today: date) -> Statement:
    """Return what is to be stored; equal observations have equal fingerprints.

    Raises:
        UnidentifiedPatientError: the identifier is empty or longer than PS3.5 allows.
    """
    value = patient.identifier.value.strip()
    if not value or len(value) > _LONGEST_IDENTIFIER or not value.isprintable():
        raise UnidentifiedPatientError("patient identifier must have 1 to 64 printable characters")
    texts = (value, *patient.other_ids[:_MOST_NUMBERS])
    read = [read_number(text, today) for text in texts if len(text) <= _LONGEST_IDENTIFIER]
    # A local ID that is no resident's number is found as identifier already.
    numbers = {
        number.value: number
        for place, number in enumerate(read)
        if number.value.isprintable()
        and number.value
        and (place > 0 or number.kind is not NumberKind.OTHER)
    }
    said = [
        patient.name.dicom,
        patient.name.confident,
        str(patient.birth_date),
        patient.sex,
        sorted(numbers),
    ]
    fingerprint = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return Statement(patient, tuple(numbers.values()), fingerprint)


class Registrar:
    """Writes inside the unit of work it is given; commits nothing itself."""

    def __init__(self, unit: UnitOfWork, global_ids: GlobalIdFactory) -> None:
        self._unit = unit
        self._session: Session = unit.session
        self._global_ids = global_ids
        self._now = unit.clock.now()

    def register(self, statement: Statement) -> str:
        """Store the statement, apply the rules, return the global ID of its identifier."""
        row = self._identifier_row(statement.patient.identifier)
        self._store_demographics(row, statement)
        self._store_numbers(row, statement.numbers)
        # Its own ID first, whatever the rules say next: an undone link has somewhere to return to.
        current = self._current_link(row)
        if current is None:
            issued = self.issue()
            self._append(row, None, NewLink(issued, REGISTER, _NEW_IDENTIFIER))
            return self._apply_rules(row, issued)
        return self._apply_rules(row, current.global_id)

    def move(self, rows: Sequence[KnownIdentifier], link: NewLink) -> None:
        """Log that these identifiers resolve to another person from now on, and tell everybody."""
        newest = self._current_links([row.id for row in rows])
        for row in rows:
            self._append(row, newest[row.id], link)
            moved = new_event(
                LinkChanged,
                self._unit.clock,
                identifier=queries.identifier(row),
                global_id=link.global_id,
            )
            self._unit.publish(moved)
        self._session.flush()

    def issue(self) -> str:
        """Issue a global ID that nothing resolves to yet."""
        issued = self._global_ids.new_global_id()
        self._session.add(GlobalPerson(global_id=issued, issued_at=self._now))
        self._session.flush()
        return issued

    def _identifier_row(self, identifier: PatientIdentifier) -> KnownIdentifier:
        known = self._session.scalar(
            select(KnownIdentifier).where(queries.is_identifier(identifier))
        )
        if known is not None:
            return known
        row = KnownIdentifier(
            value=identifier.value.strip(),
            issuer_oid=identifier.issuer.oid,
            issuer_namespace=identifier.issuer.namespace,
            registered_at=self._now,
        )
        self._session.add(row)
        self._session.flush()
        return row

    def _store_demographics(self, row: KnownIdentifier, statement: Statement) -> None:
        stored = select(ObservedDemographics.id).where(
            ObservedDemographics.identifier_id == row.id,
            ObservedDemographics.fingerprint == statement.fingerprint,
        )
        if self._session.scalar(stored) is not None:
            return
        name, keys = statement.patient.name, name_keys(statement.patient.name)
        demographics = ObservedDemographics(
            identifier_id=row.id,
            fingerprint=statement.fingerprint,
            name_alphabetic=name.alphabetic[:255],
            name_ideographic=name.ideographic[:255],
            name_phonetic=name.phonetic[:255],
            name_confident=name.confident,
            name_rule=name.rule[:64],
            key_hanzi=keys.hanzi[:255],
            key_pinyin=keys.pinyin[:255],
            key_initials=keys.initials[:255],
            key_alphabetic=keys.alphabetic[:255],
            birth_date=statement.patient.birth_date,
            sex=statement.patient.sex[:16],
            observed_at=self._now,
        )
        self._session.add(demographics)
        self._session.flush()

    def _store_numbers(self, row: KnownIdentifier, numbers: Sequence[IdentityNumber]) -> None:
        if not numbers:
            return
        # Locked until commit (SQLite locks everything anyway): two sites that bring the same
        # number at the same moment decide one after the other, and the second sees the first.
        rows = self._session.scalars(
            select(IdentityNumberRow)
            .where(IdentityNumberRow.value.in_([number.value for number in numbers]))
            .order_by(IdentityNumberRow.id)
            .with_for_update()
        )
        known = {(number.value, number.kind): number for number in rows}
        for number in sorted(numbers, key=lambda one: one.value):
            if (number.value, number.kind) not in known:
                new = IdentityNumberRow(value=number.value, kind=number.kind.value)
                self._session.add(new)
                known[number.value, number.kind] = new
        self._session.flush()
        stored = set(
            self._session.scalars(
                select(IdentityEvidence.number_id).where(IdentityEvidence.identifier_id == row.id)
            )
        )
        for number in numbers:
            number_id = known[number.value, number.kind].id
            if number_id not in stored:
                evidence = IdentityEvidence(
                    identifier_id=row.id, number_id=number_id, observed_at=self._now
                )
                self._session.add(evidence)
        self._session.flush()

    def _apply_rules(self, row: KnownIdentifier, global_id: str) -> str:
        """Link the person of `row` to another, or ask a person; return the global ID now valid."""
        candidates = self._candidates(row, global_id)
        if not candidates:
            return global_id
        if len(set(candidates.values())) > 1:
            self._ask(row, candidates, SEVERAL_PERSONS)
            return global_id
        other = next(iter(candidates.values()))
        groups = queries.identifiers_by_person(self._session, [global_id, other])
        mine, theirs = groups[global_id], groups[other]
        rule = decide_link(*self._evidence(mine, theirs))
        if rule.verdict is Verdict.LINK and self._separated_by_a_person([*mine, *theirs]):
            rule = SEPARATED_BEFORE
        if rule.verdict is Verdict.REVIEW:
            self._ask(row, candidates, rule)
            return global_id
        survivor = self._older(global_id, other)
        decided = Decided(by="rule", rule=rule.name, reason=rule.reason)
        self.move(theirs if survivor == global_id else mine, NewLink(survivor, LINK, decided))
        return survivor

    def _candidates(self, row: KnownIdentifier, global_id: str) -> dict[int, str]:
        """Identifiers of other persons that share a number with `row`, and whose they are."""
        mine = (
            select(IdentityEvidence.number_id)
            .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
            .where(
                IdentityEvidence.identifier_id == row.id,
                IdentityNumberRow.kind.in_([kind.value for kind in _LINKING_KINDS]),
            )
        )
        links = queries.current_links()
        found = self._session.execute(
            select(IdentityEvidence.identifier_id, links.c.global_id)
            .join(links, links.c.identifier_id == IdentityEvidence.identifier_id)
            .where(
                IdentityEvidence.number_id.in_(mine),
                IdentityEvidence.identifier_id != row.id,
                links.c.global_id != global_id,
            )
            .order_by(IdentityEvidence.identifier_id)
            .limit(_MOST_CANDIDATES)
        )
        return {row.identifier_id: row.global_id for row in found}

    def _evidence(
        self, mine: list[KnownIdentifier], theirs: list[KnownIdentifier]
    ) -> tuple[Evidence, Evidence]:
        everybody = [row.id for row in (*mine, *theirs)]
        observed = queries.observations_by_identifier(self._session, everybody)
        numbers: dict[int, set[IdentityNumber]] = {}
        for identifier_id, value in self._session.execute(
            select(IdentityEvidence.identifier_id, IdentityNumberRow.value)
            .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
            .where(IdentityEvidence.identifier_id.in_(everybody))
        ):
            number = read_number(value, self._now.date())
            numbers.setdefault(identifier_id, set()).add(number)

        def of(rows: list[KnownIdentifier]) -> Evidence:
            return Evidence(
                tuple(queries.observation(o) for row in rows for o in observed.get(row.id, ())),
                frozenset(number for row in rows for number in numbers.get(row.id, ())),
            )

        return of(mine), of(theirs)

    def _separated_by_a_person(self, rows: Sequence[KnownIdentifier]) -> bool:
        """What a person has taken or kept apart, no rule puts together again."""
        ids = [row.id for row in rows]
        kept_apart = (
            select(LinkReviewDecision.id)
            .join(LinkReview, LinkReview.id == LinkReviewDecision.review_id)
            .where(LinkReview.identifier_id.in_(ids), LinkReview.candidate_id.in_(ids))
        )
        unlinked = select(LinkLog.id).where(
            LinkLog.identifier_id.in_(ids), LinkLog.action == UNLINK
        )
        return self._session.scalar(kept_apart.union_all(unlinked).limit(1)) is not None

    def _ask(self, row: KnownIdentifier, candidates: dict[int, str], rule: LinkRule) -> None:
        """Add one review per other person, unless it was asked before, in either direction."""
        pairs = self._session.execute(
            select(LinkReview.identifier_id, LinkReview.candidate_id).where(
                LinkReview.rule == rule.name,
                or_(LinkReview.identifier_id == row.id, LinkReview.candidate_id == row.id),
            )
        )
        asked = {frozenset((one, other)) for one, other in pairs}
        by_person: dict[str, list[int]] = {}
        for identifier_id, global_id in candidates.items():
            by_person.setdefault(global_id, []).append(identifier_id)
        for candidate, *others in by_person.values():
            pairs_now = {frozenset((row.id, other)) for other in (candidate, *others)}
            if not pairs_now & asked:
                review = LinkReview(
                    identifier_id=row.id,
                    candidate_id=candidate,
                    rule=rule.name,
                    reason=rule.reason,
                    raised_at=self._now,
                )
                self._session.add(review)
        self._session.flush()

    def _older(self, one: str, other: str) -> str:
        first = self._session.scalar(
            select(GlobalPerson.global_id)
            .where(GlobalPerson.global_id.in_([one, other]))
            .order_by(GlobalPerson.id)
            .limit(1)
        )
        return first or one

    def _current_link(self, row: KnownIdentifier) -> LinkLog | None:
        return self._current_links([row.id]).get(row.id)

    def _current_links(self, identifier_ids: Sequence[int]) -> dict[int, LinkLog]:
        rows = self._session.scalars(
            select(LinkLog)
            .where(LinkLog.identifier_id.in_(identifier_ids))
            .order_by(LinkLog.position)
        )
        return {row.identifier_id: row for row in rows}

    def _append(self, row: KnownIdentifier, last: LinkLog | None, link: NewLink) -> None:
        entry = LinkLog(
            identifier_id=row.id,
            position=last.position + 1 if last else 1,
            global_id=link.global_id,
            action=link.action,
            rule=link.decided.rule[:64],
            reason=link.decided.reason[:400],
            decided_by=link.decided.by[:128],
            logged_at=self._now,
        )
        self._session.add(entry)
