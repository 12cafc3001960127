"""The registry at scale: registrations and queries per second through its own SOAP endpoint.

python -m benchmarks.registry [--entries 20000] [--database sqlite|postgresql] [--seconds 20]
    [--keep FOLDER] [--processes 2] [--threads 4]

Goals (part two of the identity and registry design): 200 ITI-42/s, 500 FindDocuments/s and a 95th
percentile under 50 ms with 10 million document entries on PostgreSQL, on a machine of two cores; 1
million on SQLite. Each process calls the WSGI application as a web server would: token proved, SOAP
parsed, person resolved, access decided, rows read, XML written, audit record committed; its threads
share flushes as the server's do. A person has twenty documents. PostgreSQL runs as a private
cluster in a temporary folder, durable as in production. 10 million entries need some 50 GB of disk.
"""

import argparse
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

from lxml import etree

from access_control.audit import AuditTrail
from access_control.consent import Consents
from access_control.model import Role
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from benchmarks.databases import CLUSTERS, add_database_options, prepare, working_folder
from benchmarks.identity_load import fill as fill_persons
from benchmarks.identity_population import resident
from benchmarks.registry_load import DOCUMENTS_OF_PERSON, document, fill, urn
from hub_kernel.clock import SystemClock
from hub_kernel.config_files import shipped_config
from hub_kernel.database import Database
from hub_kernel.outbox import Outbox
from hub_kernel.settings import IdentitySettings
from hub_runtime import schema
from hub_runtime.machine_authentication import by_credentials
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from patient_index.same_person import SamePerson
from patient_index.service import PatientIndex
from xds_registry import vocabulary as v
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.ebrim import leaf_class
from xds_registry.model import AssociationType, SubmissionSet, XdsAssociation
from xds_registry.service import Registry, RegistryNames, RegistryParts
from xds_registry.soap import build_envelope
from xds_registry.transactions import iti18_registry_stored_query as iti18
from xds_registry.transactions import iti42_register_document_set as iti42

_PEOPLE_ASKED_ABOUT = 3_000
GOALS = {"ITI-42": 200.0, "FindDocuments": 500.0}
GOAL_P95_MS = 50.0


@dataclass(frozen=True)
class Load:
    """What one process does: for how long, on which database, as which worker."""

    url: str
    folder: Path
    entries: int
    seconds: float
    threads: int = 4
    worker: int = 0
    return_type: str = "LeafClass"


@dataclass
class Measured:
    """What came of it."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


class Station:
    """One process's registry, and the persons it speaks of."""

    def __init__(self, load: Load) -> None:
        assert schema.TABLES
        clock = SystemClock()
        self._database = Database(load.url, outbox=Outbox(), clock=clock)
        self._patients = PatientIndex(self._database, clock, IdentitySettings())
        sites, tokens = SiteDirectory(self._database, clock), MachineTokens(self._database, clock)
        roles, until = {Role.RADIOLOGIST, Role.DOCUMENT_SOURCE}, clock.now() + timedelta(days=1)
        self._token = tokens.create(f"benchmark {uuid.uuid4()}", roles, None, until)
        parts = RegistryParts(
            self._database,
            FilesystemBackend(load.folder / "archive"),
            ArchiveIndex(self._database),
            self._patients,
            sites,
            AuditTrail(self._database, clock, b"k" * 32),
            by_credentials(tokens),
            lambda _person: frozenset(),
            Consents(self._database, clock, SamePerson(self._database)).refusals,
        )
        names = RegistryNames("1.2.826.0.1.3680043.10.1717.2", "", "EIRHUB", lambda: "")
        domain = load_affinity_domain(shipped_config("affinity_domain/region.toml"))
        self._application = Registry(parts, names, domain).registry_app

    def global_cx(self, number: int) -> str:
        """Return the affinity domain's identifier of a person."""
        person = resident(number)
        global_id = self._patients.resolve(person.identifier(person.sites[0]))
        assert global_id is not None
        return self._patients.global_identifier(global_id).cx

    def send(self, message: bytes) -> bytes:
        """Post a SOAP message to the registry; return its answer."""
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/soap+xml; charset=UTF-8",
            "CONTENT_LENGTH": str(len(message)),
            "HTTP_AUTHORIZATION": f"Bearer {self._token}",
            "wsgi.input": BytesIO(message),
            "REMOTE_ADDR": "127.0.0.1",
            "QUERY_STRING": "",
            "HTTP_HOST": "localhost",
            "wsgi.url_scheme": "http",
        }
        return b"".join(self._application(environ, lambda _status, _headers: None))


def main() -> None:
    """Load, measure and print."""
    options = _options()
    print(f"{options.database}, {options.entries:,} documents, {os.cpu_count()} cores", flush=True)
    with working_folder(options.keep) as folder, CLUSTERS[options.database](folder) as url:
        _prepare(url, options)
        load = Load(url, folder, options.entries, options.seconds, options.threads)
        references = replace(load, return_type="ObjectRef")
        for name, run, one in (
            ("FindDocuments", find_documents, load),
            ("FindDocuments", find_documents, references),
            ("ITI-42", register, load),
            ("FindDocuments", find_documents, load),
        ):
            _report(name, one, _together(run, one, options.processes))


