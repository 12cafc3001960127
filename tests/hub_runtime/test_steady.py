"""A pace that is true however long the runs take, and a place from which the next one goes on."""

import itertools

from hub_runtime.steady import Steady
from image_archive.paging import Part


def moments(*seconds: float) -> "itertools.chain[float]":
    return itertools.chain(seconds)


def test_a_run_that_took_long_is_made_up_for() -> None:
    times = moments(0, 0, 60, 200, 1_000_000)
    steady = Steady(400, lambda: next(times))
    assert steady.part() == Part(0, 400)  # the first, a minute after the start
    steady.came_to(400)
    assert steady.part() == Part(400, 400)
    steady.came_to(800)
    assert steady.part() == Part(800, 933)  # 140 s later
    steady.came_to(1_000)
    assert steady.part() == Part(0, 4_000)  # asleep for days: ten minutes of it, from the beginning


def test_a_run_without_work_and_a_slow_pace_do_not_lose_the_place() -> None:
    times = moments(0, 0, 1, 2)
    steady = Steady(1, lambda: next(times))
    steady.came_to(7)
    steady.came_to(0)
    assert steady.part() == Part(7, 1)
    assert steady.part() == Part(7, 1)
