"""What every implementation of TaskEngine promises."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, select

from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.outbox import Outbox, OutboxDelivery, Subscriber
from hub_kernel.outbox_tables import PARKED
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.tasks import TaskEngine, ThreadTaskEngine
from hub_runtime.celery_engine import CeleryTaskEngine
from tests.support.postgresql import PostgresqlServer
from tests.support.waiting import WAIT_S, eventually

Maker = Callable[..., TaskEngine]


def with_threads(_request: pytest.FixtureRequest) -> Maker:
    return ThreadTaskEngine


def with_celery_on(broker: str) -> Callable[[pytest.FixtureRequest], Maker]:
    def maker(request: pytest.FixtureRequest) -> Maker:
        url = request.getfixturevalue(broker).url
        return lambda *parts, **options: CeleryTaskEngine(*parts, broker_url=url, **options)

    return maker


MAKERS = {
    "threads": with_threads,
    "celery on rabbitmq": with_celery_on("rabbitmq"),
    "celery on redis": with_celery_on("redis"),
}


@dataclass
class Region:
    """One outbox and its engines; `seen` counts what each subscriber was given."""

    database: Database
    make: Maker
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    outbox: Outbox = field(default_factory=Outbox)

    def subscribe(self, name: str, *, fails: Callable[[str], object] | None = None, **how: object):
        def handle(event: StudyCompleted) -> None:
            self.seen[name, event.study_instance_uid] += 1
            if fails is not None:
                fails(event.study_instance_uid)

        self.outbox.subscribe(Subscriber(name, StudyCompleted, handle, **how))

    def publish(self, *uids: str) -> None:
        with self.database.unit_of_work() as work:
            work.publish_all(
                [
                    new_event(
                        StudyCompleted,
                        self.database.clock,
                        study_instance_uid=uid,
                        site_id="s",
                        generation=1,
                    )
                    for uid in uids
                ]
            )

    @contextmanager
    def running(self, *workers: str, jobs: tuple[PeriodicJob, ...] = ()) -> Iterator[None]:
        engines = [
            self.make(self.database, self.outbox, jobs, workers=2, worker=worker)
            for worker in workers or ("one",)
        ]
        for engine in engines:
            engine.start()
        self.database.on_published = engines[0].wake
        try:
            yield
        finally:
            for engine in engines:
                engine.stop()

    def owed(self, state: str | None = None) -> int:
        query = select(func.count()).select_from(OutboxDelivery)
        if state:
            query = query.where(OutboxDelivery.state == state)
        with self.database.read() as session:
            return session.scalar(query) or 0


@pytest.fixture(params=MAKERS)
def region(request: pytest.FixtureRequest, postgresql: PostgresqlServer) -> Iterator[Region]:
    make = MAKERS[request.param](request)
    with postgresql.database() as url:
        database = Database(url, clock=SystemClock())
        made = Region(database, make)
        database._outbox = made.outbox
        yield made
        database.dispose()


def test_everything_owed_is_delivered_once_by_several_workers(region: Region) -> None:
    region.subscribe("resolve")
    region.subscribe("render", heavy=True, queue="rendering")
    before = [f"1.{number}" for number in range(20)]
    after = [f"2.{number}" for number in range(20)]
    region.publish(*before)
    with region.running("one", "two"):
        region.publish(*after)
        eventually(lambda: region.owed() == 0)
    assert region.seen == Counter(
        {(name, uid): 1 for name in ("resolve", "render") for uid in before + after}
    )


def test_what_raises_is_tried_again_and_then_parked(region: Region) -> None:
    def fail(uid: str) -> None:
        if uid == "9.9" or region.seen["fails", uid] < 2:
            raise LookupError("not yet")

    region.subscribe("fails", fails=fail, attempts=3)
    with region.running():
        region.publish("9.9", "1.1")
        eventually(lambda: (region.owed(), region.owed(PARKED)) == (1, 1))
    assert region.seen == Counter({("fails", "9.9"): 3, ("fails", "1.1"): 2})


def test_quick_work_does_not_wait_for_heavy_work(region: Region) -> None:
    may_finish = threading.Event()
    region.subscribe(
        "render", fails=lambda _uid: may_finish.wait(WAIT_S), heavy=True, queue="rendering"
    )
    region.subscribe("resolve")
    with region.running():
        try:
            region.publish(*(f"1.{number}" for number in range(6)))
            eventually(lambda: sum(region.seen["resolve", f"1.{n}"] for n in range(6)) == 6)
            # What was seen is owed until its handler has returned.
            eventually(lambda: region.owed() == 6)
        finally:
            may_finish.set()
        eventually(lambda: region.owed() == 0)


def test_stopping_lets_what_is_under_way_finish_and_loses_nothing(region: Region) -> None:
    begun, may_finish = threading.Event(), threading.Event()

    def work(_uid: str) -> None:
        begun.set()
        may_finish.wait(WAIT_S)

    region.subscribe("render", fails=work, heavy=True, queue="rendering")
    with region.running():
        region.publish("1.1")
        assert begun.wait(WAIT_S)
        letting = threading.Timer(0.5, may_finish.set)
        letting.start()
    letting.join()
    assert region.owed() == 0
    region.publish("1.2")
    assert region.owed() == 1
    with region.running("another"):
        eventually(lambda: region.owed() == 0)
    assert region.seen == Counter({("render", "1.1"): 1, ("render", "1.2"): 1})


def test_periodic_jobs_run_in_one_process_of_all(region: Region) -> None:
    region.subscribe("resolve")
    running: list[int] = []
    twice_at_once: list[int] = []
    often = threading.Semaphore(0)

    def job() -> None:
        running.append(1)
        twice_at_once.extend([1] * (len(running) - 1))
        often.release()
        running.pop()

    with region.running("one", "two", jobs=(PeriodicJob("once", 0.02, job),)):
        for _ in range(5):
            assert often.acquire(timeout=WAIT_S)
    assert twice_at_once == []
