"""Locks by name that every process of a hub sees, on whichever machine: kept by the database.

PostgreSQL keeps them for as long as a connection lives (advisory locks), so a process that dies,
or a machine that is gone, lets go of its own. An embedded database is one machine's: there they
are locks on a file beside it. Behind a connection pooler they need sessions of their own.
"""

import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from hub_kernel.database import Database

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of Linux, 64 bits
_POLL_S = 0.05


@contextmanager
def held_alone(database: Database, name: str, *, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold `name` in the block; False when somebody else still held it after `patience_s`.

    Whoever gets False does without: the block runs, and nothing is held.
    """
    if database.engine.dialect.name == "postgresql":
        with _advisory(database, name, time.monotonic() + patience_s) as held:
            yield held
    else:
        with _beside(database, name, time.monotonic() + patience_s) as held:
            yield held


@contextmanager
def _advisory(database: Database, name: str, deadline: float) -> Iterator[bool]:
    number = _number(name)
    with database.engine.connect() as connection:
        # No transaction: a lock that is held for minutes must not hold back the cleaning of rows.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = select(func.pg_try_advisory_lock(number))
        while not (held := bool(connection.scalar(taken))) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        try:
            yield held
        finally:
            if held:
                connection.execute(select(func.pg_advisory_unlock(number)))


@contextmanager
def _beside(database: Database, name: str, deadline: float) -> Iterator[bool]:
    file = Path(f"{database.engine.url.database}-locks")
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    try:
        while not (held := _locked(descriptor, name)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        yield held
    finally:
        os.close(descriptor)  # and so gives up the lock


def _locked(descriptor: int, name: str) -> bool:
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _number(name) % 2**62, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True


def _number(name: str) -> int:
    digest = hashlib.blake2b(f"eirhub {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
