"""Wait for what other threads and processes bring about."""

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 240.0
_PAUSE_S = 0.02
_Answer = TypeVar("_Answer")


def eventually(
    ask: Callable[[], _Answer],
    holds: Callable[[_Answer], object] = bool,
    *,
    within_s: float = WAIT_S,
) -> _Answer:
    """Ask until the answer holds, at least twice; return that answer.

    Raises:
        AssertionError: it did not hold within that time; names the last answer.
    """
    deadline, asked = time.monotonic() + within_s, 0
    while not holds(answer := ask()):
        asked += 1
        if asked > 1 and time.monotonic() > deadline:
            raise AssertionError(f"it did not come about in {within_s:g} s: {answer!r}")
        time.sleep(_PAUSE_S)
    return answer


def comes_about(ask: Callable[[], object], *, within_s: float) -> bool:
    """Tell whether the answer is true within that time: for what may as well not happen."""
    try:
        eventually(ask, within_s=within_s)
    except AssertionError:
        return False
    return True
