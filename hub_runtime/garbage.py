"""While the hub is imported, the interpreter seldom looks for garbage that counting leaves.

Importing makes some 300,000 objects that stay. Looked through every 700 new ones, as by default,
they cost a quarter of each start. Import this before the rest, and call `imported` after it.
"""

import gc

_AS_BY_DEFAULT = gc.get_threshold()
# So many new objects, so many young rounds, so many middle ones go before the next look.
_WHILE_IMPORTING = (50_000, 20, 20)

gc.set_threshold(*_WHILE_IMPORTING)


def imported() -> None:
    """Look as by default from now on: pictures in a circle of references must not stay long."""
    gc.set_threshold(*_AS_BY_DEFAULT)


def settled() -> None:
    """Look no more through what a process has once it serves: it stays as long as the process."""
    gc.freeze()
