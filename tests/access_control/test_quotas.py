"""Quotas of a site by day and in all, and the counters that the totals are taken from."""

from collections.abc import Callable

import pytest

from access_control.model import Site
from access_control.quotas import Quota, QuotaUse
from access_control.usage import SiteUsage
from hub_kernel.database import Database
from tests.support.clock import FixedClock


@pytest.mark.parametrize(
    ("limit", "quota"),
    [
        ({"max_bytes_per_day": 100}, Quota.BYTES_PER_DAY),
        ({"max_instances_per_day": 2}, Quota.INSTANCES_PER_DAY),
        ({"max_bytes": 1_000}, Quota.BYTES),
        ({"max_instances": 7}, Quota.INSTANCES),
    ],
)
def test_each_quota_is_used_up_by_what_it_counts(
    database: Database,
    clock: FixedClock,
    make_site: Callable[..., Site],
    limit: dict[str, int],
    quota: Quota,
) -> None:
    held = {"now": (0, 0)}
    site = make_site(**limit)
    usage = SiteUsage(database, clock, held=lambda _session: {site.site_id: held["now"]})
    assert usage.used_up(site) is None
    usage.received(site.site_id, 50)
    assert usage.used_up(site) is None
    usage.received(site.site_id, 50)
    held["now"] = (1_000, 7)
    usage = SiteUsage(database, clock, held=lambda _session: {site.site_id: held["now"]})
    usage.received(site.site_id, 50)
    usage.received(site.site_id, 50)
    used_up = usage.used_up(site)
    assert used_up is not None
    assert (used_up.quota, used_up.share >= 1) == (quota, True)
    assert usage.used_up(make_site()) is None
    clock.advance(seconds=86_400)
    assert (usage.used_up(site) is None) == quota.daily


def test_marks_are_passed_in_order_and_used_up_is_always_one() -> None:
    def use(used: int) -> QuotaUse:
        return QuotaUse("s", Quota.BYTES, used, 100)

    marks = (0.8, 0.95)
    assert [use(n).mark(marks) for n in (79, 80, 94, 95, 100, 130)] == [0, 0.8, 0.8, 0.95, 1, 1]
    assert use(100).mark(()) == 1
    assert [use(n).used_up for n in (99, 100)] == [False, True]
