"""What the tests of access control share: a cheap hasher, a link, and a way to describe sites."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from access_control.audit import AuditTrail
from access_control.credentials import HashingCost, SecretHasher
from access_control.model import Site
from access_control.shared_links import NewLink, SharedLinks, ShareRequest
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from tests.access_control.auditing import KEY as AUDIT_KEY
from tests.access_control.auditing import LENGTH, audit_event
from tests.access_control.linking import KEY, STUDY
from tests.support.clock import FixedClock

_SIJING = {
    "site_id": "sijing",
    "name": "泗泾社区卫生服务中心",
    "name_en": "Sijing Community Health Centre",
    "institution": "泗泾社区卫生服务中心",
    "level": "community",
    "ae_titles": ("SIJING_CT", "SIJING_DR"),
    "networks": ("10.21.0.0/16", "127.0.0.1/32"),
    "assigning_authority": AssigningAuthority("SIJING", "1.2.156.1.21"),
    "claimed_charset": "ISO_IR 100",
    "used_charset": "GB18030",
}


@pytest.fixture
def make_site() -> Callable[..., Site]:
    def make(**changes: Any) -> Site:
        return Site(**{**_SIJING, **changes})

    return make


@pytest.fixture(scope="session")
def hasher() -> SecretHasher:
    """argon2 at its lowest cost: these tests are about what is done, not about how slowly."""
    return SecretHasher(HashingCost(time_cost=1, memory_kib=8))


@pytest.fixture
def links(database: Database, clock: FixedClock, hasher: SecretHasher) -> SharedLinks:
    return SharedLinks(database, clock, KEY, hasher=hasher)


@pytest.fixture
def request_(clock: FixedClock) -> ShareRequest:
    return ShareRequest(STUDY, "EIR-0001", "user-1", clock.now() + timedelta(days=7))


@pytest.fixture
def link(links: SharedLinks, request_: ShareRequest) -> NewLink:
    return links.create(request_)


@pytest.fixture
def trail(database: Database, clock: FixedClock) -> AuditTrail:
    return AuditTrail(database, clock, AUDIT_KEY)


@pytest.fixture
def written(trail: AuditTrail) -> AuditTrail:
    for number in range(1, LENGTH + 1):
        trail.record_now(audit_event(number))
    return trail
