"""Compare two records: the log-odds that they are one person, field by field."""

from dataclasses import dataclass

from patient_index.matching.name_levels import Level, name_levels
from patient_index.matching.records import MatchRecord
from patient_index.matching.shown import shown_values
from patient_index.matching.weights import Weights


@dataclass(frozen=True, slots=True)
class FieldEvidence:
    """How one field agreed and what that is worth; the weights and the prior make up the score."""

    field: str
    level: str
    """A level of the field; "unknown" when a side says nothing."""
    weight: float
    """Bits, against the alternative that explains the agreement best."""
    mine: str = ""
    """The value as it was compared, for a person to read."""
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two records say about being one person."""

    score: float
    """log2 of the odds that they are one person, to the best of the alternatives."""
    alternative: str
    """Who the second record would be if not the same person: a stranger, a relative, a twin."""
    bars: tuple[str, ...]
    """Why nothing may link these two unattended, whatever the score."""
    first: MatchRecord
    second: MatchRecord
    weights: Weights
    levels: tuple[Level, ...]

    @property
    def fields(self) -> tuple[FieldEvidence, ...]:
        """The evidence, the prior odds first; the weights add up to the score."""
        return _evidence(self)


def compare(first: MatchRecord, second: MatchRecord, weights: Weights) -> Comparison:
    """Return the score and its reasons. Never raises."""
    found = (
        *name_levels(first, second),
        *[comparator(first, second) for comparator in weights.comparators],
    )
    totals = _totals(_bits(found, weights), weights)
    score = min(totals)
    return Comparison(
        score,
        weights.alternatives[totals.index(score)],
        _bars(first, second, found),
        first,
        second,
        weights,
        found,
    )


Bits = tuple[float, ...]
"""Bits of one field, per alternative; empty when the field is unknown or has no such level."""


def _bits(found: tuple[Level, ...], weights: Weights) -> list[Bits]:
    bits: list[Bits] = []
    for (level, value), field in zip(found, weights.fields, strict=True):
        worth = field.levels.get(level, ()) if level else ()
        if worth and value and level in field.frequencies:
            # Only for a stranger is it chance that the values agree; a relative shares the name.
            worth = (worth[0] + field.frequencies[level].of(value), *worth[1:])
        bits.append(worth)
    return bits


def _totals(bits: list[Bits], weights: Weights) -> list[float]:
    known = [worth for worth in bits if worth]
    totals = [sum(column) for column in zip(weights.priors, *known, strict=True)]
    for limit in weights.limits:
        for index in range(len(totals)):
            totals[index] += _excess(bits, limit.members, limit.lowest, limit.highest, index)
    return totals


def _excess(
    bits: list[Bits], members: tuple[int, ...], lowest: float, highest: float, index: int
) -> float:
    """Return what brings the sum of these fields back within its limits."""
    total = sum([bits[member][index] for member in members if bits[member]])
    return min(max(total, lowest), highest) - total


def _bars(first: MatchRecord, second: MatchRecord, found: tuple[Level, ...]) -> tuple[str, ...]:
    if first.certain and second.certain and first.names and second.names:
        mine, theirs = first.resident_numbers, second.resident_numbers
        if not mine or not theirs or (mine == theirs and len(mine) == 1):
            return ()
    return tuple(
        reason
        for reason, applies in (
            ("name-uncertain", not (first.certain and second.certain)),
            ("name-unknown", not (first.names and second.names)),
            ("several-numbers", len(first.resident_numbers | second.resident_numbers) > 1),
            ("another-child", found[1][0] == "other_child"),
        )
        if applies
    )


def _evidence(comparison: Comparison) -> tuple[FieldEvidence, ...]:
    weights, index = (
        comparison.weights,
        comparison.weights.alternatives.index(comparison.alternative),
    )
    bits = _bits(comparison.levels, weights)
    rows = [FieldEvidence("prior", comparison.alternative, weights.priors[index])]
    for field, (level, _), worth in zip(weights.fields, comparison.levels, bits, strict=True):
        mine, theirs = shown_values(field.name, comparison.first, comparison.second)
        rows.append(
            FieldEvidence(
                field.name, level or "unknown", worth[index] if worth else 0.0, mine, theirs
            )
        )
    for limit in weights.limits:
        excess = _excess(bits, limit.members, limit.lowest, limit.highest, index)
        if excess:
            rows.append(FieldEvidence(limit.name, "limited", excess))
    return tuple(rows)
