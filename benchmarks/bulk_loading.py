"""Put many rows into a database by the fastest way it offers, for benchmarks.

Rows are made in child processes. PostgreSQL takes them by COPY into bare tables, whose keys and
indexes are made afterwards; SQLite takes them without waiting for the disk, in the order of its
unique keys, so that every index grows at its end.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Table, insert, text
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex
from sqlalchemy.types import TypeEngine

from hub_kernel.database import Base, Database

Rows = dict[str, list[tuple[Any, ...]]]
_NEXT_ROW_ID = 2_000_000_000


@dataclass(frozen=True)
class BulkLoad:
    """What is loaded: columns by table, and a module's function that makes the rows of a range.

    `what` names what the range counts; `chunk` of them are made at once.
    """

    what: str
    columns: Mapping[str, tuple[str, ...]]
    made: Callable[[range], Rows]
    chunk: int = 10_000

    @property
    def tables(self) -> list[Table]:
        """The tables, those that others refer to first."""
        return [Base.metadata.tables[name] for name in self.columns]


def load(
    database: Database,
    wanted: BulkLoad,
    numbers: range,
    *,
    processes: int,
    said: Callable[[str], None],
) -> None:
    """Load these numbers; `said` hears of the progress."""
    put: Callable[[Connection, BulkLoad, Rows], None] = _insert
    postgresql = database.engine.dialect.name == "postgresql"
    if postgresql:
        put = _copy
        with database.engine.begin() as connection:
            _strip(connection, wanted.tables)
    starts = range(numbers.start, numbers.stop, wanted.chunk)
    chunks = [range(n, min(n + wanted.chunk, numbers.stop)) for n in starts]
    with ProcessPoolExecutor(processes) as pool:
        for done, rows in enumerate(_in_order(pool, wanted.made, chunks, processes), start=1):
            with database.unit_of_work() as work:
                put(work.session.connection(), wanted, rows)
            if done % 10 == 0 or done == len(chunks):
                said(f"loaded {chunks[done - 1].stop:,} {wanted.what}")
    with database.engine.begin() as connection:
        if postgresql:
            said("making keys and indexes")
            _dress(connection, wanted.tables)
            _continue_sequences(connection, wanted.tables)
        connection.execute(text("ANALYZE"))


def _in_order(
    pool: ProcessPoolExecutor,
    made: Callable[[range], Rows],
    chunks: Iterable[range],
    ahead: int,
) -> Iterator[Rows]:
    """Keep every process busy without piling up what the database has not taken yet."""
    waiting: list[Any] = []
    for chunk in chunks:
        waiting.append(pool.submit(made, chunk))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _insert(connection: Connection, wanted: BulkLoad, rows: Rows) -> None:
    for name, values in rows.items():
        if values:
            named = [dict(zip(wanted.columns[name], value, strict=True)) for value in values]
            connection.execute(insert(Base.metadata.tables[name]), named)


def _copy(connection: Connection, wanted: BulkLoad, rows: Rows) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        for name, values in rows.items():
            buffer = io.StringIO()
            table = Base.metadata.tables[name]
            written = [_written(table.c[column].type) for column in wanted.columns[name]]
            csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(
                [write(value) for write, value in zip(written, row, strict=True)] for row in values
            )
            columns = ", ".join(wanted.columns[name])
            with cursor.copy(f"COPY {name} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                copy.write(buffer.getvalue())


def _written(kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    """Return how COPY wants values of a column; there is no NULL among them."""
    return json.dumps if isinstance(kind, JSON) else lambda value: value


def _strip(connection: Connection, tables: Iterable[Table]) -> None:
    """Drop keys and indexes; those that refer to others first."""
    for table in tables:
        for index in table.indexes:
            connection.execute(DropIndex(index))
    for constraint in _constraints(tables, foreign=True) + _constraints(tables, foreign=False):
        connection.execute(DropConstraint(constraint, cascade=True))


def _dress(connection: Connection, tables: Iterable[Table]) -> None:
    connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
    for constraint in _constraints(tables, foreign=False) + _constraints(tables, foreign=True):
        connection.execute(AddConstraint(constraint))
    for table in tables:
        for index in table.indexes:
            connection.execute(CreateIndex(index))


def _constraints(tables: Iterable[Table], *, foreign: bool) -> list[Any]:
    found = [one for table in tables for one in table.constraints]
    return [one for one in found if (one.__visit_name__ == "foreign_key_constraint") == foreign]


def _continue_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """New rows are numbered after those that came with their numbers."""
    for table in tables:
        if "id" in table.c:
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, {_NEXT_ROW_ID})"))  # noqa: S608
