"""Turn counted levels of agreement into weights: with known truth, or by expectation maximisation.

Every class of pairs (same person, stranger, relative, twin) has, for each field, a share of pairs
on every level; a weight is the logarithm of the quotient of two such shares.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patient_index.matching import MatchRecord
from patient_index.matching.name_levels import name_levels
from patient_index.matching.weights import COMPARATORS, NAME_FIELDS

Pattern = tuple[str, ...]
"""The level of every field of one pair; "" where a side says nothing."""
Shares = dict[str, dict[str, list[float]]]
"""By field, by level: the share of pairs on that level, a number for each class."""

_SMOOTHING = 0.5
_LEAST_SHARE = 1e-5


@dataclass
class Levels:
    """Counts how often each level was met, field by field, in pairs of one class."""

    fields: Sequence[str]
    patterns: Counter[Pattern] = field(default_factory=Counter)

    def add(self, first: MatchRecord, second: MatchRecord) -> Pattern:
        """Count one pair; return what was found."""
        pattern = pattern_of(first, second, self.fields)
        self.patterns[pattern] += 1
        return pattern

    def counts(self) -> list[Counter[str]]:
        """Return, for every field, how often each level was met; the unknown are left out."""
        found: list[Counter[str]] = [Counter() for _ in self.fields]
        for pattern, count in self.patterns.items():
            for counter, level in zip(found, pattern, strict=True):
                if level:
                    counter[level] += count
        return found


def pattern_of(first: MatchRecord, second: MatchRecord, fields: Sequence[str]) -> Pattern:
    """Return the level of every field; `fields` begin with the two of the name."""
    family, given = name_levels(first, second)
    others = (COMPARATORS[name](first, second)[0] for name in fields[len(NAME_FIELDS) :])
    return (family[0], given[0], *others)


def labelled_shares(classes: Sequence[Levels]) -> Shares:
    """Return the shares of every class of pairs whose truth is known, smoothed.

    The first class is that of the same person, the second that of strangers. A level that a further
    class never showed is as rare there as among strangers.
    """
    counted = [levels.counts() for levels in classes]
    shares: Shares = {}
    for index, name in enumerate(classes[0].fields):
        levels = sorted(set().union(*(counts[index] for counts in counted)))
        mine = [counts[index] for counts in counted]
        shares[name] = {level: _shares_of(level, mine, len(levels)) for level in levels}
    return shares


def tie_slips(shares: Shares) -> None:
    """Put what follows from other levels in place of counts that are too few to be trusted.

    A name is written in variants, turned, in pinyin, or with a character lost, as often whoever
    bears it; what is left of a twin's name agrees as often as twins are named alike.
    """
    for levels in shares.values():
        for slip, whole, needs in _SLIPS:
            if slip not in levels or whole not in levels:
                continue
            rate = levels[slip][0] / levels[whole][0]
            for number in range(1, len(levels[slip])):
                derived = rate * sum(levels[one][number] for one in needs if one in levels)
                counted = 0.0 if slip in _DERIVED_ALONE else levels[slip][number]
                levels[slip][number] = max(derived, counted)


_SLIPS = (
    ("variant", "same", ("same",)),
    ("swapped", "same", ("same",)),
    ("same_pinyin", "same", ("same", "same_sound")),
    ("lost_character", "same", ("same", "same_sound", "shares_character")),
)
"""Slip, the level on which the pair would be without it, the levels that look like it after it."""
_DERIVED_ALONE = frozenset({"variant", "swapped"})


def _shares_of(level: str, counters: Sequence[Counter[str]], levels: int) -> list[float]:
    same, stranger = (_share(counter, level, levels) for counter in counters[:2])
    others = (
        max((counter[level] + stranger) / (counter.total() + 1), _LEAST_SHARE)
        for counter in counters[2:]
    )
    return [same, stranger, *others]


def _share(counter: Counter[str], level: str, levels: int) -> float:
    return (counter[level] + _SMOOTHING) / (counter.total() + _SMOOTHING * levels)


@dataclass(frozen=True)
class Mixture:
    """What expectation maximisation found: the shares of each class, and how many pairs it has."""

    shares: Shares
    portions: tuple[float, ...]


def expectation_maximisation(
    patterns: Mapping[Pattern, int], fields: Sequence[str], start: Shares, *, rounds: int = 60
) -> Mixture:
    """Fit the classes to pairs of unknown truth, from the shares in `start`.

    Fields are taken as independent within a class, an unknown field as telling nothing.
    """
    rows = list(patterns)
    counts = np.array([patterns[row] for row in rows], dtype=np.float64)
    classes = len(next(iter(next(iter(start.values())).values())))
    coded, names = _coded(rows, fields)
    logs = [
        _log_table(start[name], levels, classes) for name, levels in zip(fields, names, strict=True)
    ]
    portions = np.full(classes, 1.0 / classes)
    for _ in range(rounds):
        mine = _responsibilities(coded, logs, portions)
        weighted = mine * counts[:, None]
        portions = weighted.sum(axis=0) / counts.sum()
        logs = [
            _refit(codes, weighted, len(levels)) for codes, levels in zip(coded, names, strict=True)
        ]
    shares = {
        name: {
            level: [float(value) for value in np.exp(log[row])] for row, level in enumerate(levels)
        }
        for name, levels, log in zip(fields, names, logs, strict=True)
    }
    return Mixture(shares, tuple(float(portion) for portion in portions))


Codes = NDArray[np.int64]
Table = NDArray[np.float64]


def _coded(rows: Sequence[Pattern], fields: Sequence[str]) -> tuple[list[Codes], list[list[str]]]:
    """Number the levels of every field, -1 for unknown."""
    coded, names = [], []
    for index in range(len(fields)):
        levels = sorted({row[index] for row in rows} - {""})
        number = {level: place for place, level in enumerate(levels)} | {"": -1}
        coded.append(np.array([number[row[index]] for row in rows], dtype=np.int64))
        names.append(levels)
    return coded, names


def _log_table(known: Mapping[str, Sequence[float]], levels: Sequence[str], classes: int) -> Table:
    table = np.array([known.get(level, [1e-4] * classes) for level in levels], dtype=np.float64)
    result: Table = np.log(table / table.sum(axis=0)) if levels else np.zeros((0, classes))
    return result


def _responsibilities(coded: list[Codes], logs: list[Table], portions: Table) -> Table:
    total = np.tile(np.log(np.maximum(portions, 1e-12)), (len(coded[0]), 1))
    for codes, log in zip(coded, logs, strict=True):
        known = codes >= 0
        total[known] += log[codes[known]]
    total -= total.max(axis=1, keepdims=True)
    odds: Table = np.exp(total)
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


def _refit(codes: Codes, weighted: Table, levels: int) -> Table:
    sums = np.full((levels, weighted.shape[1]), _SMOOTHING)
    known = codes >= 0
    np.add.at(sums, codes[known], weighted[known])
    result: Table = np.log(sums / sums.sum(axis=0))
    return result


def random_levels(
    records: Sequence[MatchRecord], pairs: Iterable[tuple[int, int]], fields: Sequence[str]
) -> Levels:
    """Count the levels of these pairs."""
    levels = Levels(fields)
    for first, second in pairs:
        levels.add(records[first], records[second])
    return levels


def stranger_shares(sampled: Levels, met: Levels, pairs: int) -> list[dict[str, float]]:
    """Return the shares of strangers on each level, by field.

    A random sample tells them. A shared telephone or number is too rare for a sample, but is a
    blocking key: all pairs that the keys brought together are counted, as a share of the `pairs`
    that there are.
    """
    shares = []
    counted = zip(sampled.fields, sampled.counts(), met.counts(), strict=True)
    for name, sample, blocked in counted:
        known = sample.total() / max(sampled.patterns.total(), 1)
        levels = set(sample) | set(blocked)
        found = {level: _share(sample, level, len(levels)) for level in levels}
        if name in _FIELDS_THAT_BLOCK:
            found["same"] = max((blocked["same"] + _SMOOTHING) / max(pairs * known, 1.0), 1e-8)
        shares.append(found)
    return shares


def replace_class(shares: Shares, found: list[dict[str, float]], number: int) -> None:
    """Put these shares in place of those of one class."""
    for levels, replacement in zip(shares.values(), found, strict=True):
        for level, value in replacement.items():
            if level in levels:
                levels[level][number] = value


_FIELDS_THAT_BLOCK = frozenset({"phone", "resident_number", "card"})
