"""Fixtures every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_kernel.database import Database
from tests.support.clock import FixedClock
from tests.support.postgresql import PostgresqlServer, running_postgresql


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def database(tmp_path: Path, clock: FixedClock) -> Iterator[Database]:
    """An empty embedded database with every table of the imported packages."""
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", clock=clock)
    database.create_all()
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for as long as the tests run; every test asks it for its own database."""
    with running_postgresql() as server:
        yield server
