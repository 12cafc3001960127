"""ITI-53: what becomes of notifications while a consumer is away, failing or slow."""

import socket
import time

import pytest
from sqlalchemy import func, select

from tests.xds_registry.hub import Hub
from tests.xds_registry.notified import allowing, counts, register, told
from tests.xds_registry.samples import urn
from tests.xds_registry.submitted import of
from tests.xds_registry.subscribing import (
    PATIENT,
    Broker,
    Consumer,
    listening,
    open_broker,
    reopened,
    subscribe,
)
from xds_registry.subscriptions_consumers import NotificationSettings
from xds_registry.tables_subscriptions import PARKED, PENDING, ConsumerRow

DAY = 86_400.0


def test_a_consumer_that_is_no_longer_configured_is_not_connected_to(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    register(hub, of(cx, "one"))
    broker.registry = reopened(hub, NotificationSettings())
    broker.settle()
    assert consumer.asked == 0 and counts(hub) == {PENDING: 1}


@pytest.mark.parametrize("status", [500, 404, 301, 307])
def test_a_failing_consumer_is_left_alone_longer_each_time_and_then_told_in_order(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str, status: int
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    consumer.status = status
    with listening() as trap:
        consumer.location = trap.address
        for name in ("one", "two"):
            register(hub, of(cx, name))
        pauses = []
        for attempt in range(1, 6):
            broker.settle()
            assert consumer.asked == attempt  # the second one is not even tried
            broker.settle()
            assert consumer.asked == attempt
            pauses.append(_due_in(hub))
            hub.clock.advance(seconds=pauses[-1] + 1)
        assert pauses == sorted(pauses) and pauses[-1] > 5 * pauses[0]
        consumer.status = 200
        broker.settle()
        assert trap.asked == 0
    assert consumer.ids() == [[urn("one")], [urn("two")]]
    with hub.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ConsumerRow)) == 0


def test_what_is_not_taken_for_days_is_parked_and_can_be_tried_again(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    consumer.status = 500
    register(hub, of(cx, "old"))
    broker.settle()
    hub.clock.advance(seconds=2 * DAY)
    register(hub, of(cx, "young"))
    hub.clock.advance(seconds=1.5 * DAY)
    broker.settle()
    assert counts(hub) == {PARKED: 1, PENDING: 1}
    assert told(hub, "failure") == [""]
    (seen,) = broker.registry.broker.waiting()
    assert (seen.address, seen.pending, seen.parked) == (consumer.address, 1, 1)
    assert seen.reason
    assert seen.failures > 0
    consumer.status = 202
    hub.clock.advance(seconds=DAY)
    broker.settle()
    assert consumer.ids() == [[urn("young")]]
    assert broker.registry.broker.retry_parked(consumer.address) == 1
    broker.settle()
    assert consumer.ids() == [[urn("young")], [urn("old")]]
    assert broker.registry.broker.waiting() == []


def test_a_slow_or_dead_consumer_does_not_keep_the_others_waiting(
    hub: Hub, consumer: Consumer, cx: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = Consumer(f"http://127.0.0.1:{silent.getsockname()[1]}/notify")
        with socket.create_server(("127.0.0.1", 0)) as gone:
            dead = Consumer(f"http://127.0.0.1:{gone.getsockname()[1]}/notify")
        settings = allowing(slow, dead, consumer, answer_s=0.5, connect_s=0.5)
        with open_broker(hub, settings) as broker:
            for one in (slow, dead, consumer):
                broker.subscribe(subscribe(one.address, (PATIENT, f"'{cx}'")))
            for name in ("one", "two"):
                register(hub, of(cx, name))
            began = time.monotonic()
            broker.settle()
            assert time.monotonic() - began < 60
    assert consumer.ids() == [[urn("one")], [urn("two")]]
    assert counts(hub) == {PENDING: 4}


def _due_in(hub: Hub) -> float:
    with hub.database.read() as session:
        row = session.scalars(select(ConsumerRow)).one()
        return (row.due_at - hub.clock.now()).total_seconds()
