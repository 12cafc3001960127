"""Which certificates end soon: the hub's own, its CA's, and those of sites and machines."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from access_control.authority import CA_CERTIFICATE, SERVER_CERTIFICATE, certificate_end
from access_control.certificates import END_UNKNOWN, MachineCertificate, MachineCertificates
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.metrics import Metrics
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings
from hub_runtime.hub import Hub
from hub_runtime.own_tls import trust_folder

log = logging.getLogger(__name__)

SOON_DAYS = 30
_EVERY_S = 3600.0
_DAY_S = 86_400


@dataclass(frozen=True)
class Ending:
    """One certificate that holds now, or held last: what it is for, and when it ends."""

    kind: str
    name: str
    expires_at: datetime
    days_left: int
    advice: str

    @property
    def soon(self) -> bool:
        """Whether it is time for a new one."""
        return self.days_left < SOON_DAYS

    def words(self) -> str:
        """Return what an operator should read."""
        state = "has ended" if self.days_left < 0 else f"ends in {self.days_left} days"
        return f"{self.kind} certificate {self.name} {state}: {self.advice}"


@dataclass(frozen=True)
class CertificateWatch:
    """Looks at every certificate once an hour: numbers for Prometheus, warnings for the log."""

    settings: Settings
    database: Database
    clock: Clock
    metrics: Metrics

    def job(self) -> PeriodicJob:
        """Return the watch as a periodic job."""
        return PeriodicJob("certificate-watch", _EVERY_S, self.watch, everywhere=True)

    def watch(self) -> None:
        """Measure, and warn of what ends soon."""
        for ending in self.endings():
            self.metrics.certificate_days.labels(ending.kind, ending.name).set(ending.days_left)
            if ending.soon:
                log.warning("certificate ends soon", extra={"what": ending.words()})

    def endings(self) -> list[Ending]:
        """Return every certificate in use, the next to end first.

        Of one machine, or of one site for the same AE titles, the last to end counts: an older one
        that still holds beside it is being replaced.
        """
        latest: dict[tuple[str, tuple[str, ...]], MachineCertificate] = {}
        for one in MachineCertificates(self.database, self.clock).all():
            if one.revoked_at is not None or one.expires_at == END_UNKNOWN:
                continue
            key = one.site_id or one.certificate_id, one.ae_titles
            known = latest.get(key)
            if known is None or known.expires_at < one.expires_at:
                latest[key] = one
        found = [*self._own(), *map(self._bound, latest.values())]
        return sorted(found, key=lambda ending: ending.expires_at)

    def _own(self) -> Iterator[Ending]:
        folder = trust_folder(self.settings)
        renew = "eirhub certificate server --host NAME, then restart"
        server = folder / SERVER_CERTIFICATE
        router, web = self.settings.router, self.settings.web
        yield from self._file("server", server, renew)
        for name, path in (("router", router.tls_certificate), ("web", web.tls_certificate)):
            if path is not None:
                yield from self._file(name, path, f"replace {name}.tls_certificate, then restart")
        ca_advice = "issue every certificate anew from a new CA"
        yield from self._file("authority", folder / CA_CERTIFICATE, ca_advice)

    def _file(self, kind: str, path: Path, advice: str) -> Iterator[Ending]:
        end = certificate_end(path)
        if end is not None:
            yield Ending(kind, path.name, end, self._days(end), advice)

    def _bound(self, one: MachineCertificate) -> Ending:
        name = " ".join((one.site_id or one.name, *one.ae_titles))
        advice = (
            f"eirhub site certificate renew {one.site_id} {one.certificate_id}"
            if one.issued_here
            else "ask who issued it for a new one, and bind that"
        )
        kind = "site" if one.site_id else "machine"
        return Ending(kind, name, one.expires_at, self._days(one.expires_at), advice)

    def _days(self, end: datetime) -> int:
        return int((end - self.clock.now()).total_seconds() // _DAY_S)


def certificate_watch(hub: Hub) -> CertificateWatch:
    """Return the watch over the certificates of a hub."""
    return CertificateWatch(hub.settings, hub.database, hub.base.clock, hub.base.metrics)
