"""Brokers and workers that fail under the Celery engine: nothing is lost, nothing is done twice.

Each has a control, which shows that the fault does bite where the engine's own care is left out.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select

import hub_runtime.celery_relay
from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.outbox import Outbox, Subscriber
from hub_kernel.outbox_tables import PARKED, PENDING, OutboxDelivery
from hub_runtime.celery_engine import CeleryTaskEngine
from hub_runtime.celery_lane import TASK, CeleryLane, application, queue, queue_name
from hub_runtime.celery_relay import Relay
from tests.support.brokers import Broker
from tests.support.tables import create_tables
from tests.support.waiting import WAIT_S, eventually

ROOT = Path(__file__).resolve().parents[2]
QUICK = queue_name("following", urgent=False)


@dataclass
class Hub:
    """An outbox whose one subscriber counts what it is given."""

    database: Database
    seen: Counter[str] = field(default_factory=Counter)
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox([Subscriber("count", StudyCompleted, self._count)])
        self.database._outbox = self.outbox

    def _count(self, event: StudyCompleted) -> None:
        self.seen[event.study_instance_uid] += 1

    def publish(self, *uids: str) -> None:
        publish(self.database, *uids)

    def owed(self) -> int:
        return owed(self.database)

    @contextmanager
    def engine(self, broker: Broker) -> Iterator[CeleryTaskEngine]:
        engine = CeleryTaskEngine(
            self.database, self.outbox, broker_url=broker.url, workers=1, worker="tested"
        )
        engine.start()
        self.database.on_published = engine.wake
        try:
            yield engine
        finally:
            engine.stop()


def publish(database: Database, *uids: str) -> None:
    for uid in uids:
        fields = {"study_instance_uid": uid, "site_id": "s", "generation": 1}
        with database.unit_of_work() as work:
            work.publish(new_event(StudyCompleted, database.clock, **fields))


def owed(database: Database, *states: str) -> int:
    query = select(func.count()).where(OutboxDelivery.state.in_(states or (PENDING, PARKED)))
    with database.read() as session:
        return session.scalar(query) or 0


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    create_tables(database)
    yield Hub(database)
    database.dispose()


def named(request: pytest.FixtureRequest, name: str) -> Broker:
    broker: Broker = request.getfixturevalue(name)
    return broker


@pytest.mark.parametrize("name", ["rabbitmq", "redis"])
def test_a_broker_stopped_under_load_costs_nothing_and_is_used_again(
    hub: Hub, request: pytest.FixtureRequest, name: str
) -> None:
    broker = named(request, name)
    with hub.engine(broker) as engine:
        eventually(lambda: engine.broker_answers)
        hub.publish(*(f"1.{number}" for number in range(30)))
        broker.stop()
        try:
            hub.publish(*(f"2.{number}" for number in range(30)))
            eventually(lambda: hub.owed() == 0)
            eventually(lambda: not engine.broker_answers)
        finally:
            broker.start()
        eventually(lambda: engine.broker_answers)
        hub.publish(*(f"3.{number}" for number in range(30)))
        eventually(lambda: hub.owed() == 0)
    assert hub.seen == Counter(f"{part}.{number}" for part in (1, 2, 3) for number in range(30))


def test_a_broker_that_hangs_costs_nothing(hub: Hub, redis: Broker) -> None:
    with hub.engine(redis) as engine:
        eventually(lambda: engine.broker_answers)
        with redis.frozen():
            hub.publish(*(f"1.{number}" for number in range(10)))
            eventually(lambda: hub.owed() == 0)
        eventually(lambda: engine.broker_answers)
        hub.publish("2.1")
        eventually(lambda: hub.owed() == 0)
    assert set(hub.seen.values()) == {1}
    assert len(hub.seen) == 11


def hand_over_and_forget(hub: Hub, redis: Broker) -> None:
    """Ten deliveries are handed over; then the broker forgets them."""
    hub.publish(*(f"1.{number}" for number in range(10)))
    relay = Relay(hub.database, hub.outbox, application(redis.url, [QUICK], lambda _n: None))
    relay.start()
    eventually(lambda: _handed(hub) == 10)
    relay.stop()
    forget(redis)


def forget(redis: Broker) -> None:
    """Have it forget all it holds."""
    redis.kill()
    redis.start()


def _handed(hub: Hub) -> int:
    query = select(func.count()).where(OutboxDelivery.handed_at.is_not(None))
    with hub.database.read() as session:
        return session.scalar(query) or 0


def test_what_a_broker_has_forgotten_is_handed_over_again(hub: Hub, redis: Broker) -> None:
    hand_over_and_forget(hub, redis)
    with hub.engine(redis):
        eventually(lambda: hub.owed() == 0)
    assert hub.seen == Counter(f"1.{number}" for number in range(10))


def test_control_without_the_sweep_what_a_broker_has_forgotten_is_lost(
    hub: Hub, redis: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_runtime.celery_relay, "_LOST_S", 3600.0)
    hand_over_and_forget(hub, redis)
    monkeypatch.setattr(CeleryTaskEngine, "asks_directly", lambda _self: False)
    with hub.engine(redis):
        hub.publish("2.1")
        eventually(lambda: hub.seen["2.1"])
    assert hub.owed() == 10


def test_a_message_that_is_lost_is_sent_again_though_its_queue_is_never_empty(
    hub: Hub, redis: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for long_ago in ("_LOST_S", "_LATE_S"):
        monkeypatch.setattr(hub_runtime.celery_relay, long_ago, 0.0)
    forget(redis)
    hub.publish("1.1")
    relay = Relay(hub.database, hub.outbox, application(redis.url, [QUICK], lambda _n: None))
    relay.start()
    try:
        eventually(lambda: waiting(redis) >= 2)
    finally:
        relay.stop()
        forget(redis)


def waiting(broker: Broker) -> int:
    """How many messages wait in the queue of quick work."""
    app = application(broker.url, [QUICK], lambda _numbers: None)
    with app.connection_for_write() as connection:
        return int(queue(QUICK)(connection.default_channel).queue_declare().message_count)


def send_often(broker: Broker, numbers: list[int], times: int) -> None:
    app = application(broker.url, [QUICK], lambda _numbers: None)
    with app.connection_for_write() as connection:
        queue(QUICK)(connection.default_channel).declare()
        producer = app.amqp.Producer(connection.default_channel, auto_declare=False)
        for _ in range(times):
            app.tasks[TASK].apply_async(args=[numbers], queue=QUICK, producer=producer)


def test_a_message_that_comes_often_does_its_work_once(hub: Hub, rabbitmq: Broker) -> None:
    hub.publish("1.1")
    with hub.database.read() as session:
        (number,) = session.scalars(select(OutboxDelivery.delivery_id)).all()
    send_often(rabbitmq, [number], 5)
    with hub.engine(rabbitmq):
        eventually(lambda: hub.owed() == 0)
        # It goes through the same queue, after all of the five.
        hub.publish("1.2")
        eventually(lambda: hub.owed() == 0)
    assert hub.seen == Counter(["1.1", "1.2"])


def test_control_the_broker_does_bring_a_message_often(rabbitmq: Broker) -> None:
    brought: list[list[int]] = []
    send_often(rabbitmq, [1_000_000], 5)
    lane = CeleryLane("control", application(rabbitmq.url, [QUICK], brought.append), lambda: True)
    lane.start()
    eventually(lambda: brought.count([1_000_000]) == 5)
    lane.stop()


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import delete
from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted
from hub_kernel.outbox import Outbox, Subscriber
from hub_kernel.outbox_tables import PARKED, PENDING, OutboxDelivery
from hub_runtime.celery_engine import CeleryTaskEngine

url, broker_url, done, forgetful = sys.argv[1:]

def work(event):
    if forgetful == "forgetful":
        with database.unit_of_work() as unit:
            unit.session.execute(delete(OutboxDelivery))
    if event.study_instance_uid == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    with Path(done).open("a") as file:
        file.write(event.study_instance_uid + "\\n")

outbox = Outbox([Subscriber("count", StudyCompleted, work, attempts=3)])
database = Database(url, outbox=outbox)
CeleryTaskEngine(database, outbox, broker_url=broker_url, workers=1).start()
signal.pause()
"""


