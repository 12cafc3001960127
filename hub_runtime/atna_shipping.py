"""Ship the audit trail to an audit record repository: store and forward (IHE ITI-20).

The trail itself is the queue: it is append-only, so a repository may be away for days. Delivery is
in order and at least once.
"""

import logging
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from prometheus_client import Gauge

from access_control.atna import AuditSource, audit_message, unreadable_message
from access_control.atna_cursor import AuditCursor, StoredRecord
from access_control.atna_syslog import (
    SyslogOrigin,
    SyslogReceiver,
    client_context,
    send_all,
    syslog_message,
)
from access_control.errors import AuditNotDeliveredError
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings

log = logging.getLogger(__name__)

INTERVAL_S = 5.0


@dataclass(frozen=True)
class Pace:
    """How many records one connection carries, how many one run, and the wait after a failure."""

    batch: int = 200
    most_in_a_run: int = 10_000
    first_wait_s: float = 5.0
    longest_wait_s: float = 300.0


@dataclass(frozen=True)
class ShippingParts:
    """What shipping stands on."""

    database: Database
    clock: Clock
    metrics: Metrics
    source: AuditSource = AuditSource()
    pace: Pace = field(default_factory=Pace)


class AuditShipping:
    """Sends what the repository has not received yet; `job` is what the task engine runs."""

    def __init__(self, parts: ShippingParts, receiver: SyslogReceiver) -> None:
        """Read the certificates once, so that wrong files show at the start.

        Raises:
            ConfigurationError: a certificate, key or authority file cannot be used.
        """
        self._parts = parts
        self._receiver = receiver
        self._context = _context(receiver)
        self._cursor = AuditCursor(parts.database, parts.clock, receiver.name)
        self._origin = SyslogOrigin(socket.gethostname(), parts.source.source_id, str(os.getpid()))
        self._stopping = threading.Event()
        self._failures = 0
        self._not_before: datetime | None = None
        self._waiting = Gauge(
            "eirhub_audit_unshipped_records",
            "Audit records that the audit record repository has not received yet",
            registry=parts.metrics.registry,
        )
        self._lag = Gauge(
            "eirhub_audit_unshipped_seconds",
            "Age of the oldest audit record that has not been received yet",
            registry=parts.metrics.registry,
        )

    def job(self) -> PeriodicJob:
        """Return the periodic job that ships."""
        return PeriodicJob("audit-shipping", INTERVAL_S, self.ship, self.stop)

    def stop(self) -> None:
        """Wait no longer for an acknowledgement; what has none is sent again after a restart."""
        self._stopping.set()

    def ship(self) -> int:
        """Send what waits and return how much was received; never raises because of the receiver.

        After a failure nothing is tried for a while, twice as long each time.
        """
        due = self._not_before is None or self._parts.clock.now() >= self._not_before
        shipped = self._ship_batches() if self._measured() and due else 0
        self._measured()
        return shipped

    def _ship_batches(self) -> int:
        after, shipped = self._cursor.hold(), 0
        if after is None:
            return 0
        try:
            while shipped < self._parts.pace.most_in_a_run:
                records = self._cursor.records_after(after, self._parts.pace.batch)
                if not records:
                    break
                send_all(map(self._message, records), self._receiver, self._context, self._stopping)
                after = records[-1].sequence
                if not self._cursor.move(after):
                    break
                shipped += len(records)
                self._succeeded()
        except AuditNotDeliveredError as error:
            self._failed(str(error))
        finally:
            self._cursor.release()
        return shipped

    def _message(self, stored: StoredRecord) -> bytes:
        at = stored.recorded_at or self._parts.clock.now()
        if stored.record is not None:
            xml = audit_message(stored.record, self._parts.source)
        else:
            xml = unreadable_message(stored.sequence, self._parts.source, at.isoformat())
        return syslog_message(xml, stored.sequence, at, self._origin)

    def _succeeded(self) -> None:
        if self._failures:
            log.info("the audit record repository is back", extra={"to": self._receiver.name})
        self._failures, self._not_before = 0, None

    def _failed(self, why: str) -> None:
        pace = self._parts.pace
        wait = min(pace.first_wait_s * 2.0 ** min(self._failures, 30), pace.longest_wait_s)
        self._failures += 1
        self._not_before = self._parts.clock.now() + timedelta(seconds=wait)
        log.warning(
            "audit records not delivered; trying again",
            extra={"to": self._receiver.name, "why": why, "wait_s": wait},
        )

    def _measured(self) -> int:
        lag = self._cursor.lag()
        self._waiting.set(lag.records)
        self._lag.set(lag.seconds)
        return lag.records


def _context(receiver: SyslogReceiver) -> ssl.SSLContext:
    try:
        return client_context(receiver)
    except OSError as error:
        raise ConfigurationError(
            f"audit.syslog: the certificate files cannot be used ({error.strerror or error})"
        ) from error


def shipping_jobs(settings: Settings, parts: ShippingParts) -> list[PeriodicJob]:
    """Return what ships the trail, or nothing where no audit record repository is configured.

    Raises:
        ConfigurationError: a certificate, key or authority file cannot be used.
    """
    wanted = settings.audit
    if not wanted.syslog_host:
        return []
    source = AuditSource(
        "eirhub",
        wanted.site_id,
        settings.web.public_url or settings.web.bind,
        str(os.getpid()),
        settings.identity.global_oid,
    )
    receiver = SyslogReceiver(
        wanted.syslog_host,
        wanted.syslog_port,
        wanted.syslog_ca,
        wanted.syslog_certificate,
        wanted.syslog_key,
    )
    return [AuditShipping(replace(parts, source=source), receiver).job()]
