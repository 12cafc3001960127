"""Bytes that two transactions name in the same moment where several can write: PostgreSQL alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from tests.support.postgresql import PostgresqlServer
from tests.support.waiting import WAIT_S, eventually
from xds_registry.repository_intake import DocumentIntake
from xds_registry.tables_repository import RepositoryIntakeRow

KEY = "documents/aa/bytes"
_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def database(postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.database() as url:
        opened = Database(url)
        yield opened
        opened.dispose()


@pytest.fixture
def intake(database: Database, tmp_path: Path) -> DocumentIntake:
    backend = FilesystemBackend(tmp_path)
    pending = backend.create()
    pending.write(b"bytes")
    pending.publish(KEY)
    return DocumentIntake(database, backend)


@contextmanager
def meanwhile_expecting(database: Database, intake: DocumentIntake) -> Iterator[None]:
    """Have another transaction expect the bytes and wait for the block's; it may not fail."""
    pool = ThreadPoolExecutor(1)
    other = pool.submit(intake.expect, [KEY])
    pool.shutdown(wait=False)

    def waits() -> bool:
        with database.engine.connect() as connection:
            return bool(connection.scalar(_WAITING))

    eventually(waits)
    assert not other.done()
    yield
    other.result(WAIT_S)


def rows(database: Database) -> list[RepositoryIntakeRow]:
    with database.read() as session:
        return list(session.scalars(select(RepositoryIntakeRow)))


def test_bytes_are_expected_though_another_has_just_said_so(
    database: Database, intake: DocumentIntake
) -> None:
    with database.unit_of_work() as work:
        intake.release(work.session, [KEY])
        work.session.flush()
        with meanwhile_expecting(database, intake):
            work.session.commit()
    (row,) = rows(database)
    assert row.begun_at > database.clock.now() - timedelta(days=1), "the later one's time holds"


def test_bytes_are_expected_though_another_claims_them_just_now(
    database: Database, intake: DocumentIntake
) -> None:
    with database.unit_of_work() as work:
        intake.claim(work.session, [KEY])
        work.session.flush()
        with meanwhile_expecting(database, intake):
            work.session.commit()
    assert len(rows(database)) == 1, "who claimed them has taken away its own row alone"


def test_bytes_are_expected_though_another_takes_away_the_row_that_was_there(
    database: Database, intake: DocumentIntake
) -> None:
    intake.expect([KEY])
    with database.unit_of_work() as work:
        intake.claim(work.session, [KEY])
        work.session.flush()
        with meanwhile_expecting(database, intake):
            work.session.commit()
    assert len(rows(database)) == 1
