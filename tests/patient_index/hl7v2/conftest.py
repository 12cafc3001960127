"""A patient index with an HL7 v2 node in front of it, on any free port."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import IdentitySettings
from patient_index.candidates import RESIDENTS
from patient_index.domains import Domain, DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.hl7v2.admission import PeerRule
from patient_index.hl7v2.exchange import ExchangeRecord, Hl7Parts
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from patient_index.hl7v2.service import Hl7Service
from patient_index.lookup import PatientLookup
from patient_index.model import Person
from patient_index.service import PatientIndex
from tests.patient_index.hl7v2.wire import Sender

EAST = Domain("EAST", "1.2.826.0.1.3680043.10.1717.901", ("HIS|EAST",))
WEST = Domain("WEST", "1.2.826.0.1.3680043.10.1717.902", ("HIS|WEST",))
CARDS = Domain("CARD", "1.2.826.0.1.3680043.10.1717.903", ("CARD|OFFICE",))
NATIONAL = Domain(RESIDENTS.namespace, RESIDENTS.oid, may_assign=False)


@dataclass
class Region:
    """Everything a test may want to look at behind the port."""

    patients: PatientIndex
    domains: DomainDirectory
    service: Hl7Service
    lookup: PatientLookup
    parts: Hl7Parts
    audited: list[ExchangeRecord] = field(default_factory=list)
    listeners: list[Callable[[ExchangeRecord], None]] = field(default_factory=list)
    refusing: set[str] = field(default_factory=set)

    def on_audit(self, listener: Callable[[ExchangeRecord], None]) -> None:
        """Call `listener` before each record is written."""
        self.listeners.append(listener)

    def whole_person(self, value: str, domain: Domain = EAST) -> Person:
        found = self.lookup.person_of(PatientIdentifier(value, domain.authority))
        assert found is not None
        return found

    def person_of(self, value: str, domain: Domain = EAST) -> str | None:
        return self.patients.resolve(PatientIdentifier(value, domain.authority))


def build_region(
    database: Database, domains: tuple[Domain, ...], peers: tuple[PeerRule, ...] = ()
) -> Region:
    settings = IdentitySettings()
    own = AssigningAuthority(settings.global_namespace, settings.global_oid)
    clock = SystemClock()
    patients = PatientIndex(database, clock, settings)
    directory = DomainDirectory(domains, own=own)
    lookup = PatientLookup(patients, directory)
    audited: list[ExchangeRecord] = []
    listeners: list[Callable[[ExchangeRecord], None]] = []
    refusing: set[str] = set()

    def audit(record: ExchangeRecord, _session: Session | None = None) -> None:
        for listener in listeners:
            listener(record)
        audited.append(record)

    def may_find(_sender: str, global_ids: Collection[str]) -> frozenset[str]:
        return frozenset(global_ids) - refusing

    parts = Hl7Parts(
        database=database,
        clock=clock,
        domains=directory,
        patients=patients,
        feed=PatientFeed(patients, directory),
        lookup=lookup,
        audit=audit,
        may_find=may_find,
        time_zone=ZoneInfo("Asia/Shanghai"),
    )
    service = Hl7Service(parts, peers=peers)
    return Region(patients, directory, service, lookup, parts, audited, listeners, refusing)


@pytest.fixture
def region(database: Database) -> Region:
    return build_region(database, (EAST, WEST, CARDS, NATIONAL))


Running = Callable[..., AbstractContextManager[int]]


@pytest.fixture
def running(region: Region) -> Running:
    """Start a node in front of the region; gives its port. Keywords are its settings."""

    @contextmanager
    def start(**settings: object) -> Iterator[int]:
        node = Hl7Node(NodeSettings(port=0, **settings), region.service)  # type: ignore[arg-type]
        port = node.start()
        try:
            yield port
        finally:
            node.stop(grace_s=2.0)

    return start


@pytest.fixture
def sender(running: Running) -> Iterator[Sender]:
    with running() as port:
        connected = Sender(port)
        yield connected
        connected.close()
