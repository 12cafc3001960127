"""How much of its quotas each site has used: told before anything is refused."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from access_control.quotas import Quota, QuotaUse
from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub

log = logging.getLogger(__name__)

_EVERY_S = 15.0

NAMES: Mapping[Quota, str] = {
    Quota.BYTES_PER_DAY: "its quota of bytes of today",
    Quota.INSTANCES_PER_DAY: "its quota of instances of today",
    Quota.BYTES: "its quota of bytes in all",
    Quota.INSTANCES: "its quota of instances in all",
}


@dataclass
class QuotaWatch:
    """Measures every site with a quota, and warns in the log once a day at each of `marks`.

    Marks are shares of a quota; that it is used up is told in any case.
    """

    sites: SiteDirectory
    usage: SiteUsage
    metrics: Metrics
    marks: Sequence[float] = (0.8, 0.9, 0.95)
    _warned: dict[tuple[str, Quota], tuple[date, float]] = field(default_factory=dict)

    def job(self) -> PeriodicJob:
        """Return the watch as a periodic job."""
        return PeriodicJob("quota-watch", _EVERY_S, self.watch)

    def uses(self) -> list[QuotaUse]:
        """Return every quota of every site with what is used of it, the fullest first."""
        found = [use for site in self.sites.all() for use in self.usage.quotas(site)]
        return sorted(found, key=lambda use: (-use.share, use.site_id, use.quota))

    def is_near(self, use: QuotaUse) -> bool:
        """Say whether an operator should know of it."""
        return use.mark(self.marks) > 0

    def words(self, use: QuotaUse) -> str:
        """Return what an operator should read."""
        said = f"{use.share:.0%} of {NAMES[use.quota]} is used"
        if not use.used_up:
            return said
        until = "until tomorrow" if use.quota.daily else "until it is raised"
        refused = self.usage.today(use.site_id).refused
        return f"{said}; C-STORE answers A700 {until}, {refused} were refused today"

    def watch(self) -> None:
        """Measure, and warn of each mark when it is passed."""
        day, fullest = self.usage.day(), dict[str, float]()
        for use in self.uses():
            fullest.setdefault(use.site_id, use.share)
            passed, key = use.mark(self.marks), (use.site_id, use.quota)
            warned_on, warned = self._warned.get(key, (day, 0.0))
            if passed > (warned if warned_on == day else 0.0):
                said = {"site": use.site_id, "what": self.words(use)}
                log.warning("a site nears its quota", extra=said)
            self._warned[key] = (day, passed)
        for site_id, share in fullest.items():
            self.metrics.quota_used.labels(site_id).set(share)


def quota_watch(hub: Hub) -> QuotaWatch:
    """Return the watch over the quotas of the sites of a hub."""
    marks = hub.settings.quotas.warn_at
    return QuotaWatch(hub.access.sites, hub.usage, hub.base.metrics, marks)
