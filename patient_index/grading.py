"""Turn comparisons into what an asker can use: a score between 0 and 1 and a grade (ITI-119)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hub_kernel.identifiers import PatientIdentifier
from patient_index.explanations import joined
from patient_index.matcher import Found, Matcher
from patient_index.matching import Decision
from patient_index.model import Explanation, FieldNote, Grade

_WORTH_SHOWING_BITS = 10.0
"""So far below the review threshold a record is still shown to an asker, as possible."""


@dataclass(frozen=True)
class Compared:
    """Records compared with what was asked, best first; without a matcher there are none."""

    matcher: Matcher | None
    found: Sequence[Found]


@dataclass(frozen=True)
class Graded:
    """One person as an answer to "who may this be?"."""

    global_id: str
    score: float
    grade: Grade
    explanation: Explanation


def graded(compared: Compared, stated: Mapping[str, Sequence[PatientIdentifier]]) -> list[Graded]:
    """Return persons, the likeliest first; `stated` are those whose identifiers were given.

    Exactly one person whose identifier was given, and whose record is not somebody else's, is
    certain; so is one whom the weights would link.
    """
    answers = {one.global_id: one for one in _by_likeness(compared)}
    for global_id in stated:
        answers[global_id] = _by_identifier(
            global_id, answers.get(global_id), alone=len(stated) == 1
        )
    order = list(Grade)
    return sorted(
        answers.values(), key=lambda one: (order.index(one.grade), -one.score, one.global_id)
    )


def probability(bits: float) -> float:
    """Return the chance that log2 odds stand for, without overflow."""
    bounded = max(-60.0, min(60.0, bits))
    return float(round(1 / (1 + 2**-bounded), 6))


def _by_likeness(compared: Compared) -> list[Graded]:
    matcher = compared.matcher
    if matcher is None or not compared.found:
        return []
    verdict = matcher.verdict(compared.found)
    thresholds = matcher.weights.thresholds
    best: dict[str, Graded] = {}
    for one in compared.found:
        bits = one.comparison.score
        if one.known.global_id in best or bits < thresholds.review - _WORTH_SHOWING_BITS:
            continue
        grade = Grade.PROBABLE if bits >= thresholds.review else Grade.POSSIBLE
        if verdict.decision is Decision.LINK and verdict.best == one.known.global_id:
            grade = Grade.CERTAIN
        explanation = matcher.explanation(one.comparison)
        best[one.known.global_id] = Graded(
            one.known.global_id, probability(bits), grade, explanation
        )
    return list(best.values())


def _by_identifier(global_id: str, alike: Graded | None, *, alone: bool) -> Graded:
    note = FieldNote("identifier", "stated")
    if alike is None:
        grade = Grade.CERTAIN if alone else Grade.PROBABLE
        return Graded(global_id, 1.0 if alone else 0.9, grade, Explanation(None, (note,)))
    return replace(
        alike,
        score=1.0 if alone else max(alike.score, 0.9),
        grade=Grade.CERTAIN if alone else Grade.PROBABLE,
        explanation=joined([note], alike.explanation),
    )
