"""Copy every row of one database into another, empty one, and prove that all of them arrived.

The rows are read in one snapshot and written in one transaction, so the copy is whole or is not.
Tables are filled in the order in which they refer to each other. Afterwards the copy is read back:
each table's rows, in the order of their keys, must give the digest that the original's gave.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import DBAPIError

from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError, HubError
from hub_runtime import schema
from hub_runtime.table_rows import (
    ROWS,
    batched,
    begin_snapshot,
    canonical,
    count,
    rows_of,
    set_sequences,
)


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
        begin_snapshot(reading)
        _require_empty(writing, tables)
        counts = {table.name: count(reading, table) for table in tables}
        steps = _Steps(progress, 2 * sum(counts.values()))
        digests = {table.name: _copy_table(reading, writing, table, steps) for table in tables}
        for table in tables:
            if _digest(rows_of(writing, table), steps) != digests[table.name]:
                raise DatabaseCopyError(f"{table.name}: what was written reads back differently")
        set_sequences(writing, tables)
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


def _require_empty(writing: Connection, tables: list[Table]) -> None:
    for table in tables:
        if count(writing, table):
            raise DatabaseCopyError(f"the target is not empty: {table.name} has rows")


def _copy_table(reading: Connection, writing: Connection, table: Table, steps: _Steps) -> str:
    digest = hashlib.sha256()
    for rows in batched(rows_of(reading, table), ROWS):
        for row in rows:
            digest.update(canonical(row))
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
    for some in batched(rows, ROWS):
        for row in some:
            digest.update(canonical(row))
        steps.add(len(some))
    return digest.hexdigest()


def _require_unchanged(source: Database, counts: dict[str, int]) -> None:
    with source.engine.connect() as again:
        for table in schema.METADATA.sorted_tables:
            if count(again, table) != counts[table.name]:
                raise DatabaseCopyError(
                    f"{table.name} was written to meanwhile: stop every process of the hub, then "
                    "copy again"
                )
