"""When the interpreter looks for garbage that reference counts leave: seldom, and not at start.

Importing the hub makes some 300,000 objects that stay. Looked through every 700 new ones, as by
default, they cost a quarter of each start. Import this before the rest; call `settled` once a
process serves.
"""

import gc

# So many new objects, so many young rounds, so many middle ones go before the next look.
_ROUNDS = (50_000, 20, 20)

gc.set_threshold(*_ROUNDS)


def settled() -> None:
    """Let what is there now be looked through no more: it stays as long as the process."""
    gc.collect()
    gc.freeze()
