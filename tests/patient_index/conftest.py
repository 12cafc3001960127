"""A patient index on an embedded database, with global IDs that count."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from stdnum.cn import ric

from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName, parse_person_name
from hub_kernel.settings import IdentitySettings
from patient_index.domains import Domain, DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.global_ids import global_id_of
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching.weights import weights_from
from patient_index.model import Demographics, IdentifierKind, PatientStatement, TypedIdentifier
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock
from tests.support.tables import create_tables

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.901")
WEST = AssigningAuthority("WEST", "1.2.826.0.1.3680043.10.1717.902")
NORTH = AssigningAuthority("NORTH", "1.2.826.0.1.3680043.10.1717.903")

BORN = date(1985, 3, 12)


class CountingGlobalIds:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_global_id(self) -> str:
        return global_id_of(f"{next(self._numbers):012d}")


def resident_number(region: str = "110108", born: str = "19850312", serial: str = "001") -> str:
    body = region + born + serial
    return body + ric.calc_check_digit(body + "0")


NUMBER = resident_number()
"""A man's number, born on `BORN`."""

WANG = parse_person_name("Wang^XiaoDong=王^小东")


def patient(
    issuer: AssigningAuthority,
    value: str = "12345",
    *,
    name: PersonName | str = WANG,
    birth_date: date | None = BORN,
    sex: str = "M",
    numbers: tuple[str, ...] = (),
) -> ObservedPatient:
    return ObservedPatient(
        identifier=PatientIdentifier(value, issuer),
        name=parse_person_name(name) if isinstance(name, str) else name,
        birth_date=birth_date,
        sex=sex,
        other_ids=numbers,
    )


DOMAINS = (
    Domain("EAST", EAST.oid, ("HIS|EAST", "east")),
    Domain("WEST", WEST.oid, ("HIS|WEST", "west")),
    Domain("NORTH", NORTH.oid, ("HIS|NORTH", "north")),
    Domain("CARD", "1.2.826.0.1.3680043.10.1717.911", (), may_assign=False),
    Domain("NID", "2.16.156.10011.1.3", ("POLICE|NATION",)),
)
CARDS = DOMAINS[3].authority
RESIDENTS = DOMAINS[4].authority


LINKS_FROM_BITS = 25.0
_WEIGHTS = {
    "name": "test",
    "version": "1",
    "thresholds": {"link": LINKS_FROM_BITS, "review": 4.0, "margin": 5.0},
    "alternatives": {"stranger": -10.0},
    "fields": {
        "family_name": {"same": [0.9, 0.01], "different": [0.02, 0.9]},
        "given_name": {"same": [0.9, 0.001], "different": [0.02, 0.98]},
        "birth_date": {
            "same": [0.95, 1e-4], "neighbours_swapped": [0.005, 1e-4], "different": [0.01, 0.99],
        },
        "sex": {"same": [0.99, 0.5], "different": [0.01, 0.5]},
        "phone": {"same": [0.6, 1e-4], "different": [0.4, 1.0]},
    },
}  # fmt: skip


def matcher_for_tests() -> Matcher:
    """A few round weights: what the tests prove is what follows from a score, not the tuning."""
    return Matcher(weights_from(_WEIGHTS, {}))


def identifier(issuer: AssigningAuthority, value: str = "12345") -> PatientIdentifier:
    return PatientIdentifier(value, issuer)


def card(
    issuer: AssigningAuthority, value: str, kind: IdentifierKind = IdentifierKind.HEALTH_CARD
) -> TypedIdentifier:
    return TypedIdentifier(PatientIdentifier(value, issuer), kind)


def statement(
    issuer: AssigningAuthority,
    value: str = "12345",
    *cards: TypedIdentifier,
    provisional: bool = False,
    **said: Any,
) -> PatientStatement:
    """What the hospital information system of `issuer` says; Wang unless it says otherwise."""
    known = {"name": WANG, "birth_date": BORN, "sex": "M"} | said
    if isinstance(known["name"], str):
        known["name"] = parse_person_name(known["name"])
    return PatientStatement(
        (TypedIdentifier(PatientIdentifier(value, issuer)), *cards),
        Demographics(**known),
        f"HIS|{issuer.namespace}",
        provisional,
    )


ON_BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
"""Marks what has to hold on PostgreSQL too, where several write at once."""

ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
"""Marks what can only happen where several write at once."""


@pytest.fixture
def database(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock
) -> Iterator[Database]:
    """An empty database, embedded unless the test is marked; `EIRHUB_TEST_DATABASE=postgresql`
    puts every test of the index there that is not marked.
    """
    kind = getattr(request, "param", os.environ.get("EIRHUB_TEST_DATABASE", "sqlite"))
    with _address(kind, request, tmp_path) as url:
        database = Database(url, clock=clock)
        if kind == "sqlite":
            create_tables(database)
        yield database
        database.dispose()


@contextmanager
def _address(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'hub.sqlite'}"
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield url


@pytest.fixture
def directory(index: PatientIndex) -> DomainDirectory:
    return DomainDirectory(DOMAINS, own=index.issuer)


@pytest.fixture
def feed(index: PatientIndex, directory: DomainDirectory) -> PatientFeed:
    return PatientFeed(index, directory)


@pytest.fixture
def lookup(index: PatientIndex, directory: DomainDirectory) -> PatientLookup:
    return PatientLookup(index, directory)


@pytest.fixture
def index(database: Database, clock: FixedClock) -> PatientIndex:
    return PatientIndex(database, clock, IdentitySettings(), global_ids=CountingGlobalIds())


@pytest.fixture
def statements(database: Database) -> Callable[[], "object"]:
    """A context manager that gives the list of SQL statements run inside it."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        seen: list[str] = []

        def remember(*arguments: object) -> None:
            seen.append(str(arguments[2]))

        event.listen(database.engine, "before_cursor_execute", remember)
        try:
            yield seen
        finally:
            event.remove(database.engine, "before_cursor_execute", remember)

    return counting
