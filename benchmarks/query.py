"""C-FIND and QIDO-RS at scale, through the running hub: how long a question takes, and its p95.

python -m benchmarks.query [--studies 100000] [--database sqlite|postgresql] [--questions 200]
    [--only WORDS] [--keep FOLDER]

Goal (the DICOM node's design): p95 under 20 ms by patient, accession number, date and name at one
million studies and ten million instances, on SQLite and PostgreSQL. A site's workstation asks over
one association, a machine of the region over one HTTP connection, one question after the other;
every answer is read to its end, and every query is audited. What is asked is drawn from everybody.
The processor time of the hub is told beside: on a busy machine it says more than the clock.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import quantiles
from urllib.parse import quote

from pydicom.dataset import Dataset

from access_control.errors import SiteExistsError
from access_control.model import Role, Site
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from benchmarks.archive_load import LoadedStudy, fill, site_id, study
from benchmarks.databases import CLUSTERS, add_database_options, prepare, working_folder
from benchmarks.identity_population import SITES
from benchmarks.workstation import Workstation
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.person_names import name_keys

GOAL_P95_MS = 20.0
_READY = re.compile(r"eirhub ready .*?dicom=\S+?:(\d+).*?http=\S+?:(\d+)")
_START_S = 600.0
_WARM = 10
_PAGE = 25

_LEVEL = "QueryRetrieveLevel"
_RESOURCES = {"STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}

Keys = dict[str, str]
# What is asked for, by the name under which it is reported.
QUESTIONS: dict[str, Callable[[LoadedStudy], Keys]] = {
    "patient ID": lambda one: {"PatientID": one.person.identifier(one.person.sites[0]).value},
    "accession number": lambda one: {"AccessionNumber": one.accession_number},
    "study date": lambda one: {"StudyDate": f"{one.day:%Y%m%d}"},
    "name in Hanzi": lambda one: {"PatientName": name_keys(one.name).hanzi},
    "name in pinyin": lambda one: {"PatientName": name_keys(one.name).pinyin},
    "initials and date": lambda one: {
        "PatientName": name_keys(one.name).initials,
        "StudyDate": f"{one.day:%Y%m%d}-{one.day + timedelta(days=30):%Y%m%d}",
    },
    "beginning of the name": lambda one: {"PatientName": f"{name_keys(one.name).pinyin[:-1]}*"},
    "modality and study date": lambda one: {
        "ModalitiesInStudy": one.modality,
        "StudyDate": f"{one.day:%Y%m%d}",
    },
    "series of a study": lambda one: {_LEVEL: "SERIES", "StudyInstanceUID": one.uid},
    "instances of a series": lambda one: {
        _LEVEL: "IMAGE",
        "StudyInstanceUID": one.uid,
        "SeriesInstanceUID": f"{one.uid}.1",
    },
}


@dataclass(frozen=True)
class Served:
    """A running hub: its process and ports, and a token that may search the region."""

    process: int
    dicom_port: int
    http_port: int
    token: str


def main() -> None:
    """Load, measure and print."""
    options = _options()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{options.database}, {options.studies:,} studies, load {load}", flush=True)
    with working_folder(options.keep) as folder, CLUSTERS[options.database](folder) as url:
        prepare(
            url,
            lambda database, said: fill(
                database, range(options.studies), processes=options.loaders, said=said
            ),
        )
        chosen = [study(Random(n).randrange(options.studies)) for n in range(options.questions)]  # noqa: S311
        with serving(folder, url, introduced(url)) as hub:
            for name, keys in QUESTIONS.items():
                if options.only not in name:
                    continue
                for service, ask in (("C-FIND", by_dimse), ("QIDO-RS", by_http)):
                    before = processor_s(hub.process)
                    measured = ask(hub, chosen, keys)
                    spent = (processor_s(hub.process) - before) / (len(measured) + _WARM)
                    _report(f"{service} by {name}", measured, spent)


def introduced(url: str) -> str:
    """Add a workstation at every site, unless it is there; return a token for the region."""
    database, clock = Database(url), SystemClock()
    directory = SiteDirectory(database, clock)
    for number, domain in enumerate(SITES):
        issuer = AssigningAuthority(domain.namespace, domain.oid)
        name = domain.namespace
        try:
            directory.add(
                Site(
                    site_id(number),
                    name,
                    name,
                    name,
                    "township",
                    (f"WS{number:02}",),
                    ("127.0.0.0/8",),
                    issuer,
                )  # fmt: skip
            )
        except SiteExistsError:
            break
    tokens, tomorrow = MachineTokens(database, clock), datetime.now(UTC) + timedelta(days=1)
    token = tokens.create(f"benchmark {time.time_ns()}", [Role.RADIOLOGIST], None, tomorrow)
    database.dispose()
    return token


@contextmanager
def serving(folder: Path, url: str, token: str) -> Iterator[Served]:
    """Run `eirhub serve` on the loaded database, as it is delivered but for the ports."""
    ports = ("router.port=0", "web.port=0", "hl7.port=0", "viewer.port=0", f"database.url={url}")
    command = [sys.executable, "-m", "hub_runtime.cli", "serve", "--data", str(folder)]
    command += [part for setting in ports for part in ("--set", setting)]
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_S
        while not (ready := _READY.search(log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the hub did not start, see {log}")
            time.sleep(0.1)
        yield Served(process.pid, int(ready[1]), int(ready[2]), token)
    finally:
        process.terminate()
        process.wait(60)


Measured = list[tuple[float, int]]
"""Seconds and number of answers of each question."""


def by_dimse(
    hub: Served, chosen: list[LoadedStudy], keys: Callable[[LoadedStudy], Keys]
) -> Measured:
    """Ask by C-FIND about the chosen, each site's workstation over one association."""
    found: Measured = []
    stations: dict[int, Workstation] = {}
    for one in [*chosen[:_WARM], *chosen]:
        title = f"WS{one.site_number:02}"
        station = stations.get(one.site_number) or Workstation(hub.dicom_port, title)
        stations[one.site_number] = station
        query = Dataset()
        query.SpecificCharacterSet = "ISO_IR 192"
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
            setattr(query, keyword, "")
        for keyword, value in ({_LEVEL: "STUDY"} | keys(one)).items():
            setattr(query, keyword, value)
        started = time.perf_counter()
        statuses = station.find(query)
        found.append((time.perf_counter() - started, len(statuses) - 1))
        assert statuses[-1] == 0, statuses[-1]
        assert len(statuses) > 1, keys(one)
    for station in stations.values():
        station.close()
    return found[_WARM:]


