"""The benchmarks' loaders write rows without the hub: they must follow the schema's changes."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from benchmarks import archive_load, identity_load, registry_load
from hub_kernel.database import Database
from hub_runtime import schema
from image_archive.index import ArchiveIndex
from image_archive.tables import INSTANCE
from xds_registry.tables import DocumentEntryRow

_STUDIES = 4
ROOT = Path(__file__).resolve().parents[2]


def test_loaded_rows_are_those_of_the_schema_as_it_is(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'loaded.sqlite'}")
    schema.upgrade(database)
    said: list[str] = []
    identity_load.fill(database, range(2), processes=1, said=said.append)
    registry_load.fill(database, range(_STUDIES), processes=1, said=said.append)
    archive_load.fill(database, range(_STUDIES), processes=1, said=said.append)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(INSTANCE)) == 40
        assert session.scalar(select(func.count()).select_from(DocumentEntryRow)) == _STUDIES
    loaded = archive_load.study(_STUDIES - 1)
    found = ArchiveIndex(database).study(loaded.uid)
    database.dispose()
    assert found is not None
    assert found.accession_number == loaded.accession_number
    assert said


@pytest.mark.parametrize("name", ["archive_load", "identity_load", "registry_load"])
def test_a_loader_knows_its_tables_by_itself(name: str) -> None:
    """In a process where nobody else has imported them."""
    command = [sys.executable, "-c", f"import benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
