"""Carry outbox deliveries to their subscribers: in this process, by threads, at least once."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from hub_kernel.database import Database
from hub_kernel.events import Event
from hub_kernel.leases import Leases, is_dead_here, process_name
from hub_kernel.outbox import LEASE_S, Claim, Delivery, Outbox
from hub_kernel.periodic_jobs import PeriodicJob, PeriodicJobs

log = logging.getLogger(__name__)

_IDLE_POLL_S = 1.0
_GATHER_S = 0.2
_KEEP_S = LEASE_S / 4


class TaskEngine(Protocol):
    """Seam: delivers what the outbox owes and runs the periodic jobs."""

    def start(self) -> None:
        """Begin to deliver; returns at once."""
        ...

    def stop(self) -> None:
        """Finish the deliveries under way, begin no new ones, return when all is quiet."""
        ...

    def wake(self, published: frozenset[type[Event]]) -> None:
        """Say that these events may be due; safe from any thread, allowed to be lost."""
        ...


class ThreadTaskEngine:
    """The default engine: lanes of threads, and periodic jobs.

    Subscribers must not rely on order: a retry comes late. Several such engines, in processes or on
    machines of their own, share one outbox.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        jobs: Iterable[PeriodicJob] = (),
        *,
        workers: int = 2,
        worker: str = "",
    ) -> None:
        self._database = database
        self._outbox = outbox
        name = worker or process_name()
        self._jobs = PeriodicJobs(jobs, Leases(database, name, is_dead=is_dead_here))
        self._delivering = Delivering(database, outbox, name)
        self._lanes = Lanes(self._delivering, workers)

    def start(self) -> None:
        """Take back what dead predecessors held, then begin to deliver."""
        self._outbox.release_dead(self._database, is_dead_here)
        self._delivering.start()
        self._lanes.start()
        self._jobs.start()

    def stop(self) -> None:
        """Let what is under way finish, then stop."""
        self._lanes.begin_to_stop()
        self._jobs.stop()
        self._lanes.stop()
        self._delivering.stop()

    def wake(self, published: frozenset[type[Event]]) -> None:
        """Look at the outbox now instead of at the next poll, in the lanes these events are for."""
        self._lanes.wake(published)


class Lanes:
    """Threads that claim what is due and deliver it: a quick lane, and `workers` heavy ones.

    Rendering a study takes minutes, resolving a patient milliseconds; each has its own lane so that
    the second never waits for the first. They pause while `wanted` says no.
    """

    def __init__(
        self, delivering: "Delivering", workers: int, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self._delivering = delivering
        self._wanted = wanted
        self._stopping = threading.Event()
        name = delivering.worker
        quick = _Lane("quick", Claim(name, limit=256, heavy=False))
        self._lanes = [quick] + [
            _Lane(f"heavy-{number}", Claim(name, limit=1, heavy=True))
            for number in range(1, workers + 1)
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._deliver_forever, args=(lane,), name=f"outbox-{lane.name}")
            for lane in self._lanes
        ]
        for thread in self._threads:
            thread.start()

    def begin_to_stop(self) -> None:
        """Begin no new deliveries; returns at once."""
        self._stopping.set()
        for lane in self._lanes:
            lane.due.set()

    def stop(self) -> None:
        """Let what is under way finish, then return."""
        self.begin_to_stop()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def wake(self, published: frozenset[type[Event]]) -> None:
        """Look now instead of at the next poll, in the lanes these events are for."""
        for subscriber in self._delivering.outbox.subscribers.values():
            if any(issubclass(kind, subscriber.event_type) for kind in published):
                for lane in self._lanes:
                    if lane.claim.takes(subscriber):
                        lane.due.set()

    def _deliver_forever(self, lane: "_Lane") -> None:
        while not self._stopping.is_set():
            lane.due.clear()
            carried: list[Delivery] = []
            try:
                if self._wanted():
                    carried = self._delivering.claimed(lane.claim)
            except Exception:  # worker loop: a database that is away comes back
                log.exception("the outbox cannot be reached; trying again")
            if not carried:
                lane.due.wait(_IDLE_POLL_S)
            if len(carried) < lane.claim.limit and not any(one.is_again for one in carried):
                # Gather a moment: under load one claim then carries many deliveries. What was
                # tried before goes alone, and thousands may wait like that behind an outage.
                self._stopping.wait(_GATHER_S)


@dataclass
class _Lane:
    name: str
    claim: Claim
    due: threading.Event = field(default_factory=threading.Event)


class Delivering:
    """Claims and delivers as `worker`, and extends the leases of what takes long."""

    def __init__(self, database: Database, outbox: Outbox, worker: str) -> None:
        self._database = database
        self.outbox = outbox
        self.worker = worker
        self._held: dict[int, float] = {}
        self._holding = threading.Lock()
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look after leases."""
        self._stopping.clear()
        self._keeper = threading.Thread(target=self._keep, name="outbox-leases")
        self._keeper.start()

    def stop(self) -> None:
        """Cease to; call it when nothing is being delivered any more."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def claimed(self, wanted: Claim) -> list[Delivery]:
        """Claim what is wanted and deliver it; return what that was."""
        batch = self.outbox.claim(self._database, wanted)
        with self._holding:
            self._held |= {one.delivery_id: time.monotonic() for one in batch}
        try:
            deliver(self._database, self.outbox, batch)
        finally:
            with self._holding:
                for one in batch:
                    self._held.pop(one.delivery_id, None)
        return batch

    def _keep(self) -> None:
        while not self._stopping.wait(_KEEP_S):
            long_ago = time.monotonic() - _KEEP_S
            with self._holding:
                held = [one for one, since in self._held.items() if since <= long_ago]
            try:
                if held:
                    self.outbox.extend(self._database, self.worker, held)
            except Exception:  # background loop: a database that is away comes back
                log.exception("leases cannot be extended; trying again")


def deliver(database: Database, outbox: Outbox, batch: list[Delivery]) -> None:
    """Hand each delivery to its subscriber; settle what succeeded, postpone what raised."""
    done: list[int] = []
    for delivery in batch:
        try:
            outbox.subscribers[delivery.subscriber].handle(delivery.event)
        except Exception as error:  # noqa: BLE001 (worker loop: the others go on)
            _postpone(database, outbox, delivery, error)
        else:
            done.append(delivery.delivery_id)
    if done:
        outbox.settle(database, done)


def deliver_all_due(database: Database, outbox: Outbox) -> int:
    """Deliver everything that is due now, in the caller's thread; return how many deliveries."""
    count = 0
    while claimed := outbox.claim(database, Claim("caller")):
        deliver(database, outbox, claimed)
        count += len(claimed)
    return count


def _postpone(database: Database, outbox: Outbox, delivery: Delivery, error: Exception) -> None:
    parked = outbox.postpone(database, delivery, f"{type(error).__name__}: {error}")
    log.log(
        logging.ERROR if parked else logging.WARNING,
        "delivery parked" if parked else "delivery postponed",
        extra={
            "subscriber": delivery.subscriber,
            "event": delivery.kind,
            "attempt": delivery.attempts,
        },
        exc_info=error,
    )
