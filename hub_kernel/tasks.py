"""Carry outbox deliveries to their subscribers: in this process, by threads, at least once."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from hub_kernel.database import Database
from hub_kernel.events import Event
from hub_kernel.outbox import Claim, Delivery, Outbox

log = logging.getLogger(__name__)

_IDLE_POLL_S = 1.0
_GATHER_S = 0.2


@dataclass(frozen=True)
class PeriodicJob:
    """Something to be done every `interval_s` seconds, never twice at once.

    `interrupt` is called when the engine stops, from another thread than `run`: it cuts a long wait
    short, and every later one.
    """

    name: str
    interval_s: float
    run: Callable[[], object]
    interrupt: Callable[[], object] = lambda: None


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
    """The default engine: a quick lane, a heavy lane with `workers` threads, and periodic jobs.

    Rendering a study takes minutes, resolving a patient milliseconds; each has its own lane so that
    the second never waits for the first. Subscribers must not rely on order: a retry comes late.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        jobs: Iterable[PeriodicJob] = (),
        *,
        workers: int = 2,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._jobs = list(jobs)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = threading.Event()
        quick = _Lane("quick", Claim(self._worker, limit=256, heavy=False))
        self._lanes = [quick] + [
            _Lane(f"heavy-{number}", Claim(self._worker, limit=1, heavy=True))
            for number in range(1, workers + 1)
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take back what dead predecessors held, then begin to deliver."""
        self._stopping.clear()
        self._outbox.release_dead(self._database, is_dead_here)
        self._threads = [
            threading.Thread(target=self._deliver_forever, args=(lane,), name=f"outbox-{lane.name}")
            for lane in self._lanes
        ]
        self._threads += [
            threading.Thread(target=self._repeat, args=(job,), name=f"job-{job.name}")
            for job in self._jobs
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let what is under way finish, then stop."""
        self._stopping.set()
        for job in self._jobs:
            job.interrupt()
        for lane in self._lanes:
            lane.due.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def wake(self, published: frozenset[type[Event]]) -> None:
        """Look at the outbox now instead of at the next poll, in the lanes these events are for."""
        for subscriber in self._outbox.subscribers.values():
            if any(issubclass(kind, subscriber.event_type) for kind in published):
                for lane in self._lanes:
                    if lane.claim.takes(subscriber):
                        lane.due.set()

    def _deliver_forever(self, lane: "_Lane") -> None:
        while not self._stopping.is_set():
            lane.due.clear()
            try:
                claimed = self._outbox.claim(self._database, lane.claim)
                deliver(self._database, self._outbox, claimed)
            except Exception:  # worker loop: a database that is away comes back
                log.exception("the outbox cannot be reached; trying again")
                claimed = []
            if not claimed:
                lane.due.wait(_IDLE_POLL_S)
            if len(claimed) < lane.claim.limit:
                # Gather a moment: under load one claim then carries many deliveries.
                self._stopping.wait(_GATHER_S)

    def _repeat(self, job: PeriodicJob) -> None:
        while not self._stopping.wait(job.interval_s):
            try:
                job.run()
            except Exception:  # outermost edge of a background job: it must come back
                log.exception("periodic job failed", extra={"job": job.name})


@dataclass
class _Lane:
    name: str
    claim: Claim
    due: threading.Event = field(default_factory=threading.Event)


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
            "event": type(delivery.event).__name__,
            "attempt": delivery.attempts,
        },
        exc_info=error,
    )


def is_dead_here(worker: str) -> bool:
    """Tell whether `worker` (host:pid) was on this machine and is gone."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return True  # this process has not begun: the name is a predecessor's
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
