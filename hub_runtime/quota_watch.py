"""How much of its daily quota each site has used: told before anything is refused."""

import logging
from dataclasses import dataclass, field
from datetime import date

from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub

log = logging.getLogger(__name__)

WARNED_AT = (0.8, 0.9, 1.0)
_EVERY_S = 15.0


@dataclass(frozen=True)
class QuotaUse:
    """What one site has sent today of what it may; `refused` counts instances over it."""

    site_id: str
    used_bytes: int
    quota_bytes: int
    refused: int

    @property
    def share(self) -> float:
        """Which part of the quota is used; 1 is all of it."""
        return self.used_bytes / self.quota_bytes

    @property
    def level(self) -> float:
        """The highest mark that is passed; 0 for none."""
        return max((mark for mark in WARNED_AT if self.share >= mark), default=0.0)

    def words(self) -> str:
        """Return what an operator should read."""
        said = f"{self.share:.0%} of its quota of today is used"
        if self.level < 1:
            return said
        return f"{said}; C-STORE answers A700 until tomorrow, {self.refused} were refused"


@dataclass
class QuotaWatch:
    """Measures every site with a quota, and warns in the log once a day at each mark."""

    sites: SiteDirectory
    usage: SiteUsage
    metrics: Metrics
    _warned: dict[str, tuple[date, float]] = field(default_factory=dict)

    def job(self) -> PeriodicJob:
        """Return the watch as a periodic job."""
        return PeriodicJob("quota-watch", _EVERY_S, self.watch)

    def uses(self) -> list[QuotaUse]:
        """Return what every site with a quota has used today, the fullest first."""
        found = [
            QuotaUse(site.site_id, today.received_bytes, site.max_bytes_per_day, today.refused)
            for site in self.sites.all()
            if site.max_bytes_per_day
            for today in [self.usage.today(site.site_id)]
        ]
        return sorted(found, key=lambda use: (-use.share, use.site_id))

    def watch(self) -> None:
        """Measure, and warn of each mark when it is passed."""
        day = self.usage.day()
        for use in self.uses():
            self.metrics.quota_used.labels(use.site_id).set(use.share)
            warned_on, level = self._warned.get(use.site_id, (day, 0.0))
            if use.level > (level if warned_on == day else 0.0):
                said = {"site": use.site_id, "what": use.words()}
                log.warning("a site nears its quota", extra=said)
            self._warned[use.site_id] = (day, use.level)


def quota_watch(hub: Hub) -> QuotaWatch:
    """Return the watch over the quotas of the sites of a hub."""
    return QuotaWatch(hub.access.sites, hub.usage, hub.base.metrics)
