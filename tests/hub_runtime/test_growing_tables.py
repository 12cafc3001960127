"""A new index on a table that grows: made on PostgreSQL while hubs write to the table."""

import ast
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from hub_kernel.database import Database
from hub_runtime import schema
from tests.support.hub_process import ROOT
from tests.support.postgresql import PostgresqlServer
from tests.support.waiting import eventually

VERSIONS = ROOT / "hub_runtime" / "migrations" / "versions"
LAST_OF_OLD = "0022"
WRITE = "UPDATE site SET name = name WHERE site_id = 'nowhere'"
MIGRATION = """
from alembic import op

from hub_runtime.migrations.growing_tables import create_index_meanwhile

revision = '{revision}'
down_revision = '{follows}'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    {create}('ix_later_{revision}', 'site', ['name', 'level'])


def downgrade() -> None:
    op.drop_index('ix_later_{revision}', 'site')
"""


@contextmanager
def with_migration(folder: Path, create: str) -> Iterator[None]:
    """Be the version with one migration more inside the block."""
    migrations = folder / "migrations"
    shutil.copytree(schema._MIGRATIONS, migrations)  # noqa: SLF001
    values = {"revision": "9001", "follows": schema.head(), "create": create}
    (migrations / "versions" / "9001_later.py").write_text(MIGRATION.format(**values))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "_MIGRATIONS", migrations)
        yield


@pytest.fixture
def bare(postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.bare_database() as url:
        database = Database(url)
        schema.upgrade(database)
        yield database
        database.dispose()


def others_write_meanwhile(database: Database) -> bool:
    """Upgrade while a transaction that has written is open; tell whether another may write."""
    engine = create_engine(database.engine.url)
    upgrading = threading.Thread(target=schema.upgrade, args=(database,))
    try:
        with engine.connect() as before, engine.connect() as looking:
            before.execute(text(WRITE))
            upgrading.start()
            eventually(lambda: _waits(looking))
            with engine.connect() as other:
                return _writes(other)
    finally:
        upgrading.join(120)
        engine.dispose()


def _waits(looking: Connection) -> bool:
    """Tell whether somebody who makes an index, or clears one away for it, waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query ~* '^\\s*(create|drop) index'"
    )
    found = bool(looking.scalar(waiting))
    looking.rollback()
    return found


def _writes(other: Connection) -> bool:
    other.execute(text("SET lock_timeout = '2s'"))
    try:
        other.execute(text(WRITE))
        other.commit()
    except OperationalError:
        return False
    return True


def indexes(database: Database) -> set[str]:
    """The indexes that are whole."""
    asked = text(
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE indisvalid AND relname LIKE 'ix_later%'"
    )
    with database.read() as session:
        return set(session.scalars(asked))


def test_hubs_write_while_an_index_is_made(bare: Database, tmp_path: Path) -> None:
    with bare.unit_of_work() as work:  # what an interrupted run left, under the same name
        work.session.execute(text("CREATE INDEX ix_later_9001 ON site (name)"))
        spoilt = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_later_9001'"
        work.session.execute(text(f"{spoilt}::regclass"))
    with with_migration(tmp_path, "create_index_meanwhile"):
        assert others_write_meanwhile(bare)
        assert schema.is_current(bare)
        assert schema.revision_of(bare) == "9001"
    assert indexes(bare) == {"ix_later_9001"}
    assert schema.upgrade(bare) == "9001", "an older version uses it as it is"


def test_control_an_index_made_otherwise_keeps_them_waiting(bare: Database, tmp_path: Path) -> None:
    with with_migration(tmp_path, "op.create_index"):
        assert not others_write_meanwhile(bare)
        assert schema.revision_of(bare) == "9001"


def test_the_embedded_database_gets_it_as_any_other(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    with with_migration(tmp_path, "create_index_meanwhile"):
        assert schema.upgrade(database) == "9001"
    with database.read() as session:
        asked = text("SELECT count(*) FROM sqlite_master WHERE name = 'ix_later_9001'")
        assert session.scalar(asked) == 1
    database.dispose()


def test_no_new_migration_makes_an_index_on_a_table_of_before_otherwise() -> None:
    new = [file for file in VERSIONS.glob("0*.py") if file.name[:4] > LAST_OF_OLD]
    for file in new:
        assert not made_otherwise(file.read_text()), f"{file.name}: use create_index_meanwhile"
    plain = MIGRATION.format(revision="1", follows="0", create="op.create_index")
    assert made_otherwise(plain) == ["site"], "the test must be able to fail"
    with_table = plain.replace("    op.create", "    op.create_table('site')\n    op.create", 1)
    assert made_otherwise(with_table) == []


def made_otherwise(source: str) -> list[str]:
    """The tables, not made in the same migration, on which it makes an index that others await."""
    called: dict[str, list[str]] = {"create_table": [], "create_index": []}
    for one in ast.walk(ast.parse(source)):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            place = {"create_table": 0, "create_index": 1}.get(one.func.attr)
            if place is not None and len(one.args) > place:
                said = one.args[place]
                name = said.value if isinstance(said, ast.Constant) else ast.unparse(said)
                called[one.func.attr].append(str(name))
    return [table for table in called["create_index"] if table not in called["create_table"]]
