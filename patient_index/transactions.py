"""Units of work of the patient index: tried again when another writer was there first."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Select, bindparam, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from hub_kernel.database import Database, UnitOfWork
from hub_kernel.errors import HubError
from patient_index.global_ids import GlobalIdFactory

T = TypeVar("T")

_ATTEMPTS = 8
# PostgreSQL: deadlock detected, serialization failure.
_TRY_AGAIN = frozenset({"40P01", "40001"})


class LinksMovedError(HubError):
    """Links changed between reading and locking them; the unit of work starts again."""


@dataclass(frozen=True)
class Work:
    """One unit of work and what every writer of the index needs in it.

    `again` says that another writer was there first, and this is a second attempt.
    """

    unit: UnitOfWork
    global_ids: GlobalIdFactory
    again: bool = False

    @property
    def session(self) -> Session:
        """The open transaction."""
        return self.unit.session

    @property
    def now(self) -> datetime:
        """The time of the unit's clock."""
        return self.unit.clock.now()


class Writer:
    """Runs a change in a unit of work of its own."""

    def __init__(self, database: Database, global_ids: GlobalIdFactory) -> None:
        self._database = database
        self._global_ids = global_ids
        # SQLite lets one write at a time and makes the others sleep and try; threads of one process
        # rather stand in line, which is fair and loses no time.
        alone = database.engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = threading.Lock() if alone else nullcontext()

    def write(self, change: Callable[[Work], T]) -> T:
        """Run `change` in a unit of work, again when another writer was there first.

        `change` must do all its reading inside: a second run sees what the other wrote.
        """
        for attempt in range(_ATTEMPTS - 1):
            try:
                return self._once(change, again=attempt > 0)
            except (IntegrityError, LinksMovedError):
                # Registered or linked by somebody else since we looked: look again.
                continue
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN:
                    raise
        return self._once(change, again=True)

    def _once(self, change: Callable[[Work], T], *, again: bool) -> T:
        with self._turn, self._database.unit_of_work() as unit:
            return change(Work(unit, self._global_ids, again))


def hold(session: Session, names: Sequence[int]) -> None:
    """Until the transaction ends, let nobody else work under one of these 64-bit names.

    Two newcomers that could be one person share a name, so the second is compared with the first.
    SQLite has one writer anyway. Taken in one order, so that two writers never wait for each other.
    """
    if not names or session.get_bind().dialect.name != "postgresql":
        return
    ordered = sorted(set(names))
    given = {f"name{place}": name for place, name in enumerate(ordered)}
    session.execute(_hold_query(len(ordered)), given)


@cache
def _hold_query(count: int) -> Select[*tuple[Any, ...]]:
    names = (bindparam(f"name{place}", type_=BigInteger()) for place in range(count))
    return select(*(func.pg_advisory_xact_lock(name) for name in names))
