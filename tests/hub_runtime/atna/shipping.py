"""A hub that ships its audit trail, and what a receiver has of it, in tests."""

import re

from access_control.atna import AuditSource
from access_control.atna_syslog import SyslogReceiver
from access_control.audit import AuditEvent
from access_control.model import Role, Subject, SubjectKind
from hub_kernel.database import Database
from hub_kernel.metrics import Metrics
from hub_runtime.atna_shipping import AuditShipping, Pace, ShippingParts
from tests.support.clock import FixedClock

SUBJECT = Subject(SubjectKind.MACHINE, "m-1", "pacs", frozenset({Role.CLINICIAN}), None)
EVENT = AuditEvent("query_registry", "success", SUBJECT, "patient", "E1", "127.0.0.1", "query")
# More than a receiving machine buffers, less than a sending one does.
UNREAD_BYTES = 300_000
SYSLOG = re.compile(
    rb"<85>1 (\d{4}-\d\d-\d\dT[\d:.]+Z) (\S+) eirhub (\d+) (\S+) "
    rb'\[meta sequenceId="(\d+)"\] \xef\xbb\xbf(<\?xml.*)',
    re.DOTALL,
)


class Shipping:
    """A hub's shipping to one receiver; made anew it is a hub that was started anew."""

    def __init__(self, database: Database, clock: FixedClock, to: SyslogReceiver) -> None:
        self.metrics = Metrics()
        parts = ShippingParts(
            database, clock, self.metrics, AuditSource(), Pace(batch=10, first_wait_s=5)
        )
        self.shipping = AuditShipping(parts, to)

    def ship(self) -> int:
        return self.shipping.ship()

    @property
    def waiting(self) -> tuple[float, float]:
        value = self.metrics.registry.get_sample_value
        return (
            value("eirhub_audit_unshipped_records") or 0.0,
            value("eirhub_audit_unshipped_seconds") or 0.0,
        )


def sequences(messages: list[bytes]) -> list[int]:
    found = [SYSLOG.fullmatch(message) for message in messages]
    assert all(found), messages
    return [int(one[5]) for one in found if one]
