"""A region in memory that links records one by one, as the hub does, and knows the truth."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.matching.population.registrations import Registration
from patient_index.link_rules import (
    CARD_RULES,
    LINK_RULES,
    Evidence,
    Observation,
    Verdict,
    first_rule,
    numbers_differ,
)
from patient_index.matching import (
    Comparison,
    Decision,
    MatchRecord,
    Weights,
    blocking_keys,
    compare,
    judge,
    prepare,
)
from patient_index.matching.blocking import LARGEST_BLOCK
from patient_index.resident_id import IdentityNumber, read_number

MOST_COMPARED = 40
_TODAY = datetime(2026, 11, 21, tzinfo=UTC).date()


@dataclass(slots=True)
class Tally:
    """What became of the registrations."""

    registered: int = 0
    linked: Counter[str] = field(default_factory=Counter)
    """By what: "number", "card", "likeness"."""
    reviewed: Counter[str] = field(default_factory=Counter)
    """By the reason why a person has to look."""
    reviewed_rightly: int = 0
    """Reviews whose candidate is indeed the same person."""
    compared: int = 0
    false_links: list[str] = field(default_factory=list)
    """How each link to somebody else came about, without anybody's data."""


@dataclass(slots=True)
class _Outcome:
    how: str
    person: int | None = None
    review_of: int | None = None
    detail: str = ""


class Region:
    """Registers records in the order in which they arrive; nobody answers the reviews."""

    def __init__(self, weights: Weights) -> None:
        """Start without anybody."""
        self._weights = weights
        self._records: list[MatchRecord] = []
        self._person_of: list[int] = []
        self._truths: list[set[int]] = []
        self._truth_of_record: list[int] = []
        self._evidence: list[tuple[Observation, ...]] = []
        self._numbers_of: list[frozenset[IdentityNumber]] = []
        self._blocks: dict[int, int | list[int]] = {}
        self._holders: dict[str, list[int]] = defaultdict(list)
        self.tally = Tally()

    def register(self, registration: Registration) -> None:
        """Link the registration to a person, ask for a review, or make a new person."""
        record = prepare(registration.demographics, registration.identifiers)
        keys = [hash(key) for key in blocking_keys(record)]
        said = registration.demographics
        seen = Observation(said.name, said.birth_date, said.sex)
        numbers = frozenset(read_number(value, _TODAY) for value in record.resident_numbers)
        outcome = self._by_numbers(record, Evidence((seen,), numbers))
        if outcome is None:
            outcome = self._by_likeness(record, keys, Evidence((seen,), numbers))
        self._count(outcome, registration)
        self._keep(outcome, record, keys, Evidence((seen,), numbers), registration.person)

    def true_pairs_linked(self) -> int:
        """Return how many pairs of records are in one person, and belong there."""
        return sum(
            count * (count - 1) // 2 for person in self._clusters() for count in person.values()
        )

    def false_pairs_linked(self) -> int:
        """Return how many pairs of records of different people are in one person."""
        wrong = 0
        for person in self._clusters():
            total = person.total()
            right = sum(count * (count - 1) for count in person.values())
            wrong += (total * (total - 1) - right) // 2
        return wrong

    def _clusters(self) -> list[Counter[int]]:
        clusters: list[Counter[int]] = [Counter() for _ in self._truths]
        for person, truth in zip(self._person_of, self._truth_of_record, strict=True):
            clusters[person][truth] += 1
        return clusters

    def _by_numbers(self, record: MatchRecord, mine: Evidence) -> _Outcome | None:
        """Decide by verified resident numbers and by cards, with the hub's own rules."""
        ways = (
            ("number", record.resident_numbers, LINK_RULES),
            ("card", record.cards, CARD_RULES),
        )
        found = {
            how: {person for value in values for person in self._holders.get(value, ())}
            for how, values, _ in ways
        }
        everybody = set().union(*found.values())
        if not everybody:
            return None
        if len(everybody) > 1:
            return _Outcome("several-persons", review_of=min(everybody))
        [person] = everybody
        theirs = Evidence(self._evidence[person], self._numbers_of[person])
        rules = [(how, first_rule(table, mine, theirs)) for how, _, table in ways if found[how]]
        for how, rule in rules:
            if rule.verdict is Verdict.LINK:
                return _Outcome(how, person=person, detail=rule.name)
        return _Outcome(rules[0][1].name, review_of=person)

    def _by_likeness(self, record: MatchRecord, keys: list[int], mine: Evidence) -> _Outcome:
        compared: list[tuple[str, Comparison]] = []
        if record.newborn is None and record.names and record.certain:
            for number in self._candidates(keys):
                comparison = compare(record, self._records[number], self._weights)
                compared.append((str(self._person_of[number]), comparison))
        self.tally.compared += len(compared)
        verdict = judge(compared, self._weights.thresholds)
        if verdict.best is None:
            return _Outcome("new")
        person = int(verdict.best)
        theirs = Evidence(self._evidence[person], self._numbers_of[person])
        if verdict.decision is Decision.LINK and not numbers_differ(mine, theirs):
            return _Outcome("likeness", person=person, detail=self._why(compared, verdict.best))
        return _Outcome(f"likeness: {verdict.reason}", review_of=person)

    @staticmethod
    def _why(compared: list[tuple[str, Comparison]], best: str) -> str:
        comparison = max((c for person, c in compared if person == best), key=lambda c: c.score)
        levels = " ".join(
            f"{one.field}={one.level}({one.weight:+.1f})"
            for one in comparison.fields
            if one.level != "unknown"
        )
        return f"{comparison.score:.1f} {comparison.alternative}: {levels}"

    def _candidates(self, keys: list[int]) -> list[int]:
        shared: Counter[int] = Counter()
        for key in keys:
            block = self._blocks.get(key)
            if isinstance(block, int):
                shared[block] += 1
            elif block is not None and len(block) <= LARGEST_BLOCK:
                shared.update(block)
        return [number for number, _ in shared.most_common(MOST_COMPARED)]

    def _count(self, outcome: _Outcome, registration: Registration) -> None:
        tally = self.tally
        tally.registered += 1
        if outcome.person is not None:
            tally.linked[outcome.how] += 1
            if registration.person not in self._truths[outcome.person]:
                spoilt = ",".join(registration.spoilt)
                tally.false_links.append(f"{outcome.how} [{spoilt}] {outcome.detail}")
        elif outcome.review_of is not None:
            tally.reviewed[outcome.how] += 1
            tally.reviewed_rightly += registration.person in self._truths[outcome.review_of]

    def _keep(
        self,
        outcome: _Outcome,
        record: MatchRecord,
        keys: list[int],
        evidence: Evidence,
        truth: int,
    ) -> None:
        number = len(self._records)
        self._records.append(record)
        person = outcome.person
        if person is None:
            person = len(self._truths)
            self._truths.append(set())
            self._evidence.append(())
            self._numbers_of.append(frozenset())
        self._person_of.append(person)
        self._truth_of_record.append(truth)
        self._truths[person].add(truth)
        self._evidence[person] += evidence.observations
        self._numbers_of[person] |= evidence.numbers
        for value in (*record.resident_numbers, *record.cards):
            if person not in self._holders[value]:
                self._holders[value].append(person)
        for key in keys:
            block = self._blocks.get(key)
            if block is None:
                self._blocks[key] = number
            elif isinstance(block, int):
                self._blocks[key] = [block, number]
            else:
                block.append(number)
