"""All lanes of all destinations: start, wake, measure, stop."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dicom_router.forwarding.desk import ForwardingDesk
from dicom_router.forwarding.model import BreakerState
from dicom_router.forwarding.pacing import Pacer, RateCap
from dicom_router.forwarding.seat import Seat
from dicom_router.forwarding.sender import Sender
from dicom_router.forwarding.worker import Lane, LaneParts, Line
from hub_kernel.leases import Leases

log = logging.getLogger(__name__)

_POLL_S = 2.0
_GRACE_S = 5.0


@dataclass(frozen=True)
class Configured:
    """One destination as the settings describe it. `ask_commitment` is asked now and then."""

    name: str
    sender: Sender
    associations: int = 2
    caps: Sequence[RateCap] = ()
    ask_commitment: Callable[[], None] | None = None


class Forwarding:
    """Serves every destination with lanes of its own: a dead one costs no other anything."""

    def __init__(
        self,
        configured: Iterable[Configured],
        parts: LaneParts,
        is_dead: Callable[[str], bool],
    ) -> None:
        self._configured = {one.name: one for one in configured}
        self._parts = parts
        self._is_dead = is_dead
        self._stopping = threading.Event()
        self._at_once = threading.Event()
        self._wakes = {name: threading.Event() for name in self._configured}
        leases = Leases(parts.database, parts.owner, is_dead=is_dead)
        self._seats = {name: Seat(leases, name) for name in self._configured}
        self._threads: list[threading.Thread] = []

    @property
    def destinations(self) -> frozenset[str]:
        """The names of all destinations."""
        return frozenset(self._configured)

    def wake(self, destinations: Iterable[str]) -> None:
        """Look at these queues now instead of at the next poll; safe from any thread."""
        for name in destinations:
            if name in self._wakes:
                self._wakes[name].set()

    def start(self) -> None:
        """Take back what dead predecessors held, then begin to send."""
        self._stopping.clear()
        self._at_once.clear()
        released = self._parts.ledger.release_dead(self.destinations, self._is_dead)
        if released:
            log.warning("leases of dead workers taken back", extra={"rows": released})
        self._threads = [
            threading.Thread(target=self._serve, args=(one, lane), name=f"forward-{one.name}")
            for one in self._configured.values()
            for lane in self.lanes(one)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the instances under way finish for a moment, then break them off; they are owed."""
        self._stopping.set()
        for wake in self._wakes.values():
            wake.set()
        deadline = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._at_once.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        for seat in self._seats.values():
            seat.give_back()

    def lanes(self, one: Configured) -> list[Lane]:
        """Return the lanes of a destination; with several the first is for emergencies."""
        pacer = Pacer(one.caps, lambda: self._parts.local(self._now()), self._stopping)
        committing = one.ask_commitment is not None
        line = Line(one.name, one.sender, pacer, self._seats[one.name], committing)
        return [
            Lane(
                self._parts,
                line,
                ends=(self._stopping, self._at_once),
                urgent_only=number == 0 and one.associations > 1,
                alone=one.associations == 1,
            )
            for number in range(one.associations)
        ]

    def measure(self) -> None:
        """Put queue lengths, ages and breakers into the metrics."""
        metrics, now = self._parts.metrics, self._now()
        for view in ForwardingDesk(self._parts.database, self.destinations).destinations():
            for state, count in view.counts.items():
                metrics.forwarding_items.labels(view.name, state).set(count)
            oldest_s = (now - view.oldest_at).total_seconds() if view.oldest_at else 0.0
            metrics.forwarding_oldest_seconds.labels(view.name).set(max(0.0, oldest_s))
            for breaker in BreakerState:
                metrics.forwarding_breaker.labels(view.name, breaker).set(view.breaker == breaker)

    def ask_commitments(self) -> None:
        """Ask for the commitments that are due, one destination after the other."""
        for one in self._configured.values():
            if one.ask_commitment is not None and not self._stopping.is_set():
                one.ask_commitment()

    def _serve(self, one: Configured, lane: Lane) -> None:
        wake = self._wakes[one.name]
        while not self._stopping.is_set():
            wake.clear()
            try:
                busy = lane.turn()
            except Exception:  # worker loop: a database that is away comes back
                log.exception("forwarding failed; trying again", extra={"destination": one.name})
                busy = False
            if not busy:
                wake.wait(_POLL_S)

    def _now(self) -> datetime:
        return self._parts.database.clock.now()
