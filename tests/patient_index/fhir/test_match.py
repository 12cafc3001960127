"""ITI-119: who may this be?"""

import pytest

from access_control.model import Role
from tests.patient_index.fhir.hub import (
    SYSTEM_1,
    SYSTEM_2,
    FhirHub,
    Json,
    ids,
    outcome,
    patient,
)

MATCH = "Patient/$match"
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


def parameters(resource: Json, **more: Json) -> Json:
    given = [{"name": name, **value} for name, value in more.items()]
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": resource}, *given],
    }


def asked(**more: object) -> Json:
    """What somebody knows of a person without a number."""
    return {key: value for key, value in patient(**more).items() if key != "identifier"}


def entries(body: Json) -> list[Json]:
    found: list[Json] = body.get("entry", [])
    return found


def test_a_known_number_is_a_certain_match(hub: FhirHub) -> None:
    global_id = hub.fed(patient("L-1"))
    response = hub.send("POST", MATCH, parameters(patient("L-1")))
    [entry] = entries(response.json())
    assert entry["resource"]["id"] == global_id
    assert entry["search"]["score"] == 1
    assert entry["search"]["extension"] == [{"url": GRADE, "valueCode": "certain"}]
    assert entry["fullUrl"] == f"{hub.base}/Patient/{global_id}"


def test_a_bare_patient_asks_the_same(hub: FhirHub) -> None:
    hub.fed(patient("L-1"))
    wrapped = hub.send("POST", MATCH, parameters(patient("L-1")))
    assert hub.send("POST", MATCH, patient("L-1")).json() == wrapped.json()


def test_every_entry_has_a_score_and_a_grade_and_the_likeliest_comes_first(hub: FhirHub) -> None:
    hub.fed(patient("L-1"))
    hub.fed(patient("M-1", SYSTEM_2, birthDate="1960-05-07"))
    hub.fed(patient("M-2", SYSTEM_2, birthDate="1990-01-01", gender="female"))
    found = entries(hub.send("POST", MATCH, asked()).json())
    assert len(found) >= 2
    scores = [one["search"]["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for one in found:
        assert one["search"]["mode"] == "match"
        assert [extension["url"] for extension in one["search"]["extension"]] == [GRADE]


def test_nobody_is_an_empty_bundle_and_no_error(hub: FhirHub) -> None:
    body = hub.send("POST", MATCH, asked()).json()
    assert (body["type"], body["total"], entries(body)) == ("searchset", 0, [])


def test_count_bounds_the_answer(hub: FhirHub) -> None:
    numbers = [{"system": SYSTEM_1, "value": value} for value in ("L-1", "L-2", "L-3")]
    for place, number in enumerate(numbers):
        hub.fed(patient("x", identifier=[number], birthDate=f"198{place}-01-01"))
    question = asked(birthDate="1999-09-09") | {"identifier": numbers}
    everybody = ids(hub.send("POST", MATCH, parameters(question)))
    assert len(everybody) == 3
    some = parameters(question, count={"valueInteger": 2})
    assert ids(hub.send("POST", MATCH, some)) == everybody[:2]


def test_only_certain_matches_answers_one_person_or_nobody(hub: FhirHub) -> None:
    certain = {"onlyCertainMatches": {"valueBoolean": True}}
    global_id = hub.fed(patient("L-1"))
    hub.fed(patient("L-2", birthDate="1980-01-01"))
    assert ids(hub.send("POST", MATCH, parameters(patient("L-1"), **certain))) == [global_id]
    numbers = [{"system": SYSTEM_1, "value": value} for value in ("L-1", "L-2")]
    two = asked() | {"identifier": numbers}
    assert ids(hub.send("POST", MATCH, parameters(two, **certain))) == []
    assert len(ids(hub.send("POST", MATCH, parameters(two)))) == 2


def test_numbers_of_unknown_systems_do_not_spoil_a_question(hub: FhirHub) -> None:
    global_id = hub.fed(patient("L-1"))
    numbers = [{"system": "urn:oid:9.9.9", "value": "1"}, {"system": SYSTEM_1, "value": "L-1"},
               {"value": "no system"}]  # fmt: skip
    question = asked() | {"identifier": numbers}
    assert ids(hub.send("POST", MATCH, question)) == [global_id]


def test_a_question_stores_nothing(hub: FhirHub) -> None:
    hub.send("POST", MATCH, patient("L-9"))
    assert ids(hub.get("Patient?family=王")) == []


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": []},
        parameters({"resourceType": "Bundle", "type": "collection"}),
        parameters({"resourceType": "Observation"}),
        parameters({"gender": "male"}),
        parameters(patient(), count={"valueInteger": 0}),
        parameters(patient(), count={"valueInteger": -1}),
        parameters(patient(), count={"valueString": "3"}),
        parameters(patient(), count={"valueInteger": 10**12}),
        parameters(patient(), onlyCertainMatches={"valueString": "true"}),
        parameters(patient(), other={"valueString": "x"}),
        parameters(patient(modifierExtension=[{"url": "urn:x", "valueBoolean": True}])),
        patient(implicitRules="urn:x"),
        patient(gender=["male"]),
        patient(name="王小东"),
        patient(identifier=[{"value": 7}]),
        {"resourceType": "Bundle", "type": "collection"},
        [],
        "{",
        b"\x00",
        b"",
    ],
)
def test_a_malformed_question_is_refused_with_its_place(asked_hub: FhirHub, body: object) -> None:
    response = asked_hub.send("POST", MATCH, body)
    assert response.status_code == 400
    assert all(issue["expression"] for issue in outcome(response))
    assert asked_hub.records()[0].outcome == "failure"


def test_unknown_extensions_are_no_reason_to_refuse(hub: FhirHub) -> None:
    extension = [{"url": "urn:x", "valueCodeableConcept": {"text": "?"}}]
    assert hub.send("POST", MATCH, patient(extension=extension)).status_code == 200


def test_nobody_unknown_at_the_callers_site_is_matched(hub: FhirHub) -> None:
    global_id = hub.fed(patient("L-1"))
    hub.fed(patient("M-1", SYSTEM_2, birthDate="1971-02-03"))
    question = asked() | {
        "identifier": [
            {"system": SYSTEM_1, "value": "L-1"},
            {"system": SYSTEM_2, "value": "M-1"},
        ]
    }
    at_1 = hub.token(frozenset({"t1"}), Role.CLINICIAN)
    assert ids(hub.send("POST", MATCH, question, at_1)) == [global_id]


def test_what_was_found_is_audited_person_by_person(hub: FhirHub) -> None:
    global_id = hub.fed(patient("L-1"))
    hub.send("POST", MATCH, patient("L-1"))
    record = hub.records()[0]
    assert (record.action, record.resource_id) == ("find_patient", global_id)
    assert record.detail == "ITI-119, certain"
