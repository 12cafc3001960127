"""The short form of `python -m benchmarks.matching.evaluate`: 20,000 generated people."""

import pytest

from benchmarks.matching.evaluate import TRAINING_SEEDS, evaluate
from benchmarks.matching.population.households import District
from benchmarks.matching.population.people import registrations
from patient_index.matching import Weights

SEED = 77


def test_the_seed_was_not_trained_on() -> None:
    assert SEED not in TRAINING_SEEDS


def test_the_same_seed_gives_the_same_district() -> None:
    assert list(registrations(300, SEED)) == list(registrations(300, SEED))


def test_the_district_has_what_makes_matching_hard() -> None:
    residents = list(District(SEED).residents(20_000))
    assert len(residents) == 20_000
    assert sum(one.delivery > 0 for one in residents) > 50
    assert len({one.resident_number for one in residents if one.resident_number}) > 19_000
    spoilt = {what for one in registrations(20_000, SEED) for what in one.spoilt}
    assert spoilt >= {
        "borrowed-card", "number-slip", "homophone", "rare-character-lost", "unnamed-newborn",
        "variant", "letters-only", "swapped-names", "day-month-swapped", "desk-phone",
        "unknown-person",
    }  # fmt: skip


@pytest.mark.parametrize("numbers", [True, False])
def test_nobody_is_merged_with_somebody_else(weights: Weights, *, numbers: bool) -> None:
    report = evaluate(20_000 if numbers else 8_000, SEED, weights, numbers=numbers)
    assert report.how_false == ()
    assert report.false_pairs == 0
    assert report.recall > (0.55 if numbers else 0.35)
    assert report.review_rate < 0.30
