"""Free ports for programs that cannot choose one themselves, and whether they listen yet."""

import socket
from random import SystemRandom

# Below what the kernel hands to connections: between the choice and the program's own binding,
# no connection of another test can take it.
_FIRST, _LAST = 20_000, 32_000
_random = SystemRandom()


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    while True:
        port = _random.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def listens(port: int) -> bool:
    """Tell whether a port of the loopback address takes connections now."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
