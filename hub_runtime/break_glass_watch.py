"""Emergency accesses: their hour's end goes on record, and what waits for review is counted."""

from sqlalchemy.orm import Session

from access_control.atna_codes import END_BREAK_GLASS
from access_control.audit import AuditEvent
from access_control.break_glass import BrokenGlass
from access_control.model import Purpose, Subject, SubjectKind
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub

_EVERY_S = 20.0
_HUB = Subject(SubjectKind.MACHINE, "eirhub", "eirhub")


def break_glass_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what looks after emergency accesses."""

    def ended(session: Session, glass: BrokenGlass) -> None:
        hub.access.audit.record(
            session,
            AuditEvent(
                action=END_BREAK_GLASS,
                outcome="success",
                subject=_HUB,
                resource_kind="patient",
                resource_id=glass.global_id,
                address="",
                detail=f"emergency {glass.glass_id} of {glass.user_id} is over",
                purpose=Purpose.BREAK_GLASS,
            ),
        )

    def count() -> None:
        hub.base.metrics.emergencies.set(hub.access.break_glass.waiting_count())

    return [
        PeriodicJob(
            "break-glass-end", _EVERY_S, lambda: hub.access.break_glass.close_expired(ended)
        ),
        PeriodicJob("break-glass-count", _EVERY_S, count, everywhere=True),
    ]