@dataclass
class Killed:
    """A worker of its own that dies of the study called poison."""

    url: str
    broker: Broker
    done: Path
    care: str = "careful"

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, self.url, self.broker.url, str(self.done), self.care],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)

    def dies(self) -> None:
        with self.running() as process:
            assert process.wait(WAIT_S) == -signal.SIGKILL

    def did(self) -> Counter[str]:
        return Counter(self.done.read_text().split()) if self.done.exists() else Counter()


def test_a_delivery_that_kills_every_worker_is_parked_and_costs_no_other(
    hub: Hub, redis: Broker, tmp_path: Path
) -> None:
    hub.publish("poison", "1.1", "1.2")
    killed = Killed(str(hub.database.engine.url), redis, tmp_path / "done")
    for _ in range(3):
        killed.dies()
    with killed.running():
        eventually(lambda: (hub.owed(), owed(hub.database, PARKED)) == (1, 1))
    with hub.database.read() as session:
        (left,) = session.scalars(select(OutboxDelivery)).all()
        assert left.attempts == 3
        assert "worker ended" in left.reason
    assert killed.did() == Counter(["1.1", "1.2"])


def test_control_who_forgets_before_it_works_loses_what_was_under_way(
    hub: Hub, redis: Broker, tmp_path: Path
) -> None:
    hub.publish("poison", "1.1", "1.2")
    killed = Killed(str(hub.database.engine.url), redis, tmp_path / "done", "forgetful")
    killed.dies()
    assert (hub.owed(), killed.did()) == (0, Counter())


def test_an_emergency_does_not_wait_for_routine_work(hub: Hub, rabbitmq: Broker) -> None:
    may_finish = threading.Event()
    seen: list[str] = []

    def render(event: StudyCompleted) -> None:
        if not event.is_urgent:
            may_finish.wait(WAIT_S)
        seen.append(event.study_instance_uid)

    hub.outbox.subscribe(
        Subscriber("render", StudyCompleted, render, heavy=True, queue="rendering")
    )
    with hub.engine(rabbitmq):
        try:
            hub.publish("1.1", "1.2", "1.3")
            eventually(lambda: len(hub.seen) == 3)
            fields = {"study_instance_uid": "9.9", "site_id": "s", "generation": 1}
            with hub.database.unit_of_work() as work:
                emergency = new_event(StudyCompleted, hub.database.clock, emergency=True, **fields)
                work.publish(emergency)
            eventually(lambda: seen == ["9.9"])
        finally:
            may_finish.set()
        eventually(lambda: hub.owed() == 0)
