"""Which process sends to a destination: one at a time, of however many serve it.

The lanes of one process keep a destination's limits on associations and rates between them, so the
limits hold for all processes together. A process takes the destination when something is due and
has it until it ends; when it dies, or sends nothing for a while, another one may have it.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from hub_kernel.leases import Leases

# Longer than any destination may keep an instance waiting without a word.
_LEASE_S = 300.0


class Seat:
    """One destination as a process takes it; all its lanes share one."""

    def __init__(
        self,
        leases: Leases,
        destination: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._monotonic = monotonic
        self._name = f"forward {destination}"
        self._lock = threading.Lock()
        self._sure_until = -math.inf

    def is_ours(self) -> bool:
        """Take the destination, or keep it; tell whether this process may send."""
        with self._lock:
            now = self._monotonic()
            if now >= self._sure_until:
                ours = self._leases.take(self._name, _LEASE_S)
                self._sure_until = now + _LEASE_S / 3 if ours else -math.inf
            return now < self._sure_until

    def give_back(self) -> None:
        """Let another process have it at once, if it was taken here."""
        with self._lock:
            taken, self._sure_until = self._sure_until > -math.inf, -math.inf
            if taken:
                with suppress(SQLAlchemyError):  # it runs out by itself
                    self._leases.give_back(self._name)
