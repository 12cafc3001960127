"""The engine on Celery: a broker carries which deliveries are due to the workers of many machines.

The outbox stays the truth (`hub_kernel.outbox`): a worker claims in the database what a message
names, so that a message that comes twice does nothing twice, and while the broker is away each
worker claims without messages.
"""

from collections.abc import Iterable, Sequence

from hub_kernel.database import Database
from hub_kernel.events import Event
from hub_kernel.leases import Leases, is_dead_here, process_name
from hub_kernel.outbox import Claim, Outbox
from hub_kernel.periodic_jobs import PeriodicJob, PeriodicJobs
from hub_kernel.tasks import Delivering, Lanes
from hub_runtime.celery_lane import CeleryLane, application, queue_name
from hub_runtime.celery_relay import Relay


class CeleryTaskEngine:
    """Celery workers in this process, one for quick work and `workers` for heavy work.

    One more takes the emergencies of the heavy work, so that none waits for a long rendering.
    Subscribers must not rely on order.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        jobs: Iterable[PeriodicJob] = (),
        *,
        broker_url: str,
        workers: int = 2,
        worker: str = "",
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._worker = worker or process_name()
        self._jobs = PeriodicJobs(jobs, Leases(database, self._worker, is_dead=is_dead_here))
        self._delivering = Delivering(database, outbox, self._worker)
        self._broker_url = broker_url
        self._relay = Relay(database, outbox, application(broker_url, self._queues(), _nothing))
        self._celery = [
            CeleryLane(
                f"{self._worker}-{name}",
                application(broker_url, queues, self._deliver),
                lambda: self.broker_answers,
            )
            for name, queues in self._lanes(workers)
        ]
        # While the broker is away, the threads of the default engine do what its messages did.
        self._direct = Lanes(self._delivering, workers, self.asks_directly)

    @property
    def broker_answers(self) -> bool:
        """Whether the broker answered when it was asked last."""
        return self._relay.broker_answers

    def asks_directly(self) -> bool:
        """Tell whether workers look into the outbox themselves: while the broker is away."""
        return not self._relay.broker_answers

    def start(self) -> None:
        """Take back what dead predecessors held, then begin to deliver."""
        self._outbox.release_dead(self._database, is_dead_here)
        self._delivering.start()
        self._relay.start()
        for lane in self._celery:
            lane.start()
        self._direct.start()
        self._jobs.start()

    def stop(self) -> None:
        """Let what is under way finish, then stop."""
        self._direct.begin_to_stop()
        for lane in self._celery:
            lane.begin_to_stop()
        self._relay.stop()
        self._jobs.stop()
        self._direct.stop()
        for lane in self._celery:
            lane.stop()
        self._delivering.stop()

    def wake(self, published: frozenset[type[Event]]) -> None:
        """Hand over now instead of at the next poll."""
        self._relay.wake()
        if self.asks_directly():
            self._direct.wake(published)

    def _deliver(self, numbers: Sequence[int]) -> None:
        self._delivering.claimed(Claim(self._worker, limit=len(numbers), only=tuple(numbers)))

    def _queues(self) -> list[str]:
        kinds = sorted({one.kind for one in self._outbox.subscribers.values()})
        return [queue_name(kind, urgent=urgent) for kind in kinds for urgent in (True, False)]

    def _lanes(self, workers: int) -> list[tuple[str, list[str]]]:
        """Return the workers and the queues of each."""
        subscribers = self._outbox.subscribers.values()
        heavy = sorted({one.kind for one in subscribers if one.heavy})
        quick = sorted({one.kind for one in subscribers} - set(heavy))
        lanes = [
            (kind, [queue_name(kind, urgent=True), queue_name(kind, urgent=False)])
            for kind in quick
        ]
        if heavy:
            # A lane with two heavy queues would hold a message of one while it is at the other's.
            routine = [queue_name(kind, urgent=False) for kind in heavy]
            lanes.append(("emergency", [queue_name(kind, urgent=True) for kind in heavy]))
            lanes += [(f"heavy-{number}", routine) for number in range(1, workers + 1)]
        return lanes


def _nothing(_numbers: Sequence[int]) -> None:
    """Stand for the task where messages are only sent."""
