"""Who may be connected at once: in total, and from one address."""

import threading
from collections import Counter

from patient_index.hl7v2.connection import Connection


class Door:
    """The open connections. When there is no room, the one that has idled longest makes room.

    HL7 senders often reconnect without closing: the newest connection is the one that is meant. A
    connection with a message under way is never cut; if all have one, the newcomer is.
    """

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._lock = threading.Lock()
        self._present: dict[int, Connection] = {}

    def enter(self, connection: Connection) -> bool:
        """Let a connection in, another may be cut; False when there is no room for it."""
        with self._lock:
            crowded = self._crowded(connection.address)
            if crowded is None:
                self._present[id(connection)] = connection
                return True
            idle = [one for one in self._of(crowded) if not one.busy]
            if not idle:
                return False
            evicted = min(idle, key=lambda one: one.waiting_since)
            del self._present[id(evicted)]
            self._present[id(connection)] = connection
        evicted.shut()
        return True

    def leave(self, connection: Connection) -> None:
        """Give the place back; does nothing the second time."""
        with self._lock:
            self._present.pop(id(connection), None)

    def present(self) -> tuple[Connection, ...]:
        """Return every connection that has entered and not left."""
        with self._lock:
            return tuple(self._present.values())

    def _of(self, address: str) -> list[Connection]:
        return [one for one in self._present.values() if one.address == address]

    def _crowded(self, address: str) -> str | None:
        """The address that has to make room; None when there is room."""
        by_address = Counter(one.address for one in self._present.values())
        if by_address[address] >= self._per_address:
            return address
        if len(self._present) >= self._total:
            return by_address.most_common(1)[0][0]
        return None
