"""Fixtures every test may use."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hub_kernel.database import Database
from tests.support import no_recogniser, pynetdicom_answers
from tests.support.brokers import Broker, running_broker
from tests.support.clock import FixedClock
from tests.support.orthanc_server import Orthanc, running_orthanc
from tests.support.postgresql import PostgresqlServer, running_postgresql
from tests.support.s3_server import S3Server, running_s3_server
from tests.support.tables import create_tables

# Hundreds of processes are started here. Each compiles all of the hub's modules anew, for a second
# or more, where it may not keep them compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The tests commit some hundred thousand times. What a commit asks of the disk is proved by traces
# of system calls, and no test survives the machine, so the waiting for it is spared where memory is
# plenty; the three runs that pytest keeps would not fit there.
MEMORY = Path("/dev/shm")  # noqa: S108 (pytest makes a folder for this user alone in it)
MEMORY_NEEDED = 8 << 30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

no_recogniser.by_default()
pynetdicom_answers.to_who_asked()

# What is tried is the same on a crowded machine, however long it takes there.
settings.register_profile("crowded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crowded")


# What is collected stays to the end: nobody looks through it for garbage.
_LOOKING = gc.get_threshold()
gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(*_LOOKING)


@pytest.fixture(autouse=True)
def _temporary_files() -> Iterator[None]:
    """Let no hub that a test opened in this process say where later tests' temporary files go."""
    yield
    tempfile.tempdir = None


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def database(tmp_path: Path, clock: FixedClock) -> Iterator[Database]:
    """An empty embedded database with every table of the imported packages."""
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", clock=clock)
    create_tables(database)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server for as long as the tests run; every test asks it for its own database."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An object store for as long as the tests run; every test takes its own prefix."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc for as long as the tests run; every test takes its own UIDs."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Broker]:
    """RabbitMQ for as long as the tests run; what a test has left in it names no row of another."""
    with running_broker("rabbitmq") as broker:
        yield broker


@pytest.fixture(scope="session")
def redis() -> Iterator[Broker]:
    """Redis for as long as the tests run."""
    with running_broker("redis") as broker:
        yield broker
