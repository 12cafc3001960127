"""What a growing region does to its questions: p50 and p95 as studies, persons and documents grow.

python -m benchmarks.scale [--stages 20000 200000 1320000] [--database sqlite|postgresql]
    [--questions 100] [--keep FOLDER]

A stage is a number of studies: half as many persons, one registered document and ten instances a
study; 1,320,000 are a year of a region of 1.58 million people. Rows are loaded without bytes, the
hub is started on them as delivered, and is asked through its own doors: C-FIND by a site's
workstation, QIDO-RS and FindDocuments (ITI-18) by a machine of the region, the timeline of a person
by a doctor. `--keep` goes on from the stage the folder has. Prints one table, to be compared down
its columns: what grows with the data grows there.
"""

import argparse
import http.client
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles

from sqlalchemy import func, select

from access_control.accounts import Accounts
from access_control.errors import AccountExistsError
from access_control.model import Role
from access_control.sessions import Sessions
from benchmarks import identity_load, registry_load
from benchmarks.archive_load import STUDIES_OF_PERSON, LoadedStudy, study
from benchmarks.archive_load import fill as fill_studies
from benchmarks.databases import CLUSTERS, add_database_options, working_folder
from benchmarks.identity_population import resident
from benchmarks.query import (
    QUESTIONS,
    Measured,
    Served,
    by_dimse,
    by_http,
    introduced,
    processor_s,
    serving,
)
from benchmarks.registry import find_documents_message
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.settings import IdentitySettings
from hub_runtime import schema
from image_archive.tables import STUDY
from patient_index.service import PatientIndex

_ASKED = ("patient ID", "accession number", "study date", "name in pinyin")
_DOCTOR, _PASSWORD = "scale-doctor", "a benchmark's own 7 words"  # noqa: S105 (a throw-away hub)
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Person:
    """One person to be asked about: the global ID, and the registry's identifier."""

    global_id: str
    cx: str


@dataclass(frozen=True)
class Asker:
    """Who asks a running hub over HTTP, and about whom."""

    hub: Served
    session: str
    people: list[Person]
    with_documents: list[Person]


def main() -> None:
    """Load stage after stage, measure each, print the table."""
    options = _options()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{options.database}, {os.cpu_count()} cores, load {load}", flush=True)
    with working_folder(options.keep) as folder, CLUSTERS[options.database](folder) as url:
        for studies in sorted(options.stages):
            _grow(url, studies, options.loaders)
            print(f"\n**{studies:,} studies**, {_size(folder) / _MEGABYTE:,.0f} MB\n", flush=True)
            print("| | p50 | p95 | processor of the hub |\n|---|---|---|---|", flush=True)
            _measure(folder, url, studies, options.questions)


def _grow(url: str, studies: int, processes: int) -> None:
    """Load what is missing to `studies`, with their persons and documents."""
    database, started = Database(url), time.perf_counter()

    def said(what: str) -> None:
        print(f"  {time.perf_counter() - started:6.0f} s  {what}", flush=True)

    try:
        schema.upgrade(database)
        with database.read() as session:
            loaded = session.scalar(select(func.max(STUDY.c.id))) or 0
        if loaded >= studies:
            return
        new = range(loaded, studies)
        persons = range(loaded // STUDIES_OF_PERSON, studies // STUDIES_OF_PERSON)
        identity_load.fill(database, persons, processes=processes, said=said)
        registry_load.fill(database, new, processes=processes, said=said)
        fill_studies(database, new, processes=processes, said=said)
    finally:
        database.dispose()


def _measure(folder: Path, url: str, studies: int, questions: int) -> None:
    chance = Random(studies)  # noqa: S311 (a repeatable choice)
    chosen = [study(chance.randrange(studies)) for _ in range(questions)]
    token = introduced(url)
    session, people, with_documents = _acquainted(url, chosen, chance)
    with serving(folder, url, token) as hub:
        for name in _ASKED:
            _row(hub, f"C-FIND by {name}", lambda n=name: by_dimse(hub, chosen, QUESTIONS[n]))  # type: ignore[misc]
            _row(hub, f"QIDO-RS by {name}", lambda n=name: by_http(hub, chosen, QUESTIONS[n]))  # type: ignore[misc]
        asker = Asker(hub, session, people, with_documents)
        _row(hub, "timeline of a person", lambda: _timelines(asker))
        _row(hub, "FindDocuments (ITI-18)", lambda: _documents(asker))


def _acquainted(
    url: str, chosen: list[LoadedStudy], chance: Random
) -> tuple[str, list[Person], list[Person]]:
    """Return a doctor's session, the persons of the studies, and as many who have documents."""
    database, clock = Database(url), SystemClock()
    try:
        accounts = Accounts(database, clock)
        with suppress(AccountExistsError):  # an earlier stage's
            accounts.add_user(_DOCTOR, _PASSWORD, [Role.RADIOLOGIST], None, _DOCTOR)
        session = Sessions(database, clock).start(
            accounts.authenticate(_DOCTOR, _PASSWORD, "127.0.0.1")
        )
        patients = PatientIndex(database, clock, IdentitySettings())

        def known(number: int) -> Person:
            person = resident(number)
            global_id = patients.resolve(person.identifier(person.sites[0]))
            assert global_id is not None
            return Person(global_id, patients.global_identifier(global_id).cx)

        holders = max(one.number for one in chosen) // registry_load.DOCUMENTS_OF_PERSON
        return (
            session,
            [known(one.person.number) for one in chosen],
            [known(chance.randrange(holders)) for _ in chosen],
        )
    finally:
        database.dispose()


def _timelines(asker: Asker) -> Measured:
    headers = {"Cookie": f"eirhub_session={asker.session}"}
    return _asked(
        asker,
        [("GET", f"/patients/{one.global_id}", b"", headers) for one in asker.people],
        b"exam-card",
    )


def _documents(asker: Asker) -> Measured:
    headers = {
        "Authorization": f"Bearer {asker.hub.token}",
        "Content-Type": "application/soap+xml; charset=UTF-8",
    }
    return _asked(
        asker,
        [
            ("POST", "/xds/registry", find_documents_message(one.cx, "LeafClass"), headers)
            for one in asker.with_documents
        ],
        b"ExtrinsicObject",
    )


def _asked(
    asker: Asker, requests: list[tuple[str, str, bytes, dict[str, str]]], expected: bytes
) -> Measured:
    """Send the requests one after the other, some twice to begin with; each answer is checked."""
    connection = http.client.HTTPConnection("127.0.0.1", asker.hub.http_port, timeout=60)
    warm = requests[:10]
    found: Measured = []
    for method, path, body, headers in [*warm, *requests]:
        started = time.perf_counter()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        found.append((time.perf_counter() - started, text.count(expected)))
        assert answer.status == 200, (answer.status, text[:500])
        assert expected in text, path
    connection.close()
    return found[len(warm) :]


def _row(hub: Served, name: str, ask: Callable[[], Measured]) -> None:
    before = processor_s(hub.process)
    measured = ask()
    spent = (processor_s(hub.process) - before) / (len(measured) + 10) * 1000
    spread = quantiles([seconds * 1000 for seconds, _ in measured], n=100)
    print(f"| {name} | {spread[49]:.1f} ms | {spread[94]:.1f} ms | {spent:.1f} ms |", flush=True)


def _size(folder: Path) -> int:
    """Return the bytes on disk below the folder."""
    return sum(one.stat().st_blocks * 512 for one in folder.rglob("*") if one.is_file())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, nargs="+", default=[20_000, 200_000, 1_320_000])
    parser.add_argument("--questions", type=int, default=100)
    add_database_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
