"""Who is one person, asked for many identifiers at once."""

from datetime import date

from sqlalchemy import event

from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from patient_index.model import Decided
from patient_index.same_person import SamePerson
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock

HERE, THERE = AssigningAuthority("HERE", "1.2.3.1"), AssigningAuthority("THERE", "1.2.3.2")
CLERK = Decided("clerk", "shown")


def observed(patients: PatientIndex, identifier: PatientIdentifier) -> str:
    name = PersonName(alphabetic=f"Wang^{identifier.value}")
    return patients.observe(
        ObservedPatient(identifier=identifier, name=name, birth_date=date(1970, 4, 27), sex="M")
    )


def test_each_identifier_stands_for_all_of_its_holder(
    database: Database, clock: FixedClock
) -> None:
    patients, people = PatientIndex(database, clock, IdentitySettings()), SamePerson(database)
    here, there, alone = (
        PatientIdentifier("1", HERE),
        PatientIdentifier("1", THERE),
        PatientIdentifier("2", HERE),
    )
    person = observed(patients, here)
    observed(patients, there)
    observed(patients, alone)
    patients.link(there, person, CLERK)
    assert set(people.of_person(person)) == {here, there}
    found = people.of_holders([here, there, alone])
    assert {one: set(group) for one, group in found.items()} == {
        here: {here, there},
        there: {here, there},
        alone: {alone},
    }
    patients.unlink(there, CLERK)
    assert people.of_holders([here]) == {here: (here,)}


def test_an_identifier_nobody_observed_stands_for_itself(database: Database) -> None:
    stranger = PatientIdentifier("never", HERE)
    people = SamePerson(database)
    assert people.of_holders([stranger]) == {stranger: (stranger,)}
    assert people.of_person("PNOBODY") == ()


def test_the_name_of_the_issuer_does_not_matter_its_oid_does(
    database: Database, clock: FixedClock
) -> None:
    patients = PatientIndex(database, clock, IdentitySettings())
    known = PatientIdentifier("1", HERE)
    observed(patients, known)
    renamed = PatientIdentifier("1", AssigningAuthority("RENAMED", HERE.oid))
    assert SamePerson(database).of_holders([renamed]) == {renamed: (known,)}


def test_hundreds_are_one_query_for_each_four_hundred(
    database: Database, clock: FixedClock
) -> None:
    asked: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        asked.append(sql)

    people = SamePerson(database)
    everybody = [PatientIdentifier(str(number), HERE) for number in range(801)]
    assert len(people.of_holders(everybody)) == 801
    assert len([sql for sql in asked if sql.startswith("SELECT")]) == 3
