"""Who may be in at once: limits per address and in total, and slots no half-open peer can hold."""

import threading
from collections import Counter
from dataclasses import dataclass

from access_control.model import Site
from dicom_router.connection import Connection
from dicom_router.errors import AssociationRefusedError

_MAX_WAITING = 128
_HEADROOM = 8  # one more association for every so many, kept for sites of high priority


@dataclass(frozen=True)
class DoorLimits:
    """The most associations at once, in total and from one address."""

    associations: int
    per_address: int

    @property
    def with_headroom(self) -> int:
        """How many there may be in total when those above the limit are of high priority."""
        return self.associations + self.associations // _HEADROOM + 1


@dataclass(frozen=True)
class Slot:
    """On whose account an association is: its site, how many that may have (0: no quota)."""

    site_id: str = ""
    quota: int = 0
    urgent: bool = False

    @classmethod
    def of(cls, site: Site) -> "Slot":
        """Return the slot of an association of `site`."""
        return cls(site.site_id, site.max_associations, site.priority == "high")


class Door:
    """The connections of the node: waiting for their A-ASSOCIATE-RQ, or established.

    Waiting costs no slot of an association. When too many wait, the one that has waited longest is
    cut, of the crowding address first: whoever speaks promptly always gets in.
    """

    def __init__(self, limits: DoorLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[int, Connection] = {}
        self._established: dict[int, tuple[Connection, str]] = {}

    def enter(self, connection: Connection) -> None:
        """Let a new connection wait; another may be cut to make room."""
        with self._lock:
            evicted = self._crowding(connection.address)
            if evicted is not None:
                del self._waiting[id(evicted)]
            self._waiting[id(connection)] = connection
        if evicted is not None:
            evicted.shut()

    def establish(self, connection: Connection, slot: Slot) -> None:
        """Give a connection the slot of an association, on the account of its site.

        Raises:
            AssociationRefusedError: transient, local limit exceeded (PS3.8 table 9-21).
        """
        with self._lock:
            present = self._established.values()
            same_address = sum(other.address == connection.address for other, _ in present)
            same_site = sum(site_id == slot.site_id for _, site_id in present)
            most = self._limits.with_headroom if slot.urgent else self._limits.associations
            if len(present) >= most or same_address >= self._limits.per_address:
                raise _too_many("too many associations at once")
            if slot.quota and same_site >= slot.quota:
                raise _too_many(f"site {slot.site_id} has all its {slot.quota} associations")
            self._waiting.pop(id(connection), None)
            self._established[id(connection)] = connection, slot.site_id

    def leave(self, connection: Connection) -> None:
        """Give the slot back; does nothing the second time."""
        with self._lock:
            self._waiting.pop(id(connection), None)
            self._established.pop(id(connection), None)

    def waiting(self) -> tuple[Connection, ...]:
        """Return every connection whose association has not been established."""
        with self._lock:
            return tuple(self._waiting.values())

    def is_empty(self) -> bool:
        """Tell whether no association is left."""
        with self._lock:
            return not self._established

    def present(self) -> tuple[Connection, ...]:
        """Return every connection that has entered and not left."""
        with self._lock:
            established = (connection for connection, _ in self._established.values())
            return (*self._waiting.values(), *established)

    def _crowding(self, address: str) -> Connection | None:
        """The connection to cut for one more from `address`: the oldest of the busiest address."""
        waiting = list(self._waiting.values())
        by_address = Counter(connection.address for connection in waiting)
        if by_address[address] >= self._limits.per_address:
            crowded = address
        elif len(waiting) >= _MAX_WAITING:
            crowded = by_address.most_common(1)[0][0]
        else:
            return None
        return next(connection for connection in waiting if connection.address == crowded)


def _too_many(message: str) -> AssociationRefusedError:
    return AssociationRefusedError(message, result=2, source=3, reason=2)
