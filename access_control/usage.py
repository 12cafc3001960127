"""What each site has sent today and what is held of it: for the operator, and for its quotas.

Counts of the day are gathered in memory and written once a second, so a killed hub forgets a second
of them. Several processes add to the same rows, and each sees the others' within a second.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from access_control.model import Site
from access_control.quotas import QuotaUse, Usage, quota_uses
from access_control.tables import SiteUsageRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database

_WRITTEN_EVERY_S = 1.0
_NOTHING = Usage()

Held = Callable[[Session], Mapping[str, tuple[int, int]]]
"""Reads what the archive holds of each site: bytes of datasets, instances."""


def _not_counted(_session: Session) -> Mapping[str, tuple[int, int]]:
    return {}


class SiteUsage:
    """Counts by site and by day of the region's calendar; safe from many threads.

    `held` reads the totals; without it a site's quotas in all are never used up.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        time_zone: str = "UTC",
        held: Held = _not_counted,
    ) -> None:
        self._database = database
        self._clock = clock
        self._zone = ZoneInfo(time_zone)
        self._read_held = held
        self._held: Mapping[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._written: dict[tuple[str, date], Usage] = {}
        self._pending: dict[tuple[str, date], Usage] = {}
        self._read_at = 0.0

    def today(self, site_id: str) -> Usage:
        """Return what the site has sent today, a second old at most."""
        key = site_id, self._today()
        self._settle()
        with self._lock:
            return self._written.get(key, _NOTHING) + self._pending.get(key, _NOTHING)

    def held(self, site_id: str) -> Usage:
        """Return what the archive holds of the site, as the totals were counted last."""
        self._settle()
        with self._lock:
            return Usage(*self._held.get(site_id, (0, 0)))

    def day(self) -> date:
        """Return the day that is counted now, of the region's calendar."""
        return self._today()

    def quotas(self, site: Site) -> Sequence[QuotaUse]:
        """Return each quota that the site has, and how much of it is used."""
        if not site.has_quotas:
            return ()
        return quota_uses(site, self.today(site.site_id), self.held(site.site_id))

    def used_up(self, site: Site) -> QuotaUse | None:
        """Return a quota of the site that is used up; None while it may send one more instance."""
        return next((one for one in self.quotas(site) if one.used_up), None)

    def has_room(self, site: Site) -> bool:
        """Return whether the site may send one more instance."""
        return self.used_up(site) is None

    def received(self, site_id: str, byte_count: int) -> None:
        """Count one instance that was taken."""
        self._count(site_id, Usage(byte_count, 1))

    def refused(self, site_id: str) -> None:
        """Count one instance refused for a quota of the site."""
        self._count(site_id, Usage(refused=1))

    def flush(self) -> None:
        """Write what is only in memory; what cannot be written is kept for the next time."""
        with self._lock:
            pending, self._pending = self._pending, {}
        for (site_id, day), usage in pending.items():
            try:
                self._add(site_id, day, usage)
            except SQLAlchemyError:
                self._keep((site_id, day), usage)

    def _count(self, site_id: str, usage: Usage) -> None:
        self._keep((site_id, self._today()), usage)
        self._settle()

    def _keep(self, key: tuple[str, date], usage: Usage) -> None:
        with self._lock:
            self._pending[key] = self._pending.get(key, _NOTHING) + usage

    def _settle(self) -> None:
        """Once a second: write what is pending, read what all processes have written."""
        now = time.monotonic()
        with self._lock:
            if now - self._read_at < _WRITTEN_EVERY_S:
                return
            self._read_at = now
        self.flush()
        today = self._today()
        try:
            with self._database.read() as session:
                rows = session.scalars(select(SiteUsageRow).where(SiteUsageRow.day == today))
                written = {(row.site_id, row.day): _usage(row) for row in rows}
                held = self._read_held(session)
        except SQLAlchemyError:
            return  # the old counts stand; the next second asks again
        with self._lock:
            self._written = written
            self._held = held

    def _add(self, site_id: str, day: date, usage: Usage) -> None:
        if self._added(site_id, day, usage):
            return
        try:
            with self._database.unit_of_work() as work:
                work.session.add(SiteUsageRow(site_id=site_id, day=day, **vars(usage)))
        except IntegrityError:  # another process was quicker
            self._added(site_id, day, usage)

    def _added(self, site_id: str, day: date, usage: Usage) -> bool:
        with self._database.unit_of_work() as work:
            changed = work.session.execute(
                update(SiteUsageRow)
                .where(SiteUsageRow.site_id == site_id, SiteUsageRow.day == day)
                .values(
                    received_bytes=SiteUsageRow.received_bytes + usage.received_bytes,
                    instances=SiteUsageRow.instances + usage.instances,
                    refused=SiteUsageRow.refused + usage.refused,
                )
            )
            return bool(changed.rowcount)  # type: ignore[attr-defined]  # an UPDATE counts

    def _today(self) -> date:
        return self._clock.now().astimezone(self._zone).date()


def _usage(row: SiteUsageRow) -> Usage:
    return Usage(row.received_bytes, row.instances, row.refused)
