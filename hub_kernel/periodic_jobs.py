"""What a hub does by itself from time to time: in one process of all, or in each."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub_kernel.leases import Leases

log = logging.getLogger(__name__)

_LEASE = "periodic-jobs"
_LEASE_S = 30.0
_KEEP_S = _LEASE_S / 3


@dataclass(frozen=True)
class PeriodicJob:
    """Something to be done every `interval_s` seconds, never twice at once.

    Of all processes over one database one does it, unless it is to be done `everywhere`: what
    measures or watches the process's own machine. `interrupt` is called when the engine stops, from
    another thread than `run`: it cuts a long wait short, and every later one.
    """

    name: str
    interval_s: float
    run: Callable[[], object]
    interrupt: Callable[[], object] = lambda: None
    everywhere: bool = False


class PeriodicJobs:
    """Runs jobs, a thread each; those that are for one process only while it holds the lease.

    A process that dies with the lease is followed by another when that runs out, within half a
    minute; one that stops gives it back.
    """

    def __init__(self, jobs: Iterable[PeriodicJob], leases: Leases) -> None:
        self._jobs = list(jobs)
        self._leases = leases
        self._ours_until = 0.0
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; returns at once."""
        for event in (self._stopping, self._ended, self._looked):
            event.clear()
        if all(job.everywhere for job in self._jobs):
            self._looked.set()  # a lease that it has no use for is for others
        else:
            self._keeper = threading.Thread(target=self._keep_lease, name="job-lease")
            self._keeper.start()
        self._threads = [
            threading.Thread(target=self._repeat, args=(job,), name=f"job-{job.name}")
            for job in self._jobs
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let what is under way finish, then let another process have the lease."""
        self._stopping.set()
        for job in self._jobs:
            job.interrupt()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def _keep_lease(self) -> None:
        while not self._ended.is_set():
            asked = time.monotonic()
            try:
                ours = self._leases.take(_LEASE, _LEASE_S)
            except Exception:  # background loop: a database that is away comes back
                log.exception("the lease of the periodic jobs cannot be looked at; trying again")
            else:
                self._ours_until = asked + _LEASE_S if ours else 0.0
            self._looked.set()
            self._ended.wait(_KEEP_S)
        if self._ours_until:
            self._give_back()

    def _give_back(self) -> None:
        self._ours_until = 0.0
        try:
            self._leases.give_back(_LEASE)
        except Exception:  # the process ends: the lease runs out by itself
            log.exception("the lease of the periodic jobs could not be given back")

    def _repeat(self, job: PeriodicJob) -> None:
        self._looked.wait()
        while not self._stopping.wait(job.interval_s):
            if not (job.everywhere or time.monotonic() < self._ours_until):
                continue
            try:
                job.run()
            except Exception:  # outermost edge of a background job: it must come back
                log.exception("periodic job failed", extra={"job": job.name})
