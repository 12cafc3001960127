"""Statements that run all the time, compiled once and handed to the database's driver as they are.

What SQLAlchemy does around each execution costs four times and more what SQLite does in it, and the
receive path, the registry and the audit trail run the same few statements for every instance and
every request. The first statement of a transaction is better left to SQLAlchemy, which notices a
connection that has died and forgets the others of the pool with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Delete, Dialect, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

Statement = Select[Any] | Insert | Update | Delete


class Prepared:
    """One statement in the words of `dialect`; safe from many threads.

    `columns` names the parameters of an insert that carries no values of its own. Every method
    raises what SQLAlchemy would: `DBAPIError` and its kinds, without the parameters.
    """

    def __init__(
        self, statement: Statement, dialect: Dialect, columns: Sequence[str] | None = None
    ) -> None:
        keys = None if columns is None else list(columns)
        compiled = statement.compile(dialect=dialect, column_keys=keys)
        self._dialect = dialect
        self._text = str(compiled)
        self._order = compiled.positiontup
        binds = compiled.binds
        self._constants = {n: v for n, v in compiled.params.items() if not binds[n].required}
        self._converters: list[tuple[str, Callable[[Any], Any]]] = []
        for name in compiled.params:
            convert = binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            if convert is not None:
                self._converters.append((name, convert))

    def execute(self, connection: PoolProxiedConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run the statement once for each of `rows`, in the transaction `connection` is in."""
        parameters = [self._parameters(row) for row in rows]
        with self._cursor(connection) as cursor:
            if len(parameters) == 1:
                cursor.execute(self._text, parameters[0])
            else:
                cursor.executemany(self._text, parameters)

    def first(
        self, connection: PoolProxiedConnection, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """Return the first row as the driver gives it, None when there is none."""
        with self._cursor(connection) as cursor:
            cursor.execute(self._text, self._parameters(values))
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        named = {**self._constants, **values}
        for name, convert in self._converters:
            named[name] = convert(named[name])
        return named if self._order is None else tuple([named[name] for name in self._order])

    @contextmanager
    def _cursor(self, connection: PoolProxiedConnection) -> Iterator[DBAPICursor]:
        """Give a cursor, closed afterwards: an open one would hold SQLite's snapshot."""
        errors = self._dialect.loaded_dbapi.Error
        try:
            cursor = connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()
        except errors as error:
            raise DBAPIError.instance(
                self._text, None, error, errors, hide_parameters=True, dialect=self._dialect
            ) from error
