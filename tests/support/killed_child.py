"""Do something in a forked child, and tell whether it was killed on the way."""

import os
import sys
from collections.abc import Callable


def was_killed(act: Callable[[], None]) -> bool:
    """Run `act` in a child of its own; a child that fails otherwise ends this program."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 (a forked child must end here)
            print(repr(error), file=sys.stderr)  # noqa: T201
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        sys.exit("a child failed")
    return False
