"""A PostgreSQL server of the tests' own: a private cluster behind a socket, gone afterwards."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from hub_kernel.database import Database
from hub_runtime import schema
from tests.support.child_server import end_with_parent
from tests.support.tools import require_tool

_START_S = 120.0
_SETTINGS = {
    "listen_addresses": "",
    # Nothing here outlives the tests: what a crash of the machine would lose is not wanted back.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "deadlock_timeout": "100ms",
    "log_min_messages": "fatal",
}


class PostgresqlServer:
    """A running server; every database asked of it is empty."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._tables: Database | None = None

    @contextmanager
    def bare_database(self) -> Iterator[str]:
        """The address of a database without any table, for as long as the block runs."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name}")
        try:
            yield self._address(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database with every table of the hub, and no row.

        One database serves block after block: making one costs more than most tests. So no block
        may be entered inside another.
        """
        if self._tables is None:
            self._run("CREATE DATABASE with_tables")
            self._tables = Database(self._address("with_tables"))
            self._tables.create_all()
        try:
            yield self._address("with_tables")
        finally:
            self._empty(self._tables)

    def close(self) -> None:
        """Close the connections to the server."""
        if self._tables is not None:
            self._tables.dispose()

    def _empty(self, database: Database) -> None:
        with database.engine.begin() as connection:
            # Without triggers: the tables that are append-only are emptied too.
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for table in schema.METADATA.sorted_tables:
                connection.execute(table.delete())
            connection.exec_driver_sql(
                "SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences"
            )

    def _address(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def await_ready(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Return when the server answers.

        Raises:
            AssertionError: it ended instead, or took too long.
        """
        deadline = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                return self._run("SELECT 1")
            except OperationalError:
                time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Start a cluster in a folder of its own; stop it, by its own process, and remove it."""
    programs = Path(require_tool("postgres")).parent
    # PostgreSQL refuses to run as root, and the folders of pytest are closed to everybody else.
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="eirhub-postgresql-"))
    try:
        if user:
            shutil.chown(folder, user)
        cluster = _initialised(programs, folder, user)
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", cluster, "-k", folder],
                user=user, cwd=folder, stdout=output, stderr=output,
                preexec_fn=partial(end_with_parent, signal.SIGQUIT),  # noqa: PLW1509 (it makes one system call)
            )  # fmt: skip
        try:
            server = PostgresqlServer(f"postgresql+psycopg://test@/postgres?host={folder}")
            server.await_ready(process, log)
            yield server
            server.close()
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(_START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialised(programs: Path, folder: Path, user: str | None) -> Path:
    cluster = folder / "cluster"
    options = ("-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    subprocess.run(
        [programs / "initdb", "-D", cluster, *options],
        user=user, cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    with (cluster / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
    return cluster
