"""Wait for what other threads and processes bring about."""

import time
from collections.abc import Callable

WAIT_S = 90.0


def eventually(holds: Callable[[], object], *, within_s: float = WAIT_S) -> None:
    """Return as soon as it holds.

    Raises:
        AssertionError: it did not within that time.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about in time")
        time.sleep(0.02)
