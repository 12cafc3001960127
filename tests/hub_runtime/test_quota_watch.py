"""A site that nears its quota is told of before it is refused, once at each mark."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from hub_kernel.database import Database
from hub_kernel.metrics import Metrics
from hub_runtime.quota_watch import QuotaWatch
from tests.support.clock import FixedClock
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, site

QUOTA = 1_000


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 8, tzinfo=UTC))


@pytest.fixture
def watch(database: Database, clock: FixedClock) -> Iterator[QuotaWatch]:
    sites = SiteDirectory(database, clock)
    sites.add(replace(site("quotaed", 1), max_bytes_per_day=QUOTA))
    sites.add(site("boundless", 2))
    yield QuotaWatch(sites, SiteUsage(database, clock), Metrics())


def warnings(watch: QuotaWatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="hub_runtime.quota_watch"):
        watch.watch()
    return [str(record.__dict__["what"]) for record in caplog.records]


def test_each_mark_is_told_once_a_day(
    watch: QuotaWatch, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    watch.usage.received("quotaed", 790)
    watch.usage.received("boundless", 10_000)
    assert warnings(watch, caplog) == []
    for more, said in ((20, "81%"), (90, "90%"), (100, "100%")):
        watch.usage.received("quotaed", more)
        (told,) = warnings(watch, caplog)
        assert told.startswith(said)
        assert warnings(watch, caplog) == []
    assert "A700" in told
    (use,) = watch.uses()
    assert (use.used, use.mark(watch.marks)) == (1_000, 1.0)
    clock.advance(seconds=86_400)
    assert warnings(watch, caplog) == []
    watch.usage.received("quotaed", 850)
    assert len(warnings(watch, caplog)) == 1


def test_prometheus_sees_the_share(watch: QuotaWatch) -> None:
    watch.usage.received("quotaed", 250)
    watch.watch()
    value = watch.metrics.registry.get_sample_value
    assert value("eirhub_site_quota_used", {"site": "quotaed"}) == 0.25
    assert value("eirhub_site_quota_used", {"site": "boundless"}) is None


def test_the_command_fails_from_eighty_percent_on(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "data")
    hub.access.sites.add(replace(site("quotaed", 9), max_bytes_per_day=QUOTA))
    hub.usage.received("quotaed", 790)
    hub.usage.flush()
    assert eirhub("site", "quota", data=tmp_path / "data").returncode == 0
    hub.usage.received("quotaed", 10)
    hub.usage.flush()
    hub.close()
    done = eirhub("site", "quota", "--json", data=tmp_path / "data")
    assert (done.returncode, json.loads(done.stdout)[0]["share"]) == (1, 0.8)
