"""Copy every row of one database into another, empty one, and prove that all of them arrived.

The rows are read in one snapshot and written in one transaction, so the copy is whole or is not.
Tables are filled in the order in which they refer to each other. Afterwards the copy is read back:
each table's rows, in the order of their keys, must give the digest that the original's gave.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError, HubError
from hub_runtime import schema

_ROWS = 1_000


class DatabaseCopyError(HubError):
    """Nothing was copied; the message says what is in the way."""


@dataclass(frozen=True)
class CopiedTable:
    """One table: how many rows, and the SHA-256 over all of them that both databases gave."""

    name: str
    rows: int
    sha256: str


def copy_database(
    source: Database, target: Database, progress: Callable[[int, int], None]
) -> list[CopiedTable]:
    """Copy all rows of `source`; bring the schema of `target` up to date first.

    `progress` is called with (rows copied and rows read back, twice the rows in all).

    Raises:
        DatabaseCopyError: the target holds rows, cannot hold these, or the source was written to
            meanwhile; the target is as empty as before.
        ConfigurationError: the source is not at the revision this version works with.
    """
    _require_current(source)
    schema.upgrade(target)
    tables = list(schema.METADATA.sorted_tables)
    with source.engine.connect() as reading, target.engine.begin() as writing:
        _begin_snapshot(reading)
        _require_empty(writing, tables)
        counts = {table.name: _count(reading, table) for table in tables}
        steps = _Steps(progress, 2 * sum(counts.values()))
        digests = {table.name: _copy_table(reading, writing, table, steps) for table in tables}
        for table in tables:
            if _digest(_rows(writing, table), steps) != digests[table.name]:
                raise DatabaseCopyError(f"{table.name}: what was written reads back differently")
        _set_sequences(writing, tables)
        _require_unchanged(source, counts)
    return [CopiedTable(table.name, counts[table.name], digests[table.name]) for table in tables]


class _Steps:
    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def _require_current(source: Database) -> None:
    if not schema.is_current(source):
        raise ConfigurationError("the database to copy is of an older version: eirhub db upgrade")


def _begin_snapshot(reading: Connection) -> None:
    """Let everything read through this connection be of one moment."""
    if reading.dialect.name == "postgresql":
        reading.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


def _require_empty(writing: Connection, tables: list[Table]) -> None:
    for table in tables:
        if _count(writing, table):
            raise DatabaseCopyError(f"the target is not empty: {table.name} has rows")


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _copy_table(reading: Connection, writing: Connection, table: Table, steps: _Steps) -> str:
    digest = hashlib.sha256()
    for rows in _batched(_rows(reading, table), _ROWS):
        for row in rows:
            digest.update(_canonical(row))
        try:
            writing.execute(insert(table), [dict(row) for row in rows])
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0].split(":")[0]
            raise DatabaseCopyError(
                f"{table.name}: {type(error.orig).__name__}: {reason}"
            ) from None
        steps.add(len(rows))
    return digest.hexdigest()


def _digest(rows: Iterator[Any], steps: _Steps) -> str:
    digest = hashlib.sha256()
    for some in _batched(rows, _ROWS):
        for row in some:
            digest.update(_canonical(row))
        steps.add(len(some))
    return digest.hexdigest()


def _rows(connection: Connection, table: Table) -> Iterator[Any]:
    """Yield the rows in the order of their keys, a thousand in memory at a time."""
    in_order = select(table).order_by(*table.primary_key.columns)
    with connection.execute(in_order.execution_options(yield_per=_ROWS)) as found:
        yield from found.mappings()


def _batched(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(islice(rows, size)):
        yield some


def _canonical(row: Any) -> bytes:
    values = {name: _plain(value) for name, value in row.items()}
    return json.dumps(values, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value


def _set_sequences(writing: Connection, tables: list[Table]) -> None:
    """Let numbers go on behind the copied ones, where the database keeps them apart from rows."""
    if writing.dialect.name != "postgresql":
        return
    for table in tables:
        column = table.autoincrement_column
        if column is None:
            continue
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        last = select(func.max(column)).scalar_subquery()
        writing.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))


def _require_unchanged(source: Database, counts: dict[str, int]) -> None:
    with source.engine.connect() as again:
        for table in schema.METADATA.sorted_tables:
            if _count(again, table) != counts[table.name]:
                raise DatabaseCopyError(
                    f"{table.name} was written to meanwhile: stop every process of the hub, then "
                    "copy again"
                )
