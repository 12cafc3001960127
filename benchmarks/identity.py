"""Patient index at scale: ADT with matching and PIX queries per second, beside what was promised.

python -m benchmarks.identity [--persons 200000] [--database sqlite|postgresql] [--seconds 20]
    [--keep FOLDER]

Goals (part one of the identity design): 100 ADT+match/s and 300 PIX/s at 5 million persons on
PostgreSQL, the same at 200,000 on SQLite, on a machine of two cores. PostgreSQL runs as a private
cluster in a temporary folder, durable as in production (fsync, synchronous commit).
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from random import Random
from statistics import quantiles

from benchmarks.databases import CLUSTERS, add_database_options, prepare, working_folder
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

GOALS = {"ADT+match": 100.0, "PIX": 300.0}


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
    with working_folder(options.keep) as folder, CLUSTERS[options.database](folder) as url:
        _prepare(url, options)
        load = Load(url, options.persons, options.seconds)
        for name, run, processes in (
            ("PIX", pix, options.readers),
            ("ADT+match", adt, options.writers or WRITERS[options.database]),
            ("PIX", pix, options.readers),
        ):
            _report(name, _together(run, load, processes), processes)


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
    def fill_all(database: Database, said: Callable[[str], None]) -> None:
        fill(database, range(options.persons), processes=options.loaders, said=said)

    prepare(url, fill_all)


def _opened(url: str) -> tuple[PatientIndex, DomainDirectory]:
    clock = SystemClock()
    database = Database(url, outbox=Outbox(), clock=clock)
    index = PatientIndex(database, clock, IdentitySettings(), matcher=Matcher(load_weights()))
    return index, DomainDirectory((*SITES, POLICE), own=index.issuer)


# SQLite has one writer at a time; a second process would only wait in its busy handler.
WRITERS = {"sqlite": 1, "postgresql": 2}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--writers", type=int, default=0, help="processes that send ADT")
    parser.add_argument("--readers", type=int, default=2, help="processes that ask PIX")
    add_database_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
