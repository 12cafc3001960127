"""The migrations on PostgreSQL: the same schema, the same triggers, applied once."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_runtime import schema
from tests.hub_runtime.earlier_rows import register_as_before, require_kept
from tests.support.postgresql import PostgresqlServer


@pytest.fixture
def bare(postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.bare_database() as url:
        database = Database(url)
        yield database
        database.dispose()


def test_the_migrations_lead_to_the_models_and_twice_is_harmless(bare: Database) -> None:
    assert schema.differences(bare), "an empty database must differ"
    assert schema.upgrade(bare) == schema.upgrade(bare) == schema.head()
    assert schema.differences(bare) == []


def test_what_was_registered_before_is_kept_and_found(bare: Database) -> None:
    schema.upgrade(bare, "0001")
    register_as_before(bare)
    schema.upgrade(bare)
    assert schema.differences(bare) == []
    require_kept(bare)


def test_a_database_of_a_newer_hub_is_refused(bare: Database) -> None:
    schema.upgrade(bare)
    with bare.unit_of_work() as work:
        work.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="revision 9999"):
        schema.upgrade(bare)


def test_a_migrated_database_has_the_triggers_and_collations_of_the_models(
    bare: Database, postgresql: PostgresqlServer
) -> None:
    schema.upgrade(bare)
    with postgresql.database() as url:
        by_models = Database(url)
        for asked in (_TRIGGERS, _COLLATIONS):
            assert _said(bare, asked) == _said(by_models, asked) != set()
        by_models.dispose()


def test_a_database_made_before_truncation_was_refused_refuses_it_now(
    bare: Database, postgresql: PostgresqlServer
) -> None:
    schema.upgrade(bare, "0008")
    made_before = ("audit_record", "link_log", "removed_object")
    with bare.unit_of_work() as work:
        for table in made_before:
            work.session.execute(text(f"DROP TRIGGER {table}_no_truncate ON {table}"))
    schema.upgrade(bare)
    for table in made_before:
        with pytest.raises(DBAPIError, match="append-only"), bare.unit_of_work() as work:
            work.session.execute(text(f"TRUNCATE {table} CASCADE"))


_TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
_COLLATIONS = (
    "SELECT table_name, column_name, collation_name FROM information_schema.columns "
    "WHERE table_schema = 'public' AND collation_name IS NOT NULL"
)


def _said(database: Database, asked: str) -> set[tuple[str, ...]]:
    with database.read() as session:
        return {tuple(row) for row in session.execute(text(asked))}
