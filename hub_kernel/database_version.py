"""Whether anything in the database has changed, asked in one cheap step.

SQLite counts the commits of all other connections, whatever process they are of, for each
connection (`PRAGMA data_version`). PostgreSQL says which transactions a statement of this moment
sees (`pg_current_snapshot`): where that is the same, so is all that can be read.
"""

import itertools
import threading
from collections.abc import Hashable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

_QUESTIONS = {
    "sqlite": "PRAGMA data_version",
    "postgresql": "SELECT CAST(pg_current_snapshot() AS text)",
}


class DatabaseVersion:
    """Tells versions of the database behind `engine` apart; safe to use from many threads.

    It keeps one connection of its own, from the first question to `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        self._connections = itertools.count()
        self._number = 0
        self._question = _QUESTIONS.get(engine.dialect.name)

    def current(self) -> Hashable:
        """Return what equals an earlier answer only if nothing was committed since, by anybody.

        Where that cannot be told, because the database does not answer or is of a kind that does
        not say, no two answers are equal.
        """
        if self._question is None:
            return object()
        with self._lock:
            try:
                return self._answer(self._question)
            except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
                self._drop()
                return object()

    def close(self) -> None:
        """Close the connection; another question opens a new one."""
        with self._lock:
            self._drop()

    def _answer(self, question: str) -> Hashable:
        if self._connection is None:
            self._connection = _connected(self._engine)
            self._number = next(self._connections)
        # Outside any transaction: inside one nothing would ever change.
        cursor = self._connection.execute(question)
        # Of another connection the same answer would mean something else.
        return self._number, cursor.fetchall()[0][0]

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connected(engine: Engine) -> Any:
    """Return a connection of the database's own driver that belongs to no pool."""
    pooled = engine.raw_connection()
    connection: Any = pooled.dbapi_connection
    pooled.detach()
    if engine.dialect.name == "postgresql":
        connection.autocommit = True  # that of SQLite is from the beginning (hub_kernel.database)
    return connection
