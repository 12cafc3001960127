"""Delete studies past their term for good: in index, versions, registry, links, then their bytes.

One study is one transaction, with its audit record and what stays of it. Its bytes go after the
commit, here or by the job of a running hub, which goes on where a killed command stopped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete
from sqlalchemy.orm import Session

from access_control.audit import AuditEvent
from access_control.audit_message import AuditObject
from access_control.legal_holds import deleting_alone
from access_control.model import Subject, SubjectKind
from edge_gateway.tables import EDGE_INSTANCE
from eir_versions import forgetting
from hub_kernel.database import UnitOfWork
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub
from hub_runtime.retention.planning import Amount, retention_of, why_kept
from image_archive.deletion import Reasons, delete_rows, finish, is_indexed
from image_archive.errors import StudyStillNeededError
from image_archive.model import InstanceRecord
from image_archive.retention import DueStudy
from viewer_api.dicomweb.ready_metadata import metadata_key
from xds_registry.study_removal import remove_study

_FINISHED_EVERY_S = 60.0

Progress = Callable[[int, int], None]


@dataclass
class Deleted:
    """What one run deleted; `kept` are the studies that were to go and were kept after all."""

    amount: Amount = Amount()
    objects: int = 0
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StudyDeletion:
    """Deletes studies of one hub; safe beside a running one."""

    hub: Hub

    def run(self, due: Sequence[DueStudy], reasons: Reasons, progress: Progress) -> Deleted:
        """Delete these studies, each unless it is held, needed or no longer past its term by now.

        Raises:
            ArchiveError: bytes cannot be removed now; the studies are gone, their bytes go later.
        """
        report = Deleted(objects=self.finish())
        for number, one in enumerate(due, start=1):
            if self._delete(one.study_instance_uid, reasons):
                report.amount = report.amount.and_one(one)
                report.objects += self.finish()
            else:
                report.kept.append(one.study_instance_uid)
            progress(number, len(due))
        while self.hub.registry.intake.sweep():
            pass
        return report

    def finish(self) -> int:
        """Remove the bytes of what is deleted already; return how many objects went."""
        return finish(self.hub.database, self.hub.base.backend, _still_named)

    def job(self) -> PeriodicJob:
        """Return what finishes deletions that were cut short."""
        return PeriodicJob("deletion-finish", _FINISHED_EVERY_S, self.finish_quietly)

    def finish_quietly(self) -> None:
        """Remove what is left, for a periodic job."""
        self.finish()

    def _delete(self, uid: str, reasons: Reasons) -> bool:
        due = retention_of(self.hub).still_due(uid)
        if due is None:
            return False
        made = list(self._made_of(self.hub.index.instances_of(uid, with_rejected=True)))
        try:
            with deleting_alone(self.hub.database), self.hub.database.unit_of_work() as work:
                if why_kept(work.session, due) is not None:
                    return False
                self._delete_in(work, due, made, reasons)
        except StudyStillNeededError:  # something has arrived for it this very moment
            return False
        return True

    def _delete_in(
        self, work: UnitOfWork, due: DueStudy, made: Sequence[str], reasons: Reasons
    ) -> None:
        session, uid = work.session, due.study_instance_uid
        documents = remove_study(work, self.hub.registry.intake, uid, reasons.by)
        rendered = forgetting.forget_study(session, uid)
        links = self.hub.access.links.end_all(session, uid)
        session.execute(delete(EDGE_INSTANCE).where(EDGE_INSTANCE.c.study_instance_uid == uid))
        gone = delete_rows(work, uid, [*made, *rendered], reasons)
        said = (
            f"past its term of {due.years} years since {due.last_visit}: "
            f"{gone.instances} instances, {gone.dataset_bytes} bytes, {documents} documents, "
            f"{len(links)} links; {reasons.reason}"
        )
        self.hub.access.audit.record(
            session,
            AuditEvent(
                action="delete_study",
                outcome="success",
                subject=Subject(SubjectKind.USER, reasons.by, reasons.by.removeprefix("cli:")),
                resource_kind="study",
                resource_id=uid,
                address="",
                detail=said,
                objects=(AuditObject("patient", due.patient.cx),),
            ),
        )

    def _made_of(self, instances: Iterable[InstanceRecord]) -> Iterable[str]:
        for one in instances:
            yield metadata_key(one)
            yield from self.hub.eir.made_of(one)


def _still_named(session: Session, key: str) -> bool:
    return is_indexed(session, key) or forgetting.is_named(session, key)
