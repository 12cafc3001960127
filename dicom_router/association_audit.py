"""What the audit trail says of associations and queries (PS3.15 A.5.3)."""

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from access_control.audit import AuditEvent, AuditTrail
from access_control.model import Purpose, Subject, SubjectKind
from dicom_router.model import Caller, Tally
from hub_kernel.database import Database

log = logging.getLogger(__name__)

_QUIET_S = 10.0
_MOST_REMEMBERED = 10_000


@dataclass
class _Flood:
    """Refusals from one address for one reason: when one was last written, how many since."""

    written_at: float
    unwritten: int = 0


@dataclass
class AssociationAudit:
    """Writes one record for each association and each query.

    Refusals of one kind from one address are written at most every ten seconds, with their number:
    a flood must not fill the trail. A record that cannot be written is logged as an error; the
    association has ended by then and its instances carry their own receipts.
    """

    database: Database
    trail: AuditTrail
    _floods: dict[tuple[str, str], _Flood] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refused(self, address: str, calling_ae_title: str, reason: str) -> None:
        """Record that nobody was let in."""
        unwritten = self._unwritten(address, reason)
        if unwritten is None:
            return
        more = f"; {unwritten} more like it before" if unwritten else ""
        title = calling_ae_title or "unnamed"
        self._write(
            AuditEvent(
                action="associate",
                outcome="refused",
                subject=Subject(SubjectKind.ANONYMOUS, subject_id=title, display=title),
                resource_kind="association",
                resource_id="",
                address=address,
                detail=f"{reason}{more}",
            )
        )

    def ended(self, caller: Caller, tally: Tally, ending: str, *, orderly: bool) -> None:
        """Record an association that was let in, how it ended and what happened in it."""
        stored = any("stored" in outcome for outcome in tally.outcomes)
        self._write(
            AuditEvent(
                action="store" if stored else "associate",
                outcome="success" if orderly else "failure",
                subject=caller.site.as_subject(),
                resource_kind="association",
                resource_id=caller.calling_ae_title,
                address=caller.address,
                detail=f"{ending}; {tally or 'nothing sent'}",
                purpose=Purpose.TREATMENT,
            )
        )

    def queried(self, caller: Caller, level: str, answers: int, *, succeeded: bool) -> None:
        """Record a C-FIND: who asked at which level and how much was shown."""
        self._write(
            AuditEvent(
                action="query",
                outcome="success" if succeeded else "failure",
                subject=caller.site.as_subject(),
                resource_kind="association",
                resource_id=caller.calling_ae_title,
                address=caller.address,
                detail=f"C-FIND {level or 'without level'}: {answers} answers",
                purpose=Purpose.TREATMENT,
            )
        )

    def asked_commitment(self, caller: Caller, instances: int) -> None:
        """Record a request for storage commitment."""
        self._write(
            AuditEvent(
                action="query",
                outcome="success",
                subject=caller.site.as_subject(),
                resource_kind="association",
                resource_id=caller.calling_ae_title,
                address=caller.address,
                detail=f"storage commitment of {instances} instances",
                purpose=Purpose.TREATMENT,
            )
        )

    def retrieved(
        self, caller: Caller, studies: Iterable[str], detail: str, *, succeeded: bool
    ) -> None:
        """Record a C-MOVE or C-GET, once for each study it concerns, or once if it came to none."""
        for study_instance_uid in tuple(studies) or ("",):
            self._write(
                AuditEvent(
                    action="retrieve",
                    outcome="success" if succeeded else "failure",
                    subject=caller.site.as_subject(),
                    resource_kind="study" if study_instance_uid else "association",
                    resource_id=study_instance_uid or caller.calling_ae_title,
                    address=caller.address,
                    detail=detail,
                    purpose=Purpose.TREATMENT,
                )
            )

    def _unwritten(self, address: str, reason: str) -> int | None:
        """How many like it were left out before this one; None when this one is left out too."""
        now = time.monotonic()
        with self._lock:
            if len(self._floods) > _MOST_REMEMBERED:
                self._floods.clear()
            flood = self._floods.get((address, reason))
            if flood is not None and now - flood.written_at < _QUIET_S:
                flood.unwritten += 1
                return None
            self._floods[address, reason] = _Flood(now)
            return flood.unwritten if flood is not None else 0

    def _write(self, event: AuditEvent) -> None:
        try:
            with self.database.unit_of_work() as work:
                self.trail.record(work.session, event)
        except SQLAlchemyError:
            log.exception("an audit record could not be written", extra={"action": event.action})