def by_http(
    hub: Served, chosen: list[LoadedStudy], keys: Callable[[LoadedStudy], Keys]
) -> Measured:
    """Ask by QIDO-RS about the chosen, as a machine of the region over one connection."""
    found: Measured = []
    headers = {"Authorization": f"Bearer {hub.token}"}
    connection = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=60)
    for one in [*chosen[:_WARM], *chosen]:
        wanted = keys(one)
        resource = _RESOURCES[wanted.pop(_LEVEL, "STUDY")]
        asked = "&".join(f"{key}={quote(value)}" for key, value in wanted.items())
        started = time.perf_counter()
        address = f"/dicom-web/{resource}?{asked}&limit={_PAGE}"
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        found.append((time.perf_counter() - started, 0))
        assert answer.status == 200, body
        count = len(json.loads(body))
        assert count, asked
        found[-1] = (found[-1][0], count)
    connection.close()
    return found[_WARM:]


def processor_s(process: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _report(name: str, measured: Measured, processor_s: float) -> None:
    spread = quantiles([seconds * 1000 for seconds, _ in measured], n=100)
    answers = sorted(count for _, count in measured)
    verdict = "reached" if spread[94] < GOAL_P95_MS else "MISSED"
    print(
        f"{name}: p50 {spread[49]:.1f} ms, p95 {spread[94]:.1f} ms, "
        f"p99 {spread[98]:.1f} ms: {verdict}; {processor_s * 1000:.1f} ms of the hub's processor; "
        f"{answers[len(answers) // 2]} answers, at most {answers[-1]}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--only", default="", help="only questions whose name holds this")
    add_database_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
