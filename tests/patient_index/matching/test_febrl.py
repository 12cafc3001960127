"""The short form of `python -m benchmarks.matching.febrl`, which scores all four sets."""

import pytest

from benchmarks.matching.febrl import SPLINK, evaluate
from benchmarks.matching.febrl_data import load_sets


def test_no_pair_of_febrl1_is_missed_by_weights_of_febrl2() -> None:
    result = evaluate(load_sets((1, 2)), 1, seed=1)
    assert result.no_false.recall > SPLINK[1]
    assert result.chosen.precision == 1.0


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_set_is_linked_better_than_by_splink(number: int) -> None:
    result = evaluate(load_sets(), number, seed=1)
    assert result.no_false.recall > SPLINK[number]
    if number == 3:
        assert result.best_f1.f1 >= 0.98
        assert result.best_f1.precision >= 0.999
