"""From all comparisons of one record to one decision: link, ask a person, or a new person."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from patient_index.matching.comparison import Comparison
from patient_index.matching.weights import Thresholds


class Decision(StrEnum):
    """What becomes of a record."""

    LINK = "link"
    REVIEW = "review"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, and what it rests on."""

    decision: Decision
    best: str | None
    """Global ID of the best candidate; None when there was none worth a look."""
    score: float
    """Bits of the best candidate, minus infinity without one."""
    margin: float
    """Bits by which it leads the next person, infinity without one."""
    reason: str
    """"score", "margin", a bar of the comparison, "below-review" or "no-candidate"."""


def judge(comparisons: Sequence[tuple[str, Comparison]], thresholds: Thresholds) -> Verdict:
    """Return what to do with a record that was compared with (global ID, comparison).

    A person of whom several records were compared counts with the best of them, and is barred by
    any of them.
    """
    best: dict[str, float] = {}
    bars: dict[str, tuple[str, ...]] = {}
    for global_id, comparison in comparisons:
        best[global_id] = max(best.get(global_id, -math.inf), comparison.score)
        bars[global_id] = bars.get(global_id, ()) or comparison.bars
    if not best:
        return Verdict(Decision.NEW, None, -math.inf, math.inf, "no-candidate")
    ranked = sorted(best, key=lambda global_id: (-best[global_id], global_id))
    first = ranked[0]
    margin = best[first] - best[ranked[1]] if len(ranked) > 1 else math.inf
    decision, reason = _decide(best[first], margin, bars[first], thresholds)
    if decision is Decision.NEW:
        return Verdict(decision, None, best[first], margin, reason)
    return Verdict(decision, first, best[first], margin, reason)


def _decide(
    score: float, margin: float, bars: tuple[str, ...], thresholds: Thresholds
) -> tuple[Decision, str]:
    if score < thresholds.review:
        return Decision.NEW, "below-review"
    if score < thresholds.link:
        return Decision.REVIEW, "score"
    if bars:
        return Decision.REVIEW, bars[0]
    if margin < thresholds.margin:
        return Decision.REVIEW, "margin"
    return Decision.LINK, "score"
