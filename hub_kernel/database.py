"""The hub's one database: SQLite by default, PostgreSQL by its address, the same models on both.

Everything that must be true together is written in one unit of work: rows, outbox events and audit
records commit or vanish as one transaction.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import DateTime, Dialect, Engine, MetaData, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from hub_kernel.clock import Clock, SystemClock
from hub_kernel.database_version import DatabaseVersion
from hub_kernel.errors import ConfigurationError
from hub_kernel.events import Event

_BUSY_TIMEOUT_MS = 30_000
_LOOK_AGAIN_S = 0.001
_WRITE = "eirhub_write"


class Base(DeclarativeBase):
    """The root of every table; constraint names are fixed so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; naive times are refused on the way in, whatever the database stores."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the UTC time that is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time must not reach the database")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class EventWriter(Protocol):
    """Writes an event and its deliveries inside a transaction (`hub_kernel.outbox`)."""

    def write(self, session: Session, occurred: Sequence[Event]) -> set[type[Event]]:
        """Add the rows; nothing is visible before the transaction commits.

        Returns the types of the events that somebody waits for.
        """
        ...


@dataclass(frozen=True)
class UnitOfWork:
    """One transaction: its session, its time source, and the events that become true with it."""

    session: Session
    clock: Clock
    _writer: EventWriter | None = None
    _published: set[type[Event]] = field(default_factory=set)

    def publish(self, occurred: Event) -> None:
        """Record `occurred` in the outbox, in this transaction."""
        self.publish_all([occurred])

    def publish_all(self, occurred: Sequence[Event]) -> None:
        """Record many events for the price of one."""
        if self._writer is not None and occurred:
            self._published.update(self._writer.write(self.session, occurred))


class Database:
    """Opens units of work and read snapshots on the database at `url` (an SQLAlchemy URL).

    `outbox` writes published events; `on_published` is told after a commit, outside the
    transaction, which types of event became true with it, so that waiting workers can be woken.
    `version` tells whether anything has been committed since, by any process.
    """

    def __init__(
        self,
        url: str,
        *,
        outbox: EventWriter | None = None,
        clock: Clock | None = None,
        pool_size: int = 20,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.on_published: Callable[[frozenset[type[Event]]], None] | None = None
        self._outbox = outbox
        self.engine = _engine(url, pool_size)
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self.version = DatabaseVersion(self.engine)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._writer = self.engine.execution_options(**{_WRITE: True})
        self._writing_sessions = sessionmaker(self._writer, expire_on_commit=False)
        self._of_thread = threading.local()

    @contextmanager
    def unit_of_work(self, *, late: bool = False) -> Iterator[UnitOfWork]:
        """One write transaction: committed at the end of the block, rolled back on any error.

        A `late` one begins with its first statement, so that what is worked out before it keeps
        nobody else from writing: SQLite lets one write at a time.
        """
        published: set[type[Event]] = set()
        with self._writing_sessions() as session:
            if not late:
                session.connection()
            yield UnitOfWork(session, self.clock, self._outbox, published)
            session.commit()
        if published and self.on_published is not None:
            self.on_published(frozenset(published))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One read snapshot; whatever is changed in it is thrown away.

        Inside `joined` it is the snapshot joined.
        """
        joined: Session | None = getattr(self._of_thread, "session", None)
        if joined is not None:
            yield joined
            return
        with self._sessions() as session:  # whose end is a rollback
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One read snapshot as `read`, for questions that need no session, which costs the most."""
        joined: Session | None = getattr(self._of_thread, "session", None)
        if joined is not None:
            yield joined.connection()
            return
        with self.engine.connect() as connection:  # whose end is a rollback
            yield connection

    @contextmanager
    def joined(self, session: Session) -> Iterator[None]:
        """Let every `read` of this thread inside the block read in `session`, this database's own.

        A request that asks several parts of the hub has them all speak of one moment so, for the
        price of one transaction. Who writes inside the block does not see it in these reads, unless
        `session` is what it was written in.
        """
        before: Session | None = getattr(self._of_thread, "session", None)
        self._of_thread.session = session
        try:
            yield
        finally:
            self._of_thread.session = before

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose every transaction may write from its beginning.

        For the schema's own, and for what is written all the time and needs no session. What is not
        committed by the end of the block is rolled back.
        """
        with self._writer.connect() as connection:
            yield connection

    def create_all(self) -> None:
        """Create every table of the imported packages, for tests; the product uses migrations."""
        Base.metadata.create_all(self.engine)

    def dispose(self) -> None:
        """Close every connection."""
        self.version.close()
        self.engine.dispose()


def _engine(url: str, pool_size: int) -> Engine:
    try:
        return create_engine(url, pool_size=pool_size, max_overflow=40, hide_parameters=True)
    except (ArgumentError, ImportError):
        # The address may hold a password, so it is not repeated.
        raise ConfigurationError(
            "database.url: not an address this hub can open; write sqlite:////path/to/file, or "
            "postgresql+psycopg://user@host/name with its driver installed"
        ) from None


def _prepare_sqlite(engine: Engine) -> None:
    """Make SQLite keep its promises: FULL sync on commit, foreign keys, explicit transactions.

    Python's driver opens transactions by itself and too late; it is told not to, and BEGIN is sent
    by us: IMMEDIATE for a unit of work, so that two writers queue instead of failing half-way.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-32000",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if connection.get_execution_options().get(_WRITE):
            _begin_writing(driver)
        else:
            driver.execute("BEGIN")


def _begin_writing(driver: Any) -> None:
    """Begin as soon as whoever writes now has ended.

    SQLite itself looks again after pauses that grow to a tenth of a second, and so whoever has
    waited longest waits on while newcomers go first. Asking every millisecond is fairer.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while not _began(driver, last=time.monotonic() > deadline):
            time.sleep(_LOOK_AGAIN_S)
    finally:
        driver.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")


def _began(driver: Any, *, last: bool) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
