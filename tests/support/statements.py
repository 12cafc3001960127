"""Hear every statement of an SQLite database as it begins, those that go past SQLAlchemy too."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

Hear = Callable[[str], None]
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "COMMIT"})


@contextmanager
def hearing(engine: Engine, hear: Hear) -> Iterator[None]:
    """Tell `hear` of each statement in the block, as `listen` does."""
    stop = listen(engine, hear)
    try:
        yield
    finally:
        stop()


def listen(engine: Engine, hear: Hear) -> Callable[[], None]:
    """Tell `hear` of each statement with its values in it; the rows of one INSERT are told once.

    Returns what ends it. Connections are heard from when they are taken from the pool.
    """
    last = ""

    def told(statement: str) -> None:
        nonlocal last
        is_insert = statement.startswith("INSERT")
        beginning = statement.partition("VALUES")[0]
        if not is_insert or beginning != last:
            hear(statement)
        last = beginning if is_insert else ""

    def begin(connection: Any, *_more: Any) -> None:
        connection.set_trace_callback(told)

    def end(connection: Any, *_more: Any) -> None:
        if connection is not None:  # else it was closed
            connection.set_trace_callback(None)

    event.listen(engine, "checkout", begin)
    event.listen(engine, "checkin", end)

    def stop() -> None:
        event.remove(engine, "checkout", begin)
        event.remove(engine, "checkin", end)

    return stop


@contextmanager
def asked_here(engine: Engine) -> Iterator[list[str]]:
    """Note the statements, without their values, and commits of the thread that runs the block.

    What other threads of a running hub ask meanwhile is not noted, nor what begins a transaction.
    """
    found: list[str] = []
    here = threading.get_ident()

    def ask(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if threading.get_ident() == here and not statement.startswith("BEGIN"):
            found.append(statement)

    def commit(_connection: Any) -> None:
        if threading.get_ident() == here:
            found.append("COMMIT")

    heard = (("before_cursor_execute", ask), ("commit", commit))
    for name, hear in heard:
        event.listen(engine, name, hear)
    try:
        yield found
    finally:
        for name, hear in heard:
            event.remove(engine, name, hear)


def writes(statement: str) -> bool:
    """Tell whether a statement that was heard writes, or commits what was written."""
    return statement.split(maxsplit=1)[0].upper() in _WRITING
