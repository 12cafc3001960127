"""Tables that the database itself refuses to change: triggers on SQLite and PostgreSQL."""

from collections.abc import Iterable

from sqlalchemy import Table, event
from sqlalchemy.engine import Connection

from hub_kernel.database import Base


def keep_append_only(tables: Iterable[str]) -> None:
    """Let `create_all` make these tables with the triggers of `append_only_statements`."""
    for name in tables:
        event.listen(Base.metadata.tables[name], "after_create", _refuse_changes)


def append_only_statements(tables: Iterable[str], dialect: str) -> tuple[str, ...]:
    """Return the statements that make the database refuse UPDATE, DELETE, TRUNCATE on `tables`.

    They run after the tables exist; for a dialect other than "sqlite" and "postgresql" there are
    none. Migrations run them; tables made by `create_all` have them already.
    """
    refusals = {"sqlite": _sqlite_refusals, "postgresql": _postgresql_refusals}.get(dialect)
    return tuple(line for table in tables for line in refusals(table)) if refusals else ()


def _sqlite_refusals(table: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    )


def _postgresql_refusals(table: str) -> tuple[str, ...]:
    return (
        f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()",
    )


def _refuse_changes(table: Table, connection: Connection, **_how: object) -> None:
    for statement in append_only_statements((table.name,), connection.dialect.name):
        connection.exec_driver_sql(statement)
