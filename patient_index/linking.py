"""Decide who a newcomer is: stated identifiers first, then numbers and cards, then likeness."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import aliased

from patient_index import candidates, queries, reviewing
from patient_index.candidates import Holders
from patient_index.explanations import joined
from patient_index.link_log import APART, LINK, Change, LinkWriter, Step
from patient_index.link_rules import (
    CARD_RULES,
    EXPLICIT_RULES,
    LINK_RULES,
    MATCHED_RECORD,
    SEPARATED_BEFORE,
    SEVERAL_PERSONS,
    SIMILAR_RECORD,
    Evidence,
    LinkRule,
    first_rule,
    numbers_differ,
)
from patient_index.link_rules import Verdict as RuleVerdict
from patient_index.matcher import Found, Matcher
from patient_index.matching import Decision, MatchRecord, Verdict
from patient_index.model import Decided, Explanation, FieldNote
from patient_index.resident_id import IdentityNumber, read_number
from patient_index.statements import Statement
from patient_index.tables import (
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    LinkLog,
    LinkReview,
)
from patient_index.tables_feed import ReviewAnswer
from patient_index.transactions import LinksMovedError, Work


@dataclass(frozen=True)
class Newcomer:
    """An identifier of which something new was just stated.

    `explicit` are identifiers that the source itself gave to the same patient. `record` is None
    where likeness may not decide: without weights, for the provisional, for doubtful names.
    """

    identifier_id: int
    global_id: str
    statement: Statement
    explicit: Holders = field(default_factory=dict)
    record: MatchRecord | None = None
    keys: tuple[int, ...] = ()
    is_new: bool = False


@dataclass(frozen=True)
class Linked:
    """What was decided about a newcomer."""

    global_id: str
    rule: str | None = None
    review_id: int | None = None


@dataclass(frozen=True)
class _Case:
    """A newcomer and one person it may be: by whose identifiers, and why that is thought."""

    newcomer: Newcomer
    other: str
    holders: Holders
    explanation: Explanation


class Linker:
    """Decides inside the unit of work it is given."""

    def __init__(self, work: Work, links: LinkWriter, matcher: Matcher | None) -> None:
        self._work = work
        self._session = work.session
        self._links = links
        self._matcher = matcher

    def apply(self, newcomer: Newcomer) -> Linked:
        """Link the newcomer to a known person, ask a person about it, or leave it a person."""
        stated = candidates.holders_stated(
            self._session, newcomer.statement, newcomer.global_id, self._work.now.date()
        )
        explicit = {**stated.explicit, **newcomer.explicit}
        numbers = self._numbers(newcomer)
        everybody = {**explicit, **numbers, **stated.cards}
        if not everybody:
            return self._alike(newcomer)
        ways = (
            (explicit, EXPLICIT_RULES),
            (numbers, LINK_RULES),
            (stated.cards, CARD_RULES),
        )
        persons = set(explicit.values()) or set(everybody.values())
        if len(persons) > 1:
            return self._ask(newcomer, everybody, SEVERAL_PERSONS, Explanation())
        [other] = persons
        holders = {one: whose for one, whose in everybody.items() if whose == other}
        rules = [table for found, table in ways if other in found.values()]
        linked = self._by_rule(newcomer, holders, rules)
        rest = {one: whose for one, whose in everybody.items() if whose != other}
        if rest:
            self._ask(newcomer, rest, SEVERAL_PERSONS, Explanation())
        return linked

    def _numbers(self, newcomer: Newcomer) -> Holders:
        if newcomer.is_new and not newcomer.statement.numbers:
            return {}
        return candidates.holders_of_numbers(
            self._session, newcomer.identifier_id, newcomer.global_id
        )

    def _by_rule(
        self, newcomer: Newcomer, holders: Holders, tables: Sequence[tuple[LinkRule, ...]]
    ) -> Linked:
        """All of `holders` are identifiers of one person."""
        other = next(iter(holders.values()))
        mine, theirs = self._locked(newcomer, other, holders)
        evidence = self._evidence(mine, theirs)
        applying = [first_rule(table, *evidence) for table in tables]
        rule = next((one for one in applying if one.verdict is RuleVerdict.LINK), applying[0])
        if rule.verdict is RuleVerdict.LINK and self._separated_by_a_person([*mine, *theirs]):
            rule = SEPARATED_BEFORE
        explanation = self._explained(newcomer, holders, rule)
        if rule.verdict is RuleVerdict.REVIEW:
            return self._ask(newcomer, holders, rule, explanation)
        return self._link(_Case(newcomer, other, holders, explanation), rule, mine, theirs)

    def _alike(self, newcomer: Newcomer) -> Linked:
        """Compare with whoever shares a key; the weights decide."""
        nobody = Linked(newcomer.global_id)
        if self._matcher is None or newcomer.record is None:
            return nobody
        sharing = candidates.sharing_keys(self._session, newcomer.keys, {newcomer.identifier_id})
        known = candidates.records(self._session, self._matcher, sharing)
        others = [one for one in known if one.global_id != newcomer.global_id]
        found = self._matcher.compared(newcomer.record, others)
        verdict = self._matcher.verdict(found)
        if verdict.decision is Decision.NEW:
            return nobody
        best = next(one for one in found if one.known.global_id == verdict.best)
        return self._by_likeness(newcomer, best, verdict)

    def _by_likeness(self, newcomer: Newcomer, best: Found, verdict: Verdict) -> Linked:
        assert self._matcher is not None  # noqa: S101 (its caller has one)
        explanation = self._matcher.explanation(best.comparison)
        holders = {best.known.identifier_id: best.known.global_id}
        if verdict.decision is not Decision.LINK:
            asked = joined([FieldNote("decision", verdict.reason)], explanation)
            return self._ask(newcomer, holders, SIMILAR_RECORD, asked)
        mine, theirs = self._locked(newcomer, best.known.global_id, holders)
        if numbers_differ(*self._evidence(mine, theirs)):
            asked = joined([FieldNote("decision", "several-numbers")], explanation)
            return self._ask(newcomer, holders, SIMILAR_RECORD, asked)
        if self._separated_by_a_person([*mine, *theirs]):
            return self._ask(newcomer, holders, SEPARATED_BEFORE, explanation)
        case = _Case(newcomer, best.known.global_id, holders, explanation)
        return self._link(case, MATCHED_RECORD, mine, theirs)

    def _link(
        self,
        case: _Case,
        rule: LinkRule,
        mine: list[KnownIdentifier],
        theirs: list[KnownIdentifier],
    ) -> Linked:
        newcomer = case.newcomer
        survivor = self._links.older(newcomer.global_id, case.other)
        subsumed = case.other if survivor == newcomer.global_id else newcomer.global_id
        holder = next(iter(case.holders))
        ids = (newcomer.identifier_id, holder)
        kept, moved = ids if survivor == newcomer.global_id else (ids[1], ids[0])
        change = Change(
            action=LINK,
            survivor=survivor,
            subsumed=subsumed,
            decided=Decided(by="rule", rule=rule.name, reason=rule.reason),
            explanation=case.explanation,
            survivor_identifier_id=kept,
            subsumed_identifier_id=moved,
        )
        rows = theirs if survivor == newcomer.global_id else mine
        self._links.move([Step(row, survivor) for row in rows], change)
        return Linked(survivor, rule.name)

    def _locked(
        self, newcomer: Newcomer, other: str, holders: Holders
    ) -> tuple[list[KnownIdentifier], list[KnownIdentifier]]:
        """Return the identifiers of both persons, which nobody else can move from here on.

        Raises:
            LinksMovedError: somebody moved them since they were found.
        """
        self._links.lock([newcomer.global_id, other])
        groups = queries.identifiers_by_person(self._session, [newcomer.global_id, other])
        mine, theirs = groups.get(newcomer.global_id, []), groups.get(other, [])
        if newcomer.identifier_id not in {row.id for row in mine}:
            raise LinksMovedError("the newcomer was linked meanwhile")
        if not set(holders) <= {row.id for row in theirs}:
            raise LinksMovedError("a candidate was linked meanwhile")
        return mine, theirs

    def _ask(
        self, newcomer: Newcomer, holders: Holders, rule: LinkRule, explanation: Explanation
    ) -> Linked:
        question = reviewing.Question(newcomer.identifier_id, holders, rule, explanation)
        review_id = reviewing.ask(self._session, question, self._work.now)
        return Linked(newcomer.global_id, None, review_id)

    def _explained(self, newcomer: Newcomer, holders: Holders, rule: LinkRule) -> Explanation:
        note = FieldNote("identifier", rule.name)
        if self._matcher is None:
            return Explanation(None, (note,))
        record = newcomer.record or self._matcher.record(
            newcomer.statement.demographics, candidates.compared_identifiers(newcomer.statement)
        )
        found = self._matcher.compared(
            record, candidates.records(self._session, self._matcher, list(holders))
        )
        if not found:
            return Explanation(None, (note,))
        return joined([note], self._matcher.explanation(found[0].comparison))

    def _evidence(
        self, mine: list[KnownIdentifier], theirs: list[KnownIdentifier]
    ) -> tuple[Evidence, Evidence]:
        everybody = [row.id for row in (*mine, *theirs)]
        seen = queries.observations_by_identifier(self._session, everybody)
        numbers: dict[int, set[IdentityNumber]] = {}
        for identifier_id, value in self._session.execute(
            select(IdentityEvidence.identifier_id, IdentityNumberRow.value)
            .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
            .where(IdentityEvidence.identifier_id.in_(everybody))
        ):
            number = read_number(value, self._work.now.date())
            numbers.setdefault(identifier_id, set()).add(number)

        def of(rows: list[KnownIdentifier]) -> Evidence:
            return Evidence(
                tuple(queries.observation(o) for row in rows for o in seen.get(row.id, ())),
                frozenset(number for row in rows for number in numbers.get(row.id, ())),
            )

        return of(mine), of(theirs)

    def _separated_by_a_person(self, rows: Sequence[KnownIdentifier]) -> bool:
        """What a person has taken or kept apart, no rule puts together again."""
        ids = [row.id for row in rows]
        kept_apart = (
            select(ReviewAnswer.id)
            .join(LinkReview, LinkReview.id == ReviewAnswer.review_id)
            .where(
                LinkReview.identifier_id.in_(ids),
                LinkReview.candidate_id.in_(ids),
                reviewing.holds(ReviewAnswer),
                ReviewAnswer.verdict == reviewing.KEEP_APART,
            )
        )
        newer = aliased(LinkLog)
        taken_apart = select(LinkLog.id).where(
            LinkLog.identifier_id.in_(ids),
            LinkLog.action.in_(APART),
            ~exists().where(
                and_(
                    newer.identifier_id == LinkLog.identifier_id,
                    newer.position > LinkLog.position,
                )
            ),
        )
        return self._session.scalar(kept_apart.union_all(taken_apart).limit(1)) is not None
