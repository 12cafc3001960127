"""Rows of any table as lines of text and back: in one snapshot, in the order of their keys."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Any

from sqlalchemy import (
    Connection,
    Date,
    LargeBinary,
    Table,
    Time,
    func,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

from hub_kernel.database import UtcDateTime

ROWS = 1_000


def begin_snapshot(reading: Connection) -> None:
    """Let everything read through this connection be of one moment."""
    if reading.dialect.name == "postgresql":
        reading.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


def count(connection: Connection, table: Table) -> int:
    """Return how many rows `table` has."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def rows_of(
    connection: Connection, table: Table, columns: Sequence[str] | None = None
) -> Iterator[Any]:
    """Yield the rows in the order of their keys, a thousand in memory at a time.

    Only these `columns`, where they are named.
    """
    wanted = table.columns if columns is None else [table.columns[name] for name in columns]
    in_order = select(*wanted).order_by(*table.primary_key.columns)
    with connection.execute(in_order.execution_options(yield_per=ROWS)) as found:
        yield from found.mappings()


def batched(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` rows; the last may be shorter."""
    while some := list(islice(rows, size)):
        yield some


def canonical(row: Any) -> bytes:
    """Return one row as one line of JSON, the same from every database."""
    values = {name: _plain(value) for name, value in row.items()}
    return json.dumps(values, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def row_of(line: bytes, table: Table) -> dict[str, Any]:
    """Return the row that `canonical` wrote, as it can be inserted again.

    Raises:
        KeyError: `table` has no such column any more.
    """
    found: dict[str, Any] = json.loads(line)
    return {
        name: _typed(value, table.columns[name].type) if value is not None else None
        for name, value in found.items()
    }


def _typed(value: Any, column_type: TypeEngine[Any]) -> Any:
    for known, read in _READERS.items():
        if isinstance(column_type, known):
            return read(value)
    return value


_READERS: Mapping[type[Any], Any] = {
    UtcDateTime: datetime.fromisoformat,
    Date: date.fromisoformat,
    Time: time.fromisoformat,
    LargeBinary: bytes.fromhex,
}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value


def set_sequences(writing: Connection, tables: list[Table]) -> None:
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
