"""A consumer of notifications, a broker that tells it, and what was told, as fixtures."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from access_control.audit import AuditQuery
from tests.xds_registry.hub import Hub
from tests.xds_registry.subscribing import (
    Broker,
    Consumer,
    listening,
    open_broker,
)
from xds_registry import store
from xds_registry.model import Submission
from xds_registry.subscriptions_consumers import NotificationSettings
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables_subscriptions import NotificationRow


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    with listening() as opened:
        yield opened


def allowing(*consumers: Consumer, **changes: Any) -> NotificationSettings:
    prefixes = tuple(one.address.removesuffix("notify") for one in consumers)
    return NotificationSettings(allowed_consumers=prefixes, **changes)


@pytest.fixture
def broker(hub: Hub, consumer: Consumer) -> Iterator[Broker]:
    with open_broker(hub, allowing(consumer, parked_after_days=3, answer_s=1.0)) as opened:
        yield opened


@pytest.fixture
def cx(hub: Hub) -> str:
    return hub.global_cx(hub.know())


def register(hub: Hub, what: Submission) -> None:
    """Register as every transaction does: with what it says to the hub."""
    with hub.database.unit_of_work() as work:
        store.register(work.session, what)
        work.publish(documents_registered(what, work.clock))


def counts(hub: Hub) -> dict[str, int]:
    query = select(NotificationRow.state, func.count()).group_by(NotificationRow.state)
    with hub.database.read() as session:
        return {row[0]: row[1] for row in session.execute(query)}


def told(hub: Hub, outcome: str) -> list[str]:
    """Whom the records of ITI-53 with this outcome are about."""
    records = hub.audit.search(AuditQuery()).records
    return [
        one.resource_id for one in records if (one.transaction, one.outcome) == ("ITI-53", outcome)
    ]
