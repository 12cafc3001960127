"""Patient index at scale: ADT with matching and PIX queries per second, beside what was promised.

python -m benchmarks.identity [--persons 200000] [--database sqlite|postgresql] [--seconds 20]
    [--keep FOLDER]

Goals (part one of the identity design): 100 ADT+match/s and 300 PIX/s at 5 million persons on
PostgreSQL, the same at 200,000 on SQLite, on a machine of two cores. PostgreSQL runs as a private
cluster in a temporary folder, durable as in production (fsync, synchronous commit).
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import quantiles

from sqlalchemy import inspect, text

from benchmarks.identity_load import fill
from benchmarks.identity_population import POLICE, SITES, resident
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.outbox import Outbox
from hub_kernel.settings import IdentitySettings
from patient_index.domains import DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.model import FeedOutcome
from patient_index.service import PatientIndex

_LOADED = "benchmark_loaded"
GOALS = {"ADT+match": 100.0, "PIX": 300.0}
_SERVER = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "5min",
}


@dataclass(frozen=True)
class Load:
    """What one process does: for how long, on which database, as which worker."""

    url: str
    persons: int
    seconds: float
    worker: int = 0


@dataclass
class Measured:
    """What came of it."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Load, measure and print."""
    options = _options()
    print(f"{options.database}, {options.persons:,} persons, {os.cpu_count()} cores", flush=True)
    with _folder(options.keep) as folder, CLUSTERS[options.database](folder) as url:
        _prepare(url, options)
        load = Load(url, options.persons, options.seconds)
        for name, run, processes in (
            ("PIX", pix, options.readers),
            ("ADT+match", adt, options.writers or WRITERS[options.database]),
            ("PIX", pix, options.readers),
        ):
            _report(name, _together(run, load, processes), processes)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="eirhub-bench-") as temporary:
        yield Path(temporary)


def adt(load: Load) -> Measured:
    """Send statements as the sites would: newcomers, known people at other sites, corrections."""
    index, domains = _opened(load.url)
    feed, chance = PatientFeed(index, domains), Random(f"adt{load.worker}")  # noqa: S311
    fresh = load.persons + load.worker * 10_000_000 + 10

    def send(turn: int) -> str:
        kind = chance.random()
        if kind < 0.6:
            person = resident(fresh + turn)
            site = person.sites[0]
        else:
            person = resident(chance.randrange(load.persons))
            site = chance.choice(SITES) if kind < 0.85 else person.sites[0]
            phone = f"139{chance.randrange(100_000_000):08}"
            changed = replace(person.demographics, phones=(phone,))
            person = replace(person, demographics=changed)
        key = f"{site.senders[0]}|{load.worker}-{turn}-{chance.random()}"
        return _word(feed.register(person.statement(site), key))

    return _repeated(send, load.seconds)


def pix(load: Load) -> Measured:
    """Ask for the cross references of known identifiers, drawn from everybody."""
    index, domains = _opened(load.url)
    lookup, chance = PatientLookup(index, domains), Random(f"pix{load.worker}")  # noqa: S311

    def ask(_turn: int) -> str:
        person = resident(chance.randrange(load.persons))
        found = lookup.cross_references(person.identifier(person.sites[0]))
        return f"{len(found)} identifiers"

    return _repeated(ask, load.seconds)


def _repeated(act: Callable[[int], str], seconds: float) -> Measured:
    for turn in range(-10, 0):
        act(turn % 7)  # statements are compiled and pages read once before the clock starts
    measured, started, cpu = Measured(), time.perf_counter(), time.process_time()
    turn = 10
    while (now := time.perf_counter()) < started + seconds:
        measured.outcomes[act(turn)] += 1
        measured.latencies.append(time.perf_counter() - now)
        turn += 1
    measured.seconds = time.perf_counter() - started
    measured.cpu_s = time.process_time() - cpu
    return measured


def _together(run: Callable[[Load], Measured], load: Load, processes: int) -> list[Measured]:
    loads = [replace(load, worker=number) for number in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(run, loads))


def _report(name: str, measured: list[Measured], processes: int) -> None:
    rate = sum(len(one.latencies) / one.seconds for one in measured)
    spread = quantiles([t * 1000 for one in measured for t in one.latencies], n=100)
    cpu_ms = 1000 * sum(one.cpu_s for one in measured) / sum(len(one.latencies) for one in measured)
    outcomes = sum((one.outcomes for one in measured), Counter())
    verdict = "reached" if rate >= GOALS[name] else "MISSED"
    print(
        f"{name}: {rate:,.0f}/s with {processes} processes (goal {GOALS[name]:,.0f}: {verdict}), "
        f"p50 {spread[49]:.1f} ms, p95 {spread[94]:.1f} ms, p99 {spread[98]:.1f} ms, "
        f"{cpu_ms:.1f} ms of processor time each without the server; "
        + ", ".join(f"{word} {count}" for word, count in outcomes.most_common(6)),
        flush=True,
    )


def _word(outcome: FeedOutcome) -> str:
    if outcome.linked_by:
        return outcome.linked_by
    if outcome.review_id is not None:
        return "review"
    return "new" if outcome.created else "updated"


def _prepare(url: str, options: argparse.Namespace) -> None:
    database = Database(url)
    started = time.perf_counter()

    def said(text: str) -> None:
        print(f"  {time.perf_counter() - started:6.0f} s  {text}", flush=True)

    try:
        if inspect(database.engine).has_table(_LOADED):
            said("loaded before")
            return
        database.create_all()
        fill(database, options.persons, processes=options.loaders, said=said)
        with database.engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {_LOADED} (persons integer)"))
        said("ready")
    finally:
        database.dispose()


def _opened(url: str) -> tuple[PatientIndex, DomainDirectory]:
    clock = SystemClock()
    database = Database(url, outbox=Outbox(), clock=clock)
    index = PatientIndex(database, clock, IdentitySettings(), matcher=Matcher(load_weights()))
    return index, DomainDirectory((*SITES, POLICE), own=index.issuer)


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
# SQLite has one writer at a time; a second process would only wait in its busy handler.
WRITERS = {"sqlite": 1, "postgresql": 2}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=200_000)
    parser.add_argument("--database", choices=tuple(CLUSTERS), default="sqlite")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--writers", type=int, default=0, help="processes that send ADT")
    parser.add_argument("--readers", type=int, default=2, help="processes that ask PIX")
    parser.add_argument("--loaders", type=int, default=2, help="processes that make persons")
    parser.add_argument(
        "--keep", type=Path, help="load the database into this folder, or measure what is there"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
