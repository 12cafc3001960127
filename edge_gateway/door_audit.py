"""What the audit trail says of edges: each study handed over, each attempt refused."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from access_control.audit import AuditEvent, AuditTrail
from access_control.model import Subject
from edge_gateway.model import Offer
from hub_kernel.database import Database

_SAME_S = 600.0
_REFUSED_SAME_S = 10.0
_REMEMBERED = 4096


@dataclass
class DoorAudit:
    """Writes one record for a study that an edge begins to hand over, as for an association.

    Instances of one study come in hundreds of requests; within ten minutes they are one access.
    Refusals of one kind are written every ten seconds at most: a flood must not fill the trail.
    """

    database: Database
    trail: AuditTrail
    _written: OrderedDict[tuple[str, ...], float] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begun(self, subject: Subject, offer: Offer, address: str) -> None:
        """Record that a study is being handed over; durable on return."""
        key = ("begun", subject.subject_id, offer.site_id, offer.study_instance_uid, address)
        if self._is_new(key, _SAME_S):
            self._write(
                AuditEvent(
                    action="store",
                    outcome="success",
                    subject=subject,
                    resource_kind="study",
                    resource_id=offer.study_instance_uid,
                    address=address,
                    detail=f"upload of site {offer.site_id}",
                )
            )

    def refused(self, subject: Subject, site_id: str, address: str, rule: str) -> None:
        """Record that somebody was turned away."""
        if self._is_new(("refused", subject.subject_id, address, rule), _REFUSED_SAME_S):
            self._write(
                AuditEvent(
                    action="store",
                    outcome="refused",
                    subject=subject,
                    resource_kind="operations",
                    resource_id=site_id[:64] if site_id.isprintable() else "",
                    address=address,
                    detail=rule,
                )
            )

    def _is_new(self, key: tuple[str, ...], same_s: float) -> bool:
        now = time.monotonic()
        with self._lock:
            last = self._written.get(key)
            if last is not None and now - last < same_s:
                return False
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)
        return True

    def _write(self, event: AuditEvent) -> None:
        with self.database.unit_of_work() as work:
            self.trail.record(work.session, event)
