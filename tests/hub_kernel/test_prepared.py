"""Prepared statements: the same rows and the same errors as SQLAlchemy's own execution."""

from contextlib import closing
from datetime import datetime

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, OperationalError

from hub_kernel.database import Database
from hub_kernel.prepared import Prepared
from image_archive.tables import RECONCILIATION
from tests.support.clock import FixedClock

COLUMNS = [column.name for column in RECONCILIATION.columns]
GROW = (
    update(RECONCILIATION)
    .where(RECONCILIATION.c.id == bindparam("row_id"))
    .values(rebuilt=RECONCILIATION.c.rebuilt + bindparam("more"), missing=7)
)


def row(row_id: int, started_at: datetime) -> dict[str, object]:
    counts = dict.fromkeys(COLUMNS, 0)
    return {**counts, "id": row_id, "started_at": started_at}


def test_rows_are_written_as_sqlalchemy_reads_them(database: Database, clock: FixedClock) -> None:
    dialect = database.engine.dialect
    add, grow = Prepared(insert(RECONCILIATION), dialect, COLUMNS), Prepared(GROW, dialect)
    with database.unit_of_work() as work:
        driver = work.session.connection().connection
        add.execute(driver, [row(1, clock.now())])
        add.execute(driver, [row(2, clock.now()), row(3, clock.now())])
        grow.execute(driver, [{"row_id": 1, "more": 5}, {"row_id": 3, "more": 6}])
    with database.read() as session:
        found = session.execute(select(RECONCILIATION).order_by(RECONCILIATION.c.id)).all()
    assert [(r.id, r.rebuilt, r.missing) for r in found] == [(1, 5, 7), (2, 0, 0), (3, 6, 7)]
    assert {r.started_at for r in found} == {clock.now()}


def test_an_error_rolls_the_unit_of_work_back_and_names_no_values(
    database: Database, clock: FixedClock
) -> None:
    add = Prepared(insert(RECONCILIATION), database.engine.dialect, COLUMNS)
    with pytest.raises(IntegrityError) as refused, database.unit_of_work() as work:
        driver = work.session.connection().connection
        add.execute(driver, [row(987654, clock.now())])
        add.execute(driver, [row(987654, clock.now())])
    assert "987654" not in str(refused.value)
    with database.read() as session:
        assert session.execute(select(RECONCILIATION)).all() == []


def test_a_missing_table_is_an_error_of_sqlalchemys(database: Database) -> None:
    wanted = select(RECONCILIATION.c.id).where(RECONCILIATION.c.id == bindparam("row_id"))
    find = Prepared(wanted, database.engine.dialect)
    with closing(database.engine.raw_connection()) as connection:
        assert find.first(connection, {"row_id": 1}) is None
    RECONCILIATION.drop(database.engine)
    with (
        closing(database.engine.raw_connection()) as connection,
        pytest.raises(OperationalError, match="no such table"),
    ):
        find.first(connection, {"row_id": 1})


def test_a_dialect_with_named_parameters_is_given_names(clock: FixedClock) -> None:
    seen: list[tuple[str, object]] = []

    class Cursor:
        def execute(self, text: str, parameters: object) -> None:
            seen.append((text, parameters))

        def close(self) -> None:
            seen.append(("closed", None))

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    dialect.dbapi = __import__("sqlite3")
    Prepared(GROW, dialect).execute(Connection(), [{"row_id": 1, "more": 5}])  # type: ignore[arg-type]
    (text, parameters), closed = seen
    assert "%(more)s" in text
    assert parameters == {"row_id": 1, "more": 5, "missing": 7}
    assert closed[0] == "closed"
