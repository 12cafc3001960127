"""A generated population as records ready for comparison, with the truth about every pair."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from random import Random

from benchmarks.matching.population.households import District
from benchmarks.matching.population.registrations import Registration, registrations_of
from benchmarks.matching.progress import Progress
from patient_index.matching import MatchRecord, blocking_keys, prepare
from patient_index.matching.blocking import LARGEST_BLOCK

CLASSES = ("same", "stranger", "relative", "twin")
Pair = tuple[int, int]


def registrations(people: int, seed: int) -> Iterator[Registration]:
    """Yield all registrations of a district, person by person; the same seed gives the same."""
    for resident in District(seed).residents(people):
        yield from registrations_of(resident, seed)


@dataclass
class Population:
    """Records, and who they are about, side by side."""

    records: list[MatchRecord] = field(default_factory=list)
    persons: list[int] = field(default_factory=list)
    households: list[int] = field(default_factory=list)
    deliveries: list[int] = field(default_factory=list)

    @classmethod
    def generate(cls, people: int, seed: int) -> "Population":
        """Return the prepared records of a generated district."""
        population = cls()
        with Progress(f"generate {people:,} people, seed {seed}", people) as progress:
            for one in registrations(people, seed):
                population.records.append(prepare(one.demographics, one.identifiers))
                population.persons.append(one.person)
                population.households.append(one.household)
                population.deliveries.append(one.delivery)
                progress.at(one.person)
        return population

    def truth(self, pair: Pair) -> int:
        """Return the class of a pair, an index into `CLASSES`."""
        first, second = pair
        if self.persons[first] == self.persons[second]:
            return 0
        if self.deliveries[first] and self.deliveries[first] == self.deliveries[second]:
            return 3
        return 2 if self.households[first] == self.households[second] else 1

    def pairs_within(self, groups: list[int]) -> set[Pair]:
        """Return all pairs of records with the same number in `groups`; 0 is no group."""
        members = defaultdict(list)
        for record, group in enumerate(groups):
            if group:
                members[group].append(record)
        return {pair for numbers in members.values() for pair in combinations(numbers, 2)}

    def blocked_pairs(self) -> set[Pair]:
        """Return the pairs that share a blocking key which is not too common."""
        blocks: dict[str, list[int]] = defaultdict(list)
        for number, record in enumerate(self.records):
            for key in blocking_keys(record):
                blocks[key].append(number)
        found: set[Pair] = set()
        for numbers in blocks.values():
            if len(numbers) <= LARGEST_BLOCK:
                found.update(combinations(numbers, 2))
        return found

    def random_pairs(self, count: int, seed: int) -> Iterator[Pair]:
        """Yield pairs of strangers."""
        random = Random(seed)  # noqa: S311 - repeatable, not secret
        while count:
            pair = random.randrange(len(self.records)), random.randrange(len(self.records))
            if self.truth(pair) == 1:
                count -= 1
                yield pair
