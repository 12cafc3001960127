"""While the hub starts, the interpreter seldom looks for garbage that reference counts leave.

Importing the hub makes some 300,000 objects that stay. Looked through every 700 new ones, as by
default, they cost a quarter of each start. Import this before the rest; call `settled` once a
process serves: pictures in a cycle of references must not wait long for their end.
"""

import gc

_AS_BY_DEFAULT = gc.get_threshold()
# So many new objects, so many young rounds, so many middle ones go before the next look.
_WHILE_STARTING = (50_000, 20, 20)

gc.set_threshold(*_WHILE_STARTING)


def settled() -> None:
    """Look for garbage as by default from now on, and no more through what is there now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_AS_BY_DEFAULT)
