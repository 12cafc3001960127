"""Do a piece of work in a child process that is killed at one of its steps, again and again.

A program that uses it counts steps where a crash could hurt: the write statements and commits of a
database (`writes_of`), and whatever it marks itself. `killed_everywhere` runs the work once for
each step, SIGKILLs it there, and lets a new process go on with what is left.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

Step = Callable[..., None]
_MOST_STEPS = 200


def killed_everywhere(
    work: Callable[[int, Step], None], go_on: Callable[[int], None], *, stride: int = 1
) -> int:
    """Kill `work` at its first step, then at its second …, until it ends by itself.

    `go_on` runs in a process of its own after each. Returns how many were killed.
    """
    for killed, kill_at in enumerate(range(1, _MOST_STEPS, stride)):
        was_killed = in_child(lambda at=kill_at: work(at, _dying_at(at)))  # type: ignore[misc]
        in_child(lambda at=kill_at: go_on(at))  # type: ignore[misc]
        if not was_killed:
            return killed
    raise AssertionError("the work has more steps than anybody thought")


def in_child(work: Callable[[], None]) -> bool:
    """Run `work` in a forked child; tell whether it was killed. A child that fails ends this."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 (a forked child must end here)
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        sys.exit("a child failed")
    return False


def writes_of(engine: Engine, step: Step) -> None:
    """Make a step of every write statement and every commit of `engine`."""

    def writing(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            step()

    event.listen(engine, "before_cursor_execute", writing)
    event.listen(engine, "commit", step)


def _dying_at(kill_at: int) -> Step:
    steps = iter(range(1, 1_000_000))

    def step(*_arguments: Any) -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return step