def find_documents(load: Load) -> Measured:
    """Ask for the current documents of persons, drawn from everybody."""
    station, chance = Station(load), Random(f"find{load.worker}")  # noqa: S311
    persons = load.entries // DOCUMENTS_OF_PERSON
    people = [station.global_cx(chance.randrange(persons)) for _ in range(_PEOPLE_ASKED_ABOUT)]
    messages = [find_documents_message(cx, load.return_type) for cx in people]

    def ask(_turn: int) -> str:
        answer = station.send(chance.choice(messages))
        assert b"ResponseStatusType:Success" in answer[:2000], answer[:2000]
        return "success"

    return _by_threads(ask, load)


def register(load: Load) -> Measured:
    """Register new documents, one a submission, for persons drawn from everybody."""
    station, chance = Station(load), Random(f"register{load.worker}")  # noqa: S311
    persons = load.entries // DOCUMENTS_OF_PERSON
    numbers = [chance.randrange(persons) for _ in range(_PEOPLE_ASKED_ABOUT)]
    people = [(number, station.global_cx(number)) for number in numbers]

    def submit(_turn: int) -> str:
        number, cx = chance.choice(people)
        answer = station.send(_submission(number * DOCUMENTS_OF_PERSON, cx))
        assert b"ResponseStatusType:Success" in answer, answer
        return "registered"

    return _by_threads(submit, load)


def find_documents_message(cx: str, return_type: str) -> bytes:
    """Return the SOAP message that asks for the current documents of the person `cx`."""
    return build_envelope(iti18.find_documents_request(cx, return_type), iti18.ACTION, "")


def _submission(model: int, cx: str) -> bytes:
    """Return a submission of one new document that is like document `model`."""
    entry = replace(
        document(model),
        entry_uuid="Document01",
        unique_id=f"2.25.{uuid.uuid4().int}",
        patient_id=cx,
    )
    own = SubmissionSet(
        entry_uuid="SubmissionSet01",
        unique_id=f"2.25.{uuid.uuid4().int}",
        source_id="1.2.826.0.1.3680043.10.1717.2",
        patient_id=cx,
        linked_identifier=cx,
        submission_time=entry.creation_time,
        content_type_code=entry.type_code,
        authors=entry.authors,
    )
    member = XdsAssociation(
        entry_uuid=urn("sent", uuid.uuid4().int),
        association_type=AssociationType.HAS_MEMBER,
        source="SubmissionSet01",
        target="Document01",
        submission_set_status="Original",
    )
    request = etree.Element(f"{{{v.LCM}}}SubmitObjectsRequest", nsmap={"rim": v.RIM})
    objects = etree.SubElement(request, f"{{{v.RIM}}}RegistryObjectList")
    objects.extend(leaf_class(item) for item in (own, entry, member))
    return build_envelope(request, iti42.ACTION, "")


def _by_threads(act: Callable[[int], str], load: Load) -> Measured:
    for turn in range(-20, 0):
        act(turn)  # statements are compiled and pages read before the clock starts
    measured, started, cpu = Measured(), time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(load.threads) as pool:
        for one in pool.map(lambda _: _repeated(act, load.seconds), range(load.threads)):
            measured.latencies += one.latencies
            measured.outcomes += one.outcomes
    measured.seconds = time.perf_counter() - started
    measured.cpu_s = time.process_time() - cpu
    return measured


def _repeated(act: Callable[[int], str], seconds: float) -> Measured:
    measured, started, turn = Measured(), time.perf_counter(), 0
    while (now := time.perf_counter()) < started + seconds:
        measured.outcomes[act(turn)] += 1
        measured.latencies.append(time.perf_counter() - now)
        turn += 1
    return measured


def _together(run: Callable[[Load], Measured], load: Load, processes: int) -> list[Measured]:
    loads = [replace(load, worker=number) for number in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(run, loads))


def _report(name: str, load: Load, measured: list[Measured]) -> None:
    rate = sum(len(one.latencies) / one.seconds for one in measured)
    spread = quantiles([t * 1000 for one in measured for t in one.latencies], n=100)
    cpu_ms = 1000 * sum(one.cpu_s for one in measured) / sum(len(one.latencies) for one in measured)
    reached = rate >= GOALS[name] and spread[94] < GOAL_P95_MS
    kind = f" {load.return_type}" if name == "FindDocuments" else ""
    print(
        f"{name}{kind}: {rate:,.0f}/s with {len(measured)} processes "
        f"({rate / GOALS[name]:.2f} of the goal {GOALS[name]:,.0f}), p50 {spread[49]:.1f} ms, "
        f"p95 {spread[94]:.1f} ms, p99 {spread[98]:.1f} ms: {'reached' if reached else 'MISSED'}; "
        f"{cpu_ms:.1f} ms of processor time each without the server",
        flush=True,
    )


def _prepare(url: str, options: argparse.Namespace) -> None:
    def fill_all(database: Database, said: Callable[[str], None]) -> None:
        persons = -(-options.entries // DOCUMENTS_OF_PERSON)
        fill_persons(database, range(persons), processes=options.loaders, said=said)
        fill(database, range(options.entries), processes=options.loaders, said=said)

    prepare(url, fill_all)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=2, help="processes that ask and submit")
    parser.add_argument("--threads", type=int, default=4, help="threads of each of them")
    add_database_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
