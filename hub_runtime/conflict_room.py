"""The conflict desk, wired: its cases, who decides them, and what runs by itself."""

from dataclasses import dataclass
from datetime import timedelta

from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.certificate_watch import certificate_watch
from hub_runtime.hub import Hub
from hub_runtime.orthanc_door import OrthancDoor
from hub_runtime.quota_watch import quota_watch
from image_archive.conflict_resolving import ConflictResolver
from image_archive.model import QuarantineReason

_MEASURED_EVERY_S = 10.0
_FINISHED_EVERY_S = 60.0
_DISCARDED_EVERY_S = 3600.0
_USAGE_EVERY_S = 5.0


@dataclass(frozen=True)
class ConflictRoom:
    """What pages and commands need of the conflict desk; bytes are kept `retention` long."""

    resolver: ConflictResolver
    metrics: Metrics
    retention: timedelta

    def jobs(self) -> list[PeriodicJob]:
        """Return what measures, finishes and tidies up."""
        return [
            PeriodicJob("conflict-count", _MEASURED_EVERY_S, self.measure, everywhere=True),
            PeriodicJob("conflict-finish", _FINISHED_EVERY_S, self.resolver.finish_pending),
            PeriodicJob("conflict-discard", _DISCARDED_EVERY_S, self._discard),
        ]

    def measure(self) -> None:
        """Count the cases that wait, for Prometheus."""
        counts = self.resolver.cases.counts()
        for reason in QuarantineReason:
            self.metrics.conflicts.labels(reason.value).set(counts.get(reason, 0))

    def _discard(self) -> None:
        while self.resolver.discard_old(self.retention):
            pass


def conflict_room(hub: Hub) -> ConflictRoom:
    """Return the conflict desk of a hub."""
    door = OrthancDoor(hub.access.sites, hub.settings)
    return ConflictRoom(
        ConflictResolver(hub.database, hub.archive, door.readmit),
        hub.base.metrics,
        timedelta(days=hub.settings.archive.quarantine_days),
    )


def site_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what a hub does by itself about its sites: conflicts, certificates, quotas."""
    return [
        *conflict_room(hub).jobs(),
        certificate_watch(hub).job(),
        quota_watch(hub).job(),
        PeriodicJob("site-usage", _USAGE_EVERY_S, hub.usage.flush, everywhere=True),
    ]
