"""Leases in the database: one of many processes holds each, and a dead holder's runs out."""

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, String, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, Database, UtcDateTime

# Farther ahead than any lease: written by a clock that has been set back since.
_FAR_AHEAD = timedelta(days=1)


class Lease(Base):
    """Something that one holder at a time may do."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class Leases:
    """The leases that `holder` takes, keeps and gives back; safe from many threads and processes.

    `is_dead` judges the name of another holder: what a dead one holds is free at once. Times are
    those of the database's clock object: machines whose clocks differ by more than a lease may
    both believe that they hold it.
    """

    def __init__(
        self,
        database: Database,
        holder: str,
        *,
        is_dead: Callable[[str], bool] = lambda _holder: False,
    ) -> None:
        self._database = database
        self._holder = holder
        self._is_dead = is_dead

    def take(self, name: str, lease_s: float) -> bool:
        """Take the lease, or keep it for `lease_s` from now; tell whether it is ours."""
        with self._database.read() as session:
            # Look without a write lock: who waits for a lease must not disturb the receive path.
            seen = session.execute(
                select(Lease.holder, Lease.until).where(Lease.name == name)
            ).first()
        if seen is None:
            return self._add(name, lease_s)
        if seen.holder == self._holder:
            return self._replace(lease_s, Lease.name == name, Lease.holder == seen.holder)
        if not (self._has_run_out(seen.until) or self._is_dead(seen.holder)):
            return False
        # Only while it is still as seen: of several that find it free, one gets it.
        as_seen = (Lease.holder == seen.holder, Lease.until == seen.until)
        return self._replace(lease_s, Lease.name == name, *as_seen)

    def give_back(self, name: str) -> None:
        """Let the next one have it at once; nothing happens when it is not ours."""
        with self._database.unit_of_work() as work:
            work.session.execute(
                delete(Lease).where(Lease.name == name, Lease.holder == self._holder)
            )

    def _add(self, name: str, lease_s: float) -> bool:
        try:
            with self._database.unit_of_work() as work:
                until = work.clock.now() + timedelta(seconds=lease_s)
                work.session.execute(
                    insert(Lease).values(name=name, holder=self._holder, until=until)
                )
        except IntegrityError:  # another one was first
            return False
        return True

    def _replace(self, lease_s: float, *held: ColumnElement[bool]) -> bool:
        with self._database.unit_of_work() as work:
            until = work.clock.now() + timedelta(seconds=lease_s)
            taken = work.session.execute(
                update(Lease)
                .where(*held)
                .values(holder=self._holder, until=until)
                .returning(Lease.name)
            ).first()
        return taken is not None

    def _has_run_out(self, until: datetime) -> bool:
        now = self._database.clock.now()
        return until <= now or until > now + _FAR_AHEAD


def process_name() -> str:
    """Return this process's name as a holder or worker: host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_dead_here(worker: str) -> bool:
    """Tell whether `worker` (host:pid) was on this machine and is gone."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return True  # this process has not begun: the name is a predecessor's
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
