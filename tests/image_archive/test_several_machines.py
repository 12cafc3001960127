"""Machines that receive into one index at the same moment write over nothing of each other's."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from access_control.model import Site
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.model import InstanceOrigin
from image_archive.service import ArchiveService
from image_archive.tables import STUDY
from tests.dicom_router.conftest import TOWNSHIP
from tests.dicom_router.instances import ct, part10
from tests.support.postgresql import PostgresqlServer
from tests.support.waiting import eventually

UID = "1.2.826.0.1.3680043.10.1603.69.6"
SITE: Site = TOWNSHIP
ORIGIN = InstanceOrigin(SITE.site_id, SITE.assigning_authority, "CT1", "EIRHUB", "127.0.0.1")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
PATIENCE_S = 60.0


@pytest.fixture
def database(postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.database() as url:
        database = Database(url)
        yield database
        database.dispose()


def modalities(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.execute(select(STUDY.c.modalities)).scalar_one())


def test_two_that_add_a_series_at_once_both_add_their_modality(
    database: Database, tmp_path: Path
) -> None:
    archive = ArchiveService(database, FilesystemBackend(tmp_path), SystemClock())
    archive.store_file(part10(ct(1, UID)), ORIGIN)
    later = part10(ct(2, UID, SeriesInstanceUID=f"{UID}.2", Modality="PT"))
    storing = threading.Thread(target=archive.store_file, args=(later, ORIGIN))
    with database.engine.connect() as other_machine:
        other_machine.execute(update(STUDY).values(modalities=["CT", "MR"]))
        storing.start()
        eventually(lambda: _somebody_waits(database))
        other_machine.commit()
    storing.join(PATIENCE_S)
    archive.close()
    assert modalities(database) == {"CT", "MR", "PT"}


def _somebody_waits(database: Database) -> bool:
    with database.read() as session:
        return bool(session.scalar(WAITING))
