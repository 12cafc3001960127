"""A flood of one thing is recorded as its beginning and a number."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_QUIET_S = 10.0
_MOST_REMEMBERED = 10_000


@dataclass
class _Flood:
    """When one of its kind last passed, and how many have not since."""

    passed_at: float
    held_back: int = 0


class FloodGate:
    """Lets one of each kind pass in ten seconds; safe to use from many threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._floods: dict[Hashable, _Flood] = {}

    def passes(self, kind: Hashable) -> int | None:
        """Return how many were held back before this one; None when this one is held back too."""
        now = self._monotonic()
        with self._lock:
            if len(self._floods) > _MOST_REMEMBERED:
                self._floods.clear()
            flood = self._floods.get(kind)
            if flood is not None and now - flood.passed_at < _QUIET_S:
                flood.held_back += 1
                return None
            self._floods[kind] = _Flood(now)
            return flood.held_back if flood is not None else 0
