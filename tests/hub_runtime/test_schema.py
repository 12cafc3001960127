from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_runtime import schema
from tests.hub_runtime.earlier_rows import register_as_before, require_kept


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    yield database
    database.dispose()


def test_the_migrations_lead_to_exactly_the_models(empty: Database) -> None:
    assert schema.differences(empty), "an empty database must differ"
    schema.upgrade(empty)
    assert schema.differences(empty) == []


def test_upgrading_twice_is_harmless(empty: Database) -> None:
    assert schema.upgrade(empty) == schema.upgrade(empty) == schema.head()


def test_what_was_registered_before_is_kept_and_found(empty: Database) -> None:
    schema.upgrade(empty, "0001")
    register_as_before(empty)
    schema.upgrade(empty)
    assert schema.differences(empty) == []
    require_kept(empty)


def test_a_database_of_a_newer_hub_is_refused(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.unit_of_work() as work:
        work.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="revision 9999"):
        schema.upgrade(empty)


def test_a_migrated_database_has_the_triggers_that_keep_the_log_append_only(
    empty: Database, tmp_path: Path
) -> None:
    by_models = Database(f"sqlite:///{tmp_path / 'models.sqlite'}")
    by_models.create_all()
    schema.upgrade(empty)
    assert _triggers(empty) == _triggers(by_models) != set()
    assert any("audit_record is append-only" in trigger for trigger in _triggers(empty))
    by_models.dispose()


def _triggers(database: Database) -> set[str]:
    with database.read() as session:
        found = session.execute(text("SELECT sql FROM sqlite_master WHERE type = 'trigger'"))
        return {row[0] for row in found}
