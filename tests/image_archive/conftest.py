"""Fixtures of the archive's tests: a real database, a real folder, a sender."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hub_kernel.database import Database
from hub_kernel.events import Event, decode_event
from hub_kernel.outbox import Outbox, OutboxEvent, Subscriber
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from tests.image_archive.datasets import Sender
from tests.support.clock import FixedClock
from tests.support.tables import create_tables


@pytest.fixture
def database(tmp_path: Path, clock: FixedClock) -> Iterator[Database]:
    outbox = Outbox([Subscriber("everything", Event, lambda event: None)])
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", outbox=outbox, clock=clock)
    create_tables(database)
    yield database
    database.dispose()


@pytest.fixture
def backend(tmp_path: Path) -> FilesystemBackend:
    return FilesystemBackend(tmp_path / "archive")


@pytest.fixture
def archive(database: Database, backend: FilesystemBackend, clock: FixedClock) -> ArchiveService:
    return ArchiveService(database, backend, clock, quiet_period_s=60.0)


@pytest.fixture
def sender(archive: ArchiveService) -> Sender:
    return Sender(archive)


@pytest.fixture
def index(database: Database) -> ArchiveIndex:
    return ArchiveIndex(database)


@pytest.fixture
def published(database: Database) -> Callable[[], list[Event]]:
    """What stands in the outbox, in order."""

    def read() -> list[Event]:
        with database.read() as session:
            rows = session.scalars(select(OutboxEvent).order_by(OutboxEvent.occurred_at)).all()
            return [decode_event(row.kind, row.payload) for row in rows]

    return read
