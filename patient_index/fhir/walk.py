"""Go through everybody a question means, in a stable order, a page at a time.

The index answers one `PersonCriteria`; alternatives are asked one after the other, further
conditions by asking again about the people at hand. So each value means exactly what the index
means by it, whatever stands beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from hub_kernel.fhir.paging import Position
from hub_kernel.identifiers import AssigningAuthority
from patient_index.fhir.search_parameters import Alternatives, Question, merged
from patient_index.lookup import PatientLookup
from patient_index.model import Person, PersonCriteria
from patient_index.people import usable_identifiers

_CHUNK = 100
_MOST_EXAMINED = 2_000
_MOST_COUNTED = 500


@dataclass(frozen=True)
class Scope:
    """Who may be found: people with an identifier of `issuers` (None: everybody) that `sees`."""

    issuers: frozenset[AssigningAuthority] | None
    sees: Callable[[Person], bool]


@dataclass(frozen=True)
class Step:
    """One person who is meant, or None for some who are not, and where the walk then stands."""

    person: Person | None
    after: Position


@dataclass(frozen=True)
class Leg:
    """A part of an answer; `next` is where it goes on, None at its end."""

    persons: tuple[Person, ...]
    next: Position | None


class Walk:
    """Answers one question out of the index."""

    def __init__(self, lookup: PatientLookup, question: Question, scope: Scope) -> None:
        self._lookup = lookup
        self._question = question
        self._scope = scope
        self._alternatives, self._further = _plan(question.conditions)

    def page(self, start: Position, count: int) -> Leg:
        """Return up to `count` people from `start` on; fewer when many others lie between."""
        found: list[Person] = []
        steps = islice(self._steps(start), _MOST_EXAMINED)
        after = told = start
        for step in steps:
            if step.person is not None and len(found) == count:
                # Where the last one stands who is told: the mark names nobody who is not.
                return Leg(tuple(found), told)
            after = step.after
            if step.person is not None:
                found.append(step.person)
                told = after
        ended = after.alternative >= len(self._alternatives)
        return Leg(tuple(found), None if ended else after)

    def count(self, start: Position) -> tuple[int, bool]:
        """Return how many follow from `start` on, and whether that is all of them.

        Counting means reading: it ends after some hundreds.
        """
        counted, after = 0, start
        for step in islice(self._steps(start), _MOST_COUNTED):
            counted += step.person is not None
            after = step.after
        return counted, after.alternative >= len(self._alternatives)

    def _steps(self, start: Position) -> Iterator[Step]:
        position = start
        while position.alternative < len(self._alternatives):
            criteria = self._alternatives[position.alternative]
            page = self._lookup.find(
                criteria, issuers=self._scope.issuers, limit=_CHUNK, cursor=position.after
            )
            meant = self._meant(page.persons, position.alternative)
            for person in page.persons:
                # The index answers in the order of global IDs: what arrives meanwhile shifts none.
                position = replace(position, after=person.global_id)
                yield Step(person if person.global_id in meant else None, position)
            if page.next_cursor is None:
                position = Position(position.alternative + 1)
                yield Step(None, position)

    def _meant(self, persons: Sequence[Person], alternative: int) -> set[str]:
        """Return which of these every condition holds for, and no earlier alternative has met."""
        checks = [*self._question.checks, self._in_domains, self._scope.sees]
        ids = {one.global_id for one in persons if all(check(one) for check in checks)}
        for condition in self._further:
            ids &= self._holding(condition, ids)
        return ids - self._holding(self._alternatives[:alternative], ids)

    def _holding(self, condition: Alternatives, ids: set[str]) -> set[str]:
        held: set[str] = set()
        for criteria in condition:
            left = tuple(sorted(ids - held))
            if left:
                held |= self._among(criteria, left)
        return held

    def _among(self, criteria: PersonCriteria, ids: tuple[str, ...]) -> set[str]:
        if criteria.global_ids:
            ids = tuple(one for one in ids if one in criteria.global_ids)
        if not ids:
            return set()
        asked = replace(criteria, global_ids=ids)
        page = self._lookup.find(asked, issuers=None, limit=len(ids), cursor=None)
        return {person.global_id for person in page.persons}

    def _in_domains(self, person: Person) -> bool:
        issuers = {identifier.issuer.oid for identifier in usable_identifiers(person)}
        return all(issuers & wanted for wanted in self._question.issuers)


def _plan(conditions: Sequence[Alternatives]) -> tuple[Alternatives, Sequence[Alternatives]]:
    """Return the alternatives to go through, and the conditions to check on the way."""
    base, rest = PersonCriteria(), []
    for condition in conditions:
        joined = merged(base, condition[0]) if len(condition) == 1 else None
        if joined is None:
            rest.append(condition)
        else:
            base = joined
    for place, condition in enumerate(rest):
        together = [merged(base, one) for one in condition]
        if None not in together:
            alternatives = tuple(one for one in together if one is not None)
            return alternatives, rest[:place] + rest[place + 1 :]
    return (base,), rest
