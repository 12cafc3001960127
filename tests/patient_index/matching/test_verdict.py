import math
from collections.abc import Callable
from dataclasses import replace

from patient_index.matching import (
    Comparison,
    Decision,
    MatchRecord,
    Thresholds,
    Weights,
    compare,
    judge,
)

THRESHOLDS = Thresholds(link=20.0, review=0.0, margin=10.0)


def _comparison(
    person: Callable[..., MatchRecord],
    weights: Weights,
    score: float,
    bars: tuple[str, ...] = (),
) -> Comparison:
    return replace(compare(person(), person(), weights), score=score, bars=bars)


def test_without_candidates_the_record_is_a_new_person() -> None:
    verdict = judge([], THRESHOLDS)
    assert (verdict.decision, verdict.best, verdict.reason) == (Decision.NEW, None, "no-candidate")


def test_scores_decide(person: Callable[..., MatchRecord], weights: Weights) -> None:
    for score, decision in ((25.0, Decision.LINK), (5.0, Decision.REVIEW), (-1.0, Decision.NEW)):
        verdict = judge([("A", _comparison(person, weights, score))], THRESHOLDS)
        assert verdict.decision is decision
        assert verdict.best == (None if decision is Decision.NEW else "A")


def test_two_candidates_that_are_close_go_to_a_person(
    person: Callable[..., MatchRecord], weights: Weights
) -> None:
    pair = [("A", _comparison(person, weights, 30.0)), ("B", _comparison(person, weights, 25.0))]
    verdict = judge(pair, THRESHOLDS)
    assert (verdict.decision, verdict.best, verdict.reason) == (Decision.REVIEW, "A", "margin")
    assert math.isclose(verdict.margin, 5.0)


def test_several_records_of_one_person_do_not_compete(
    person: Callable[..., MatchRecord], weights: Weights
) -> None:
    pair = [("A", _comparison(person, weights, 30.0)), ("A", _comparison(person, weights, 29.0))]
    assert judge(pair, THRESHOLDS).decision is Decision.LINK


def test_one_bar_is_enough_for_a_review(
    person: Callable[..., MatchRecord], weights: Weights
) -> None:
    pair = [
        ("A", _comparison(person, weights, 30.0)),
        ("A", _comparison(person, weights, 3.0, bars=("several-numbers",))),
    ]
    verdict = judge(pair, THRESHOLDS)
    assert (verdict.decision, verdict.reason) == (Decision.REVIEW, "several-numbers")


def test_the_order_of_candidates_changes_nothing(
    person: Callable[..., MatchRecord], weights: Weights
) -> None:
    pair = [("B", _comparison(person, weights, 25.0)), ("A", _comparison(person, weights, 25.0))]
    assert judge(pair, THRESHOLDS) == judge(pair[::-1], THRESHOLDS)
