"""The online side of matching: keys that find candidates, and what comparing them decides."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from patient_index.matching import (
    Comparison,
    MatchRecord,
    Verdict,
    Weights,
    blocking_keys,
    compare,
    judge,
    prepare,
)
from patient_index.model import Demographics, Explanation, FieldNote, TypedIdentifier


@dataclass(frozen=True)
class Known:
    """Somebody's record, and whose it is."""

    global_id: str
    identifier_id: int
    record: MatchRecord


@dataclass(frozen=True)
class Found:
    """One record of a person, compared with the newcomer's."""

    known: Known
    comparison: Comparison


class Matcher:
    """Compares newcomers with who is known, by one set of weights."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    @property
    def weights(self) -> Weights:
        """The weights and thresholds in use."""
        return self._weights

    def record(
        self, demographics: Demographics, identifiers: Iterable[TypedIdentifier]
    ) -> MatchRecord:
        """Return what is compared."""
        return prepare(demographics, identifiers)

    def keys(self, record: MatchRecord) -> tuple[int, ...]:
        """Return the names under which candidates are found, as they are stored."""
        return tuple(sorted({key_of(text) for text in blocking_keys(record)}))

    def compared(self, record: MatchRecord, others: Iterable[Known]) -> list[Found]:
        """Return every record compared with the newcomer's, the best first."""
        found = [Found(one, compare(record, one.record, self._weights)) for one in others]
        return sorted(found, key=lambda one: (-one.comparison.score, one.known.identifier_id))

    def verdict(self, found: Sequence[Found]) -> Verdict:
        """Return what becomes of the newcomer; each person counts by the best of their records."""
        pairs = [(one.known.global_id, one.comparison) for one in found]
        return judge(pairs, self._weights.thresholds)

    def explanation(self, comparison: Comparison) -> Explanation:
        """Return the comparison field by field, as it is kept."""
        notes = tuple(
            FieldNote(one.field, str(one.level), round(one.weight, 2), one.mine, one.theirs)
            for one in comparison.fields
        )
        return Explanation(round(comparison.score, 2), notes, self._weights.label)


def key_of(text: str) -> int:
    """Return the 64 bits, with sign, under which a key is stored."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
