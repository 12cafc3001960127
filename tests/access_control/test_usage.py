"""What each site has sent today, and its quota."""

from collections.abc import Callable

import pytest

from access_control.model import Site
from access_control.usage import SiteUsage, Usage
from hub_kernel.database import Database
from tests.support.clock import FixedClock


@pytest.fixture
def usage(database: Database, clock: FixedClock) -> SiteUsage:
    return SiteUsage(database, clock, "Asia/Shanghai")


def test_what_two_processes_count_is_one_sum(
    usage: SiteUsage, database: Database, clock: FixedClock
) -> None:
    other = SiteUsage(database, clock, "Asia/Shanghai")
    usage.received("sijing", 100)
    other.received("sijing", 50)
    usage.refused("sijing")
    usage.flush()
    other.flush()
    assert SiteUsage(database, clock, "Asia/Shanghai").today("sijing") == Usage(150, 2, 1)
    assert SiteUsage(database, clock, "Asia/Shanghai").today("jiuting") == Usage()


def test_a_quota_holds_for_a_day_of_the_region(
    usage: SiteUsage, clock: FixedClock, make_site: Callable[..., Site]
) -> None:
    limited, free = make_site(max_bytes_per_day=100), make_site()
    assert usage.has_room(limited)
    usage.received(limited.site_id, 100)
    assert not usage.has_room(limited)
    assert usage.has_room(free)
    clock.advance(seconds=86_400)
    assert usage.has_room(limited)
