"""Where a benchmark keeps its rows: SQLite or a PostgreSQL cluster of its own, durable as used."""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import inspect, text

from hub_kernel.database import Database
from hub_runtime import schema

_LOADED = "benchmark_loaded"
_SERVER = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "5min",
}


def add_database_options(parser: argparse.ArgumentParser) -> None:
    """Add --database, --loaders and --keep."""
    parser.add_argument("--database", choices=tuple(CLUSTERS), default="sqlite")
    parser.add_argument("--loaders", type=int, default=2, help="processes that make rows")
    parser.add_argument(
        "--keep", type=Path, help="load the database into this folder, or measure what is there"
    )


@contextmanager
def working_folder(kept: Path | None) -> Iterator[Path]:
    """Give the folder that is kept, or a temporary one."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="eirhub-bench-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def prepare(url: str, fill: Callable[[Database, Callable[[str], None]], None]) -> None:
    """Make the hub's tables and fill them, unless that was done before."""
    database = Database(url)
    started = time.perf_counter()

    def said(what: str) -> None:
        print(f"  {time.perf_counter() - started:6.0f} s  {what}", flush=True)

    try:
        if inspect(database.engine).has_table(_LOADED):
            said("loaded before")
            return
        schema.upgrade(database)
        fill(database, said)
        with database.engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {_LOADED} (yes integer)"))
        said("ready")
    finally:
        database.dispose()


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'hub.sqlite'}"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A cluster of its own; PostgreSQL refuses to run as root, so root lends it to nobody."""
    programs = _programs()
    data = folder / "cluster"
    folder.chmod(0o755)
    user = "nobody" if os.geteuid() == 0 else None

    def run(*command: object) -> None:
        subprocess.run(
            [*map(str, command)], user=user, cwd=data, check=True, stdout=subprocess.DEVNULL
        )

    if not data.exists():
        data.mkdir()
        if user:
            shutil.chown(data, user)
        locale = ("-E", "UTF8", "--locale=C.UTF-8")
        run(programs / "initdb", "-D", data, "-U", "bench", *locale, "-A", "trust")
        settings = _SERVER | {"unix_socket_directories": str(data)}
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    control = (programs / "pg_ctl", "-D", data, "-w", "-t", "300")
    run(*control, "-l", data / "server.log", "start")
    try:
        yield f"postgresql+psycopg://bench@/postgres?host={data}"
    finally:
        run(*control, "-m", "fast", "stop")


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    return versions[-1].parent


CLUSTERS = {"sqlite": _sqlite, "postgresql": _postgresql}
