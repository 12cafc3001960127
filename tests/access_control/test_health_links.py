from datetime import timedelta

import pytest

from access_control.credentials import SecretHasher
from access_control.health_links import HealthLinks
from access_control.shared_links import NewLink, SharedLinks, ShareRequest
from hub_kernel.database import Database
from tests.support.clock import FixedClock

KEY = b"h" * 32
STUDY = "1.2.840.64"


@pytest.fixture
def links(database: Database, clock: FixedClock, hasher: SecretHasher) -> SharedLinks:
    return SharedLinks(database, clock, KEY, hasher=hasher)


@pytest.fixture
def link(links: SharedLinks, clock: FixedClock) -> NewLink:
    return links.create(ShareRequest(STUDY, "EIR-1", "x", clock.now() + timedelta(days=1)))


def test_a_file_key_takes_the_token_and_the_hubs_secret(
    links: SharedLinks, clock: FixedClock
) -> None:
    health, other = HealthLinks(links, clock, KEY), HealthLinks(links, clock, b"o" * 32)
    keys = {health.file_key("a"), health.file_key("b"), other.file_key("a")}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)
    assert health.file_key("a") == HealthLinks(links, clock, KEY).file_key("a")
    assert KEY not in keys


def test_a_ticket_lasts_ten_minutes_and_is_good_at_its_own_hub_alone(
    links: SharedLinks, clock: FixedClock, link: NewLink
) -> None:
    health = HealthLinks(links, clock, KEY)
    ticket = health.ticket(link.token)
    grant = health.admitted(link.token, ticket)
    assert grant
    assert grant.study_instance_uid == STUDY
    assert HealthLinks(links, clock, b"o" * 32).admitted(link.token, ticket) is None
    clock.advance(seconds=599)
    assert health.admitted(link.token, ticket)
    clock.advance(seconds=1)
    assert health.admitted(link.token, ticket) is None


@pytest.mark.parametrize("ticket", ["", "-", "9999999999-", "\ud800-\ud800", "é-1", "1" * 9_000])
def test_what_is_no_ticket_opens_nothing(
    links: SharedLinks, clock: FixedClock, link: NewLink, ticket: str
) -> None:
    assert HealthLinks(links, clock, KEY).admitted(link.token, ticket) is None


def test_a_ticket_is_as_dead_as_its_link(
    links: SharedLinks, clock: FixedClock, link: NewLink
) -> None:
    health = HealthLinks(links, clock, KEY)
    ticket = health.ticket(link.token)
    links.revoke(link.link_id)
    assert health.admitted(link.token, ticket) is None
