"""ITI-66: submission sets and folders are found by every parameter of the profile."""

import pytest

from access_control.model import Role
from tests.xds_registry.mhd.endpoint import (
    LIST_TYPES,
    LOCAL_SYSTEM,
    Fhir,
    entry,
    folder,
    found,
    full_url,
    issues,
    oid,
    one_document,
)

LOINC_SET = "http://loinc.org|18748-4"
IMAGES = "urn:oid:1.3.6.1.4.1.19376.1.2.6.1|IMAGES"


@pytest.fixture
def person(fhir: Fhir) -> str:
    """Somebody with one submission, and one folder in it."""
    known = fhir.hub.know("L-1")
    sent = one_document()
    the_set = sent["entry"][0]["resource"]
    the_set["entry"].append({"item": {"reference": full_url("bag")}})
    the_set["contained"] = [
        {"resourceType": "Practitioner", "id": "p", "name": [{"family": "赵", "given": ["六"]}]}
    ]
    the_set["source"] = {"reference": "#p"}
    the_set["note"] = [{"text": "for the second opinion"}]
    sent["entry"].append(entry(folder("bag", full_url("report")), "bag"))
    assert fhir.post("", sent).status_code == 200
    return known


MEANING = [
    ("status", "current", 1, 1),
    ("status", "superseded", 0, 0),
    ("code", "submissionset", 1, 0),
    ("code", f"{LIST_TYPES}|folder", 0, 1),
    ("code", "submissionset,folder", 1, 1),
    ("designationType", LOINC_SET, 1, 0),
    ("designationType", IMAGES, 0, 1),
    ("identifier", f"urn:ietf:rfc:3986|urn:oid:{oid('set of report')}", 1, 0),
    ("identifier", f"urn:oid:{oid('bag')}", 0, 1),
    ("sourceId", "urn:oid:1.2.3.4", 1, 0),
    ("sourceId", "1.2.3.4", 1, 0),
    ("sourceId", "1.2.3", 0, 0),
    ("source.family", "赵", 1, 0),
    ("source.given", "六", 1, 0),
    ("source.given", "七", 0, 0),
    ("date", "le2026-11-20", 1, 0),
    ("date", "ge2026-11-20", 1, 1),
    ("date", "lt2026-11-20", 0, 0),
]


def test_each_parameter_finds_what_it_means(fhir: Fhir, person: str) -> None:
    for name, value, sets, bags in MEANING:
        lists = found(fhir.get("List", **{"patient": person, name: value}))
        codes = [one["code"]["coding"][0]["code"] for one in lists]
        assert (codes.count("submissionset"), codes.count("folder")) == (sets, bags), (name, value)


def test_a_submission_set_says_all_that_was_submitted(fhir: Fhir, person: str) -> None:
    (the_set,) = found(fhir.get("List", patient=person, code="submissionset"))
    assert the_set["mode"] == "working" and the_set["status"] == "current"
    assert the_set["date"] == "2026-11-20T01:00:00Z"
    assert the_set["note"] == [{"text": "for the second opinion"}]
    assert the_set["subject"]["reference"] == f"Patient/{person}"
    kinds = [one["item"]["reference"].partition("/")[0] for one in the_set["entry"]]
    assert sorted(kinds) == ["DocumentReference", "List"]
    for one in the_set["entry"]:
        assert fhir.get(one["item"]["reference"]).status_code == 200


def test_of_folders_what_is_only_of_submission_sets_is_left_out(fhir: Fhir, person: str) -> None:
    asked = {"patient": person, "code": "folder", "sourceId": "urn:oid:9.9"}
    answer = fhir.get("List", **asked)
    assert len(found(answer)) == 1
    assert len(answer.json()["entry"]) == 1


def test_a_form_asks_as_an_address_does(fhir: Fhir, person: str) -> None:
    answer = fhir.send(
        "POST", "List/_search", data={"patient.identifier": f"{LOCAL_SYSTEM}|L-1", "code": "folder"}
    )
    assert len(found(answer)) == 1


def test_a_list_is_read_by_who_may_see_its_patient(fhir: Fhir, person: str) -> None:
    for one in found(fhir.get("List", patient=person)):
        assert fhir.get(f"List/{one['id']}").json() == one
        other = fhir.as_(Role.CLINICIAN, frozenset({"t2"}))
        assert other.get(f"List/{one['id']}").status_code == 404
        assert found(other.get("List", patient=person)) == []


def test_a_search_for_everybody_is_refused(fhir: Fhir, person: str) -> None:
    answer = fhir.get("List", code="folder", status="current")
    assert answer.status_code == 400
    assert issues(answer)[0]["expression"] == ["http.patient"]


def test_a_search_is_audited_as_iti_66(fhir: Fhir, person: str) -> None:
    fhir.get("List", patient=person, code="folder")
    record = fhir.audited()[0]
    assert (record.action, record.transaction, record.resource_id) == (
        "query_registry",
        "ITI-66",
        person,
    )
