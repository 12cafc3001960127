"""Receivers with certificates, a trail, and a hub that ships it to them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from access_control.atna_syslog import SyslogReceiver
from access_control.audit import AuditTrail
from hub_kernel.database import Database
from tests.hub_runtime.atna.shipping import EVENT, Shipping
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock
from tests.support.syslog_receiver import Receiver, receiving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("syslog"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certified:
    return authority.issue("repository")


@pytest.fixture(scope="module")
def hub_certificate(authority: Authority) -> Certified:
    return authority.issue("hub")


@pytest.fixture
def trail(database: Database, clock: FixedClock) -> AuditTrail:
    return AuditTrail(database, clock, b"k" * 32)


@pytest.fixture
def write(database: Database, trail: AuditTrail) -> Callable[[int], None]:
    def write(count: int) -> None:
        with database.unit_of_work() as work:
            for _ in range(count):
                trail.record(work.session, EVENT)

    return write


@pytest.fixture
def ship_to(database: Database, clock: FixedClock, authority: Authority) -> Callable[..., Shipping]:
    def make(port: int, **changes: Any) -> Shipping:
        to = SyslogReceiver("127.0.0.1", port, authority.file, patience_s=60)
        return Shipping(database, clock, replace(to, **changes))

    return make


@pytest.fixture
def receiver(server: Certified, authority: Authority) -> Iterator[Receiver]:
    with receiving(server, authority) as receiver:
        yield receiver
