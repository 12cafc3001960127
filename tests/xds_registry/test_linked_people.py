"""Whose document it is: patient domains, merges and their reversal, all at the time of asking."""

from dataclasses import replace
from datetime import date

import pytest

from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from patient_index.model import Decided
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock
from tests.xds_registry.samples import entry
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import DocumentEntry

DOMAIN = AssigningAuthority("XAD", "1.2.156.1")
TOWN = AssigningAuthority("T1", "1.2.156.2")
BY_HAND = Decided("registrar", "test")


@pytest.fixture
def index(database: Database, clock: FixedClock) -> PatientIndex:
    return PatientIndex(database, clock, IdentitySettings())


def know(index: PatientIndex, value: str, issuer: AssigningAuthority = DOMAIN) -> str:
    """Return the global ID of a person known by one identifier."""
    observed = ObservedPatient(
        identifier=PatientIdentifier(value, issuer),
        name=PersonName(alphabetic=f"Test^{value}"),
        birth_date=date(1970, 1, 1),
        sex="F",
    )
    return index.observe(observed)


def people(index: PatientIndex) -> LinkedPeople:
    """Return what one request asks."""
    return LinkedPeople(index, frozenset({DOMAIN.oid}))


def cx(value: str, issuer: AssigningAuthority = DOMAIN) -> str:
    return PatientIdentifier(value, issuer).cx


def document(linked: str, patient_id: str) -> DocumentEntry:
    return entry("one", linked_identifier=linked, patient_id=patient_id)


def test_a_person_is_named_by_global_id_and_by_an_accepted_domain_alone(
    index: PatientIndex,
) -> None:
    person, other = know(index, "A"), know(index, "L", TOWN)
    asked = people(index)
    assert asked.global_id_of(cx("A")) == person
    assert asked.global_id_of(index.global_identifier(person).cx) == person
    assert asked.global_id_of(index.global_identifier(other).cx) == other
    assert asked.global_id_of(cx("L", TOWN)) is None
    assert asked.global_id_of(cx("nobody")) is None
    for text in ("nonsense", "A^^^&129.6.1&ISO", "A^^^&1..2&ISO", "^^^&1.2&ISO"):
        assert asked.global_id_of(text) is None
        assert asked.person_of(text) is None


def test_answers_speak_of_a_person_as_the_question_did(index: PatientIndex) -> None:
    person = know(index, "A")
    one = document(cx("A"), index.global_identifier(person).cx)
    asked = people(index)
    assert [item.patient_id for item in asked.current([one])] == [one.patient_id]
    asked.global_id_of(cx("A"))
    assert [item.patient_id for item in asked.current([one])] == [cx("A")]


def test_without_a_question_the_submitted_name_stands_while_it_is_theirs(
    index: PatientIndex,
) -> None:
    know(index, "A")
    assert people(index).patient_id_of(document(cx("A"), cx("A"))) == cx("A")
    survivor = know(index, "B")
    index.merge(survivor, index.resolve(PatientIdentifier("A", DOMAIN)) or "", BY_HAND)
    assert people(index).patient_id_of(document(cx("A"), cx("A"))) in {
        cx("A"),
        index.global_identifier(survivor).cx,
    }


def test_the_survivor_of_a_merge_answers_for_documents_under_either_global_id(
    index: PatientIndex,
) -> None:
    survivor, subsumed = know(index, "A"), know(index, "B")
    old = index.global_identifier(subsumed).cx
    merged = index.merge(survivor, subsumed, BY_HAND)
    asked = people(index)
    assert asked.global_id_of(old) is None
    assert asked.person_of(old) == survivor
    assert {old, cx("A"), cx("B")} <= asked.linked_to(survivor)
    assert merged.decision_id is not None
    index.take_back(merged.decision_id, BY_HAND)
    asked = people(index)
    assert asked.global_id_of(old) == subsumed
    assert asked.person_of(old) == subsumed
    assert old not in asked.linked_to(survivor)


def test_a_chain_of_merges_ends_at_the_last_survivor(index: PatientIndex) -> None:
    first, second, third = (know(index, name) for name in "ABC")
    index.merge(second, first, BY_HAND)
    index.merge(third, second, BY_HAND)
    asked = people(index)
    own = {index.global_identifier(one).cx for one in (first, second, third)}
    assert own <= asked.linked_to(third)
    assert {asked.person_of(one) for one in own} == {third}


def test_a_new_document_is_linked_by_its_source_where_that_is_the_same_person(
    index: PatientIndex,
) -> None:
    person = know(index, "A")
    know(index, "L", TOWN)
    index.link(PatientIdentifier("L", TOWN), person, BY_HAND)
    know(index, "M", TOWN)
    asked = people(index)
    with_namespace = "L^^^T1&1.2.156.2&ISO"
    assert asked.linked_identifier(cx("A"), cx("L", TOWN)) == cx("L", TOWN)
    assert asked.linked_identifier(cx("A"), with_namespace) == cx("L", TOWN)
    for foreign in (cx("M", TOWN), cx("unknown", TOWN), "nonsense", ""):
        assert asked.linked_identifier(cx("A"), foreign) == cx("A")


def test_an_unlinked_document_keeps_what_was_submitted(index: PatientIndex) -> None:
    one = document("X^^^&1.9.9&ISO", "Y^^^&1.9.9&ISO")
    assert people(index).current([one]) == [one]
    assert people(index).patient_id_of(replace(one, linked_identifier="?")) == one.patient_id
