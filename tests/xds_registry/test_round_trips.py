"""How often the database is asked for one request: over a network each of them is waited for."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from tests.support.statements import hearing
from tests.xds_registry import wire
from tests.xds_registry.registering import refused
from tests.xds_registry.submitted import Registrar, of, request, symbolic
from tests.xds_registry.trial import PATIENT_DOMAIN, Trial
from xds_registry.model import ReferenceId

AUDIT = ["SELECT audit_head", "INSERT audit_record", "UPDATE audit_head"]


@pytest.fixture
def person(here: Trial) -> str:
    """A person as the affinity domain names them."""
    number = PatientIdentifier("P-9", AssigningAuthority(PATIENT_DOMAIN, PATIENT_DOMAIN))
    here.know(number.value)
    global_id = here.patients.resolve(number)
    assert global_id is not None
    return here.patients.global_identifier(global_id).cx


@contextmanager
def statements(here: Trial) -> Iterator[list[str]]:
    """Collect what each statement does first, with the first table it names."""
    said: list[str] = []

    def hear(statement: str) -> None:
        words = statement.replace("(", " ").replace(".", " ").replace(",", " ").split()
        tables = (one for one in words[1:] if "_" in one and one.islower())
        if words[0] == "BEGIN":
            said.append(statement)
        elif words[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
            said.append(f"{words[0]} {next(tables, '')}".strip())

    with hearing(here.database.engine, hear):
        yield said


def test_a_query_asks_who_the_person_is_what_is_refused_and_what_there_is(
    here: Trial, registrar: Registrar, person: str
) -> None:
    registrar.send(symbolic(request(of(person, "one"))))
    asked = (("$XDSDocumentEntryPatientId", f"'{person}'"),)
    with statements(here) as said:
        answer = registrar.query(
            wire.FIND_DOCUMENTS, *asked, ("$XDSDocumentEntryStatus", wire.APPROVED)
        )
    assert len(list(answer.iter("{*}ExtrinsicObject"))) == 1
    reads = ["SELECT patient_identifier", "SELECT consent_identifier", "SELECT document_entry"]
    assert said == ["BEGIN", *reads, "BEGIN IMMEDIATE", *AUDIT]


def test_a_registration_is_checked_by_three_questions_and_written_by_five_statements(
    here: Trial, registrar: Registrar, person: str
) -> None:
    accession = (ReferenceId.accession("A-1", "1.2.3"),)
    source = f"P-9^^^&{PATIENT_DOMAIN}&ISO"
    registrar.send(symbolic(request(of(person, "first"))))
    sent = symbolic(request(of(person, "two", source_patient_id=source, reference_ids=accession)))
    with statements(here) as said:
        assert wire.status(registrar.send(sent)) == "Success"
    checks = ["SELECT patient_identifier", "SELECT document_entry", "SELECT document_entry"]
    first, *asked = said[:4]
    assert (first, asked) == ("BEGIN IMMEDIATE", checks)
    written, audited = said[4:-3], said[-3:]
    assert len([one for one in written if one.startswith("INSERT")]) == len(written) == 5, written
    assert audited == AUDIT


def test_what_was_taken_is_found_by_the_one_question_that_asks_for_all(
    here: Trial, registrar: Registrar, person: str
) -> None:
    sent = symbolic(request(of(person, "three")))
    assert wire.status(registrar.send(sent)) == "Success"
    codes = [code for code, _ in refused(here, registrar, sent)]
    assert codes == ["XDSDuplicateUniqueIdInRegistry"]
