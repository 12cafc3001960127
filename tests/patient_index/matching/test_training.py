from collections import Counter
from random import Random

from benchmarks.matching.training import (
    Levels,
    Pattern,
    expectation_maximisation,
    labelled_shares,
    tie_slips,
)

FIELDS = ("family_name", "given_name", "birth_date")
SAME = {"family_name": 0.95, "given_name": 0.9, "birth_date": 0.97}
STRANGER = {"family_name": 0.05, "given_name": 0.02, "birth_date": 0.001}


def _patterns() -> Counter[Pattern]:
    random = Random(4)  # noqa: S311 - repeatable, not secret
    found: Counter[Pattern] = Counter()
    for number in range(20_000):
        chances = SAME if number % 4 == 0 else STRANGER
        found[
            tuple("same" if random.random() < chances[name] else "different" for name in FIELDS)
        ] += 1
    return found


def test_expectation_maximisation_finds_the_shares_without_any_truth() -> None:
    start = {name: {"same": [0.8, 0.2], "different": [0.2, 0.8]} for name in FIELDS}
    found = expectation_maximisation(_patterns(), FIELDS, start)
    assert abs(found.portions[0] - 0.25) < 0.02
    for name in FIELDS:
        assert abs(found.shares[name]["same"][0] - SAME[name]) < 0.02
        assert abs(found.shares[name]["same"][1] - STRANGER[name]) < 0.02


def test_an_unknown_field_tells_nothing() -> None:
    start = {name: {"same": [0.8, 0.2], "different": [0.2, 0.8]} for name in FIELDS}
    patterns: Counter[Pattern] = Counter(
        {("same", "same", ""): 50, ("different", "different", ""): 50}
    )
    found = expectation_maximisation(patterns, FIELDS, start, rounds=5)
    assert found.shares["birth_date"] == {}
    assert abs(sum(found.portions) - 1) < 1e-9


def test_shares_of_known_truth_are_counted_and_smoothed() -> None:
    same, stranger = Levels(FIELDS[:2]), Levels(FIELDS[:2])
    same.patterns.update({("same", "same"): 9, ("same", ""): 1})
    stranger.patterns.update({("different", "different"): 10})
    shares = labelled_shares([same, stranger])
    assert shares["family_name"]["same"] == [10.5 / 11, 0.5 / 11]
    assert shares["given_name"]["same"] == [9.5 / 10, 0.5 / 11]


def test_a_twins_lost_character_is_as_likely_as_twins_are_named_alike() -> None:
    shares = {
        "given_name": {
            "same": [0.8, 0.001, 0.0001],
            "shares_character": [0.01, 0.02, 0.5],
            "lost_character": [0.008, 0.0001, 0.00001],
            "variant": [0.016, 0.5, 0.5],
        }
    }
    tie_slips(shares)
    assert abs(shares["given_name"]["lost_character"][2] - 0.01 * 0.5001) < 1e-9
    assert abs(shares["given_name"]["variant"][1] - 0.02 * 0.001) < 1e-9
    assert shares["given_name"]["lost_character"][0] == 0.008
