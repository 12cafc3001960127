"""The conflict desk, wired: its cases, who decides them, and what runs by itself."""

from dataclasses import dataclass
from datetime import timedelta

from access_control.legal_holds import deleting_alone
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.certificate_watch import certificate_watch
from hub_runtime.hub import Hub
from hub_runtime.orthanc_door import OrthancDoor
from hub_runtime.quota_watch import quota_watch
from image_archive.conflict_resolving import ConflictResolver
from image_archive.holdings import Holdings
from image_archive.model import QuarantineReason, QuarantineRecord

_MEASURED_EVERY_S = 10.0
_FINISHED_EVERY_S = 60.0
_DISCARDED_EVERY_S = 3600.0
_USAGE_EVERY_S = 5.0
_HELD_EVERY_S = 15.0


@dataclass(frozen=True)
class ConflictRoom:
    """What pages and commands need of the conflict desk; bytes are kept `retention` long."""

    resolver: ConflictResolver
    metrics: Metrics
    retention: timedelta
    hub: Hub

    def jobs(self) -> list[PeriodicJob]:
        """Return what measures, finishes and tidies up."""
        return [
            PeriodicJob("conflict-count", _MEASURED_EVERY_S, self.measure, everywhere=True),
            PeriodicJob("conflict-finish", _FINISHED_EVERY_S, self.resolver.finish_pending),
            PeriodicJob("conflict-discard", _DISCARDED_EVERY_S, self.discard),
        ]

    def measure(self) -> None:
        """Count the cases that wait, for Prometheus."""
        counts = self.resolver.cases.counts()
        for reason in QuarantineReason:
            self.metrics.conflicts.labels(reason.value).set(counts.get(reason, 0))

    def discard(self) -> None:
        """Delete parked bytes that were decided about long enough ago, unless they are held."""
        with deleting_alone(self.hub.database):
            self.resolver.discard_old(self.retention, self._is_held)

    def _is_held(self, record: QuarantineRecord) -> bool:
        """Tell whether the study is held, or whoever it belongs to here or in the parked bytes."""
        uid = record.study_instance_uid
        study = self.hub.index.study(uid, with_rejected=True)
        patients = [study.patient] if study else []
        if record.patient_id and record.issuer_oid:
            issuer = AssigningAuthority(record.issuer_oid, record.issuer_oid)
            patients.append(PatientIdentifier(record.patient_id, issuer))
        return any(self.hub.access.holds.on(one, uid) for one in patients)


def conflict_room(hub: Hub) -> ConflictRoom:
    """Return the conflict desk of a hub."""
    door = OrthancDoor(hub.access.sites, hub.settings)
    return ConflictRoom(
        ConflictResolver(hub.database, hub.archive, door.readmit),
        hub.base.metrics,
        timedelta(days=hub.settings.archive.quarantine_days),
        hub,
    )


def site_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what a hub does by itself about its sites: conflicts, certificates, quotas."""
    return [
        *conflict_room(hub).jobs(),
        certificate_watch(hub).job(),
        quota_watch(hub).job(),
        PeriodicJob("site-holdings", _HELD_EVERY_S, Holdings(hub.database).count),
        PeriodicJob("site-usage", _USAGE_EVERY_S, hub.usage.flush, everywhere=True),
    ]
