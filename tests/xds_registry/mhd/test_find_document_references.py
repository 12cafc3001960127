"""ITI-67: documents are found by every parameter of the profile, by whom they may be seen."""

from urllib.parse import urlencode

import pytest

from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from tests.xds_registry.mhd.endpoint import (
    LOCAL_SYSTEM,
    Fhir,
    concept,
    document,
    found,
    issues,
    location,
    oid,
    one_document,
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DCM = "http://dicom.nema.org/resources/ontology/DCM"
CLASSES = "urn:oid:1.3.6.1.4.1.19376.1.2.6.1"


@pytest.fixture
def person(fhir: Fhir) -> str:
    """Somebody with one CT report of 20 November 2026."""
    known = fhir.hub.know("L-1")
    assert fhir.post("", one_document()).status_code == 200
    return known


MATCHING = [
    ("status", "current"),
    ("identifier", f"urn:ietf:rfc:3986|urn:oid:{oid('report')}"),
    ("identifier", f"urn:oid:{oid('report')}"),
    ("category", f"{CLASSES}|REPORTS"),
    ("category", "REPORTS"),
    ("category", "IMAGES,REPORTS"),
    ("type", "http://loinc.org|11528-7"),
    ("type", "urn:oid:2.16.840.1.113883.6.1|11528-7"),
    ("setting", "http://snomed.info/sct|309964003"),
    ("facility", "22232009"),
    ("event", f"{DCM}|CT"),
    ("event", f"{DCM}|"),
    ("security-label", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|N"),
    ("format", "urn:ihe:iti:xds:2017:mimeTypeSufficient"),
    ("contenttype", "text/plain"),
    ("language", "zh-CN"),
    ("author.family", "李"),
    ("author.family:exact", "李"),
    ("author.given", "四"),
    ("creation", "2026-11-20"),
    ("creation", "ge2026-11-20"),
    ("creation", "lt2026-11-21"),
    ("creation", "2026-11-20T08:30:00+08:00"),
    ("date", "2026-11-20"),
    ("date", "ge2026-11-20T01:00:00Z"),
    ("period", "2026-11-19"),
    ("period", "ge2026-11-19T10:00:00+08:00"),
    ("period", "lt2026-11-20"),
    ("related:identifier", f"{LOCAL_SYSTEM}|A-77"),
    ("related:identifier", "A-77"),
    ("accession-number", "A-77"),
    ("modality", f"{DCM}|CT"),
]
MISSING = [
    ("status", "superseded"),
    ("status", "entered-in-error"),
    ("identifier", "urn:oid:1.2.3"),
    ("category", "http://loinc.org|REPORTS"),
    ("type", "11506-3"),
    ("setting", "22232009"),
    ("facility", "309964003"),
    ("event", f"{DCM}|MR"),
    ("security-label", "R"),
    ("format", "urn:ihe:iti:xds-sd:pdf:2008"),
    ("author.family", "四"),
    ("author.family", "%"),
    ("author.given", "李"),
    ("creation", "2026-11-21"),
    ("creation", "gt2026-11-20"),
    ("date", "lt2026-11-20T01:00:00Z"),
    ("period", "gt2026-11-19T10:00:00+08:00"),
    ("period", "2025"),
    ("related:identifier", "urn:oid:1.2.3|A-77"),
    ("related:identifier", "A-7"),
    ("accession-number", "A-77*"),
    ("study-instance-uid", "1.2.3"),
    ("modality", "MR"),
    ("anatomical-region", "51185008"),
]


def test_each_parameter_finds_what_it_means_and_nothing_else(fhir: Fhir, person: str) -> None:
    wrong = [
        (name, value, wanted)
        for asked, wanted in ((MATCHING, 1), (MISSING, 0))
        for name, value in asked
        if len(found(fhir.get("DocumentReference", **{"patient": person, name: value}))) != wanted
    ]
    assert wrong == []


def test_every_parameter_is_tried_above(fhir: Fhir) -> None:
    offered = {one["name"] for one in _offered(fhir)}
    tried = {name.partition(":")[0] for name, _ in MATCHING + MISSING}
    assert offered - tried <= {"_id", "patient", "patient.identifier", "bodysite"}


def test_parameters_are_and_their_values_or(fhir: Fhir, person: str) -> None:
    both = {"patient": person, "type": "11506-3,11528-7", "category": "REPORTS"}
    assert len(found(fhir.get("DocumentReference", **both))) == 1
    assert found(fhir.get("DocumentReference", **both, setting="22232009")) == []


def test_a_form_asks_as_an_address_does(fhir: Fhir, person: str) -> None:
    asked = urlencode({"patient": person, "status": "current", "_format": "xml"})
    answer = fhir.send("POST", "DocumentReference/_search", data=asked, headers=FORM)
    assert answer.headers["Content-Type"].startswith("application/fhir+xml")
    assert answer.content.count(b"<DocumentReference>") == 1


def test_a_person_is_found_under_any_of_their_identifiers(fhir: Fhir, person: str) -> None:
    wanted = {"patient.identifier": f"{LOCAL_SYSTEM}|L-1"}
    assert len(found(fhir.get("DocumentReference", **wanted))) == 1
    own = fhir.hub.patients.global_identifier(person)
    wanted = {"patient.identifier": f"urn:oid:{own.issuer.oid}|{own.value}"}
    assert len(found(fhir.get("DocumentReference", **wanted))) == 1
    wanted = {"patient:identifier": f"{LOCAL_SYSTEM}|L-1"}
    assert len(found(fhir.get("DocumentReference", **wanted))) == 1
    for absent in (f"{LOCAL_SYSTEM}|L-2", "urn:oid:1.2.3.4|L-1", "http://x|L-1", "L-1"):
        assert found(fhir.get("DocumentReference", **{"patient.identifier": absent})) == []


def test_what_names_a_document_needs_no_patient(fhir: Fhir, person: str) -> None:
    for name, value in (
        ("identifier", f"urn:oid:{oid('report')}"),
        ("accession-number", f"{LOCAL_SYSTEM}|A-77"),
        ("related:identifier", "A-77"),
    ):
        assert len(found(fhir.get("DocumentReference", **{name: value}))) == 1, name


def test_a_search_for_everybody_is_refused(fhir: Fhir, person: str) -> None:
    answer = fhir.get("DocumentReference", status="current")
    assert answer.status_code == 400
    assert issues(answer)[0]["expression"] == ["http.patient"]


def test_an_unknown_parameter_is_left_out_and_said_so(fhir: Fhir, person: str) -> None:
    answer = fhir.get("DocumentReference", patient=person, colour="red")
    assert len(found(answer)) == 1
    outcome = answer.json()["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert "colour" in outcome["resource"]["issue"][0]["details"]["text"]
    assert "colour" not in answer.json()["link"][0]["url"]
    strict = {"Prefer": "handling=strict"}
    asked = {"patient": person, "colour": "red"}
    assert fhir.send("GET", "DocumentReference", params=asked, headers=strict).status_code == 400


def test_a_value_that_means_nothing_is_refused(fhir: Fhir, person: str) -> None:
    for name, value in (
        ("creation", "tomorrow"),
        ("type:text", "x"),
        ("period", "2026-13"),
        ("_count", "many"),
        ("_page", "nonsense"),
    ):
        answer = fhir.get("DocumentReference", **{"patient": person, name: value})
        assert answer.status_code == 400, name
        assert issues(answer)[0]["expression"] == [f"http.{name.partition(':')[0]}"]


def test_pages_go_on_where_the_last_one_ended(fhir: Fhir, person: str) -> None:
    for number in range(4):
        sent = one_document(f"d{number}", str(number).encode())
        attachment = sent["entry"][1]["resource"]["content"][0]["attachment"]
        attachment["creation"] = f"2026-11-1{number}"
        assert fhir.post("", sent).status_code == 200
    answer = fhir.get("DocumentReference", patient=person, _count=2)
    seen = found(answer)
    assert answer.json()["total"] == 5
    fhir.post("", one_document("late", b"late"))
    while links := [one["url"] for one in answer.json()["link"] if one["relation"] == "next"]:
        answer = fhir.get(links[0])
        seen += found(answer)
        assert answer.json()["total"] == 5
    assert len({one["id"] for one in seen}) == len(seen) == 5
    created = [one["content"][0]["attachment"]["creation"] for one in seen]
    assert created == sorted(created, reverse=True)
    assert fhir.get("DocumentReference", patient=person, _count=0).json()["total"] == 6


def test_a_site_finds_its_own_patients_alone(fhir: Fhir, person: str) -> None:
    other = fhir.as_(Role.CLINICIAN, frozenset({"t2"}))
    assert found(other.get("DocumentReference", patient=person)) == []
    assert found(other.get("DocumentReference", **{"accession-number": "A-77"})) == []
    own = fhir.as_(Role.CLINICIAN, frozenset({"t1"}))
    (seen,) = found(own.get("DocumentReference", patient=person))
    assert other.get(f"DocumentReference/{seen['id']}").status_code == 404
    assert own.get(f"DocumentReference/{seen['id']}").status_code == 200


def test_who_refuses_everybody_is_found_by_nobody(fhir: Fhir, person: str) -> None:
    _refuse_everybody(fhir, person)
    assert found(fhir.get("DocumentReference", patient=person)) == []
    refused = [one for one in fhir.audited() if one.outcome == "refused"]
    assert refused[0].resource_id == person


def test_a_search_is_audited_for_the_person_without_names(fhir: Fhir, person: str) -> None:
    fhir.get("DocumentReference", patient=person, **{"author.family": "李"})
    record = fhir.audited()[0]
    assert (record.action, record.transaction) == ("query_registry", "ITI-67")
    assert (record.resource_kind, record.resource_id) == ("patient", person)
    assert "李" not in record.query and "DocumentReference?" in record.query


def test_a_read_answers_like_a_search(fhir: Fhir, person: str) -> None:
    (seen,) = found(fhir.get("DocumentReference", patient=person))
    assert fhir.get(f"DocumentReference/{seen['id']}").json() == seen
    assert fhir.get("DocumentReference/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee").status_code == 404


def test_without_a_token_nobody_learns_anything(fhir: Fhir, person: str) -> None:
    nobody = Fhir(fhir.hub, fhir.base, "none")
    assert nobody.get("DocumentReference", patient=person).status_code == 401
    assert nobody.get("metadata").status_code == 200


def test_a_document_without_time_of_service_is_never_left_out(fhir: Fhir) -> None:
    person = fhir.hub.know("L-1")
    context = {key: value for key, value in document()["context"].items() if key != "period"}
    assert fhir.post("", one_document(context=context)).status_code == 200
    assert len(found(fhir.get("DocumentReference", patient=person, period="1999"))) == 1


def test_an_encounter_is_kept_as_a_reference_id(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    context = document()["context"]
    context["encounter"] = [{"identifier": {"system": LOCAL_SYSTEM, "value": "V-1"}}]
    read = fhir.get(location(fhir.post("", one_document(context=context)), 1)).json()
    (encounter,) = read["context"]["encounter"]
    assert encounter["identifier"]["value"] == "V-1"
    kinds = encounter["identifier"]["type"]
    assert kinds == concept("urn:ietf:rfc:3986", "urn:ihe:iti:xds:2015:encounterId")


def _offered(fhir: Fhir) -> list[dict[str, str]]:
    statement = fhir.get("metadata").json()
    (resource,) = [
        one for one in statement["rest"][0]["resource"] if one["type"] == "DocumentReference"
    ]
    listed: list[dict[str, str]] = resource["searchParam"]
    return listed


def _refuse_everybody(fhir: Fhir, person: str) -> None:
    kind = ConsentKind.REFUSE
    fhir.hub.consents.record(person, kind, EVERYONE, by="clerk", reason="at the desk")
