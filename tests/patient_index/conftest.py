"""A patient index on an embedded database, with global IDs that count."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from sqlalchemy import event
from stdnum.cn import ric

from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName, parse_person_name
from hub_kernel.settings import IdentitySettings
from patient_index.global_ids import global_id_of
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock

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
