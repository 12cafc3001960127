"""Bound what something may take of the processor: for input made to take for ever."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def little_effort(
    seconds: float, clock: Callable[[], float] = time.thread_time
) -> Iterator[Callable[[], float]]:
    """Fail when the block takes this much processor time; give what says how much it took so far.

    Garbage waits until the block is over: what a long run has piled up is not the block's doing.
    Where other threads of the process do the work, `clock` is `time.process_time`.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    start = clock()
    try:
        yield lambda: clock() - start
        took = clock() - start
    finally:
        if was_collecting:
            gc.enable()
    assert took < seconds, f"took {took:.3f} s of the processor"
