"""Two versions of the hub at once on one database, across a migration of the newer one."""

import ast
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_runtime import schema
from tests.dicom_router.instances import ct, encoded
from tests.support.hub_process import ROOT, start_router
from tests.support.pushing import Sent, push

STUDY = "1.2.826.0.1.3680043.10.1603.69.1"
VERSIONS = ROOT / "hub_runtime" / "migrations" / "versions"
# What a newer version brings; the first is the form that every expanding migration has.
EXPANDING = """
import sqlalchemy as sa
from alembic import op

revision = '9001'
down_revision = '{head}'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.add_column('instance', sa.Column('later', sa.String(16), server_default='', nullable=False))
    op.create_table('later_table', sa.Column('id', sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table('later_table')
"""
CONTRACTING = EXPANDING.replace("expands = True", "expands = False")
SILENT = EXPANDING.replace("expands = True", "")
DROPS = {"drop_table", "drop_column", "alter_column", "drop_constraint", "rename_table"}


def newer_version(tmp_path: Path, migration: str) -> Path:
    """Return the migrations of a version that has one more than this one."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, folder)  # noqa: SLF001
    (folder / "versions" / "9001_later.py").write_text(migration.format(head=schema.head()))
    return folder


@contextmanager
def newer(folder: Path) -> Iterator[None]:
    """Be the version with these migrations inside the block."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "_MIGRATIONS", folder)
        yield


def upgraded(data: Path) -> str:
    database = Database(f"sqlite:///{data / 'eirhub.sqlite'}")
    try:
        return schema.upgrade(database)
    finally:
        database.dispose()


def instance(number: int) -> list[Sent]:
    made = ct(number, STUDY)
    return [Sent(str(made.SOPInstanceUID), encoded(made))]


def test_a_hub_works_on_and_starts_on_a_database_that_a_newer_one_has_expanded(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    folder = newer_version(tmp_path, EXPANDING)
    older = start_router(data)
    assert set(push(older.port, instance(1)).values()) == {0}
    with newer(folder):
        assert upgraded(data) == "9001"
    assert set(push(older.port, instance(2)).values()) == {0}, "it was running all the while"
    older.stop()
    again = start_router(data)
    assert set(push(again.port, instance(3)).values()) == {0}
    again.stop()
    assert "the database is newer than this hub" in data.with_suffix(".log").read_text()
    with newer(folder):
        assert upgraded(data) == "9001", "the newer one finds it as it was"


@pytest.mark.parametrize("migration", [CONTRACTING, SILENT], ids=["contracting", "silent"])
def test_control_a_database_changed_otherwise_is_refused(tmp_path: Path, migration: str) -> None:
    with newer(newer_version(tmp_path, migration)):
        assert upgraded(tmp_path) == "9001"
    with pytest.raises(ConfigurationError, match="revision 9001"):
        upgraded(tmp_path)


def test_a_revision_beyond_one_that_does_not_expand_is_refused(tmp_path: Path) -> None:
    folder = newer_version(tmp_path, CONTRACTING)
    later = EXPANDING.replace("9001", "9002").replace("'{head}'", "'9001'")
    for name in ("later", "later_table"):
        later = later.replace(f"'{name}'", f"'{name}_2'")
    (folder / "versions" / "9002_last.py").write_text(later)
    with newer(folder):
        assert upgraded(tmp_path) == "9002"
    with pytest.raises(ConfigurationError, match="revision 9002"):
        upgraded(tmp_path)


def test_no_migration_that_says_it_expands_takes_something_away() -> None:
    saying = [file for file in VERSIONS.glob("0*.py") if "expands = True" in file.read_text()]
    assert saying
    for file in saying:
        tree = ast.parse(file.read_text())
        (applied,) = [
            one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "upgrade"
        ]
        called = {one.attr for one in ast.walk(applied) if isinstance(one, ast.Attribute)}
        assert not called & DROPS, f"{file.name} does not only expand"
