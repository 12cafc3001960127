"""ITI-105: one document inside its DocumentReference."""

import base64
from typing import Any

import pytest

from access_control.model import Role
from tests.xds_registry.mhd.endpoint import TEXT, Fhir, document, found, issues


def published(data: bytes = TEXT, **changes: Any) -> dict[str, Any]:
    said = document(data=data, **changes)
    attachment = said["content"][0]["attachment"]
    del attachment["url"]
    attachment["data"] = base64.b64encode(data).decode()
    return said


@pytest.fixture
def person(fhir: Fhir) -> str:
    return fhir.hub.know("L-1")


def test_a_document_is_published_in_one_resource(fhir: Fhir, person: str) -> None:
    answer = fhir.post("DocumentReference", published())
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert answer.headers["Location"] == f"{fhir.base}/DocumentReference/{created['id']}"
    assert fhir.get(answer.headers["Location"]).json() == created
    attachment = created["content"][0]["attachment"]
    assert "data" not in attachment
    assert fhir.get(attachment["url"]).content == TEXT


def test_a_submission_set_is_derived_from_it(fhir: Fhir, person: str) -> None:
    fhir.post("DocumentReference", published())
    (the_set,) = found(fhir.get("List", patient=person, code="submissionset"))
    assert len(the_set["entry"]) == 1
    assert the_set["title"] == "报告 report"


def test_xml_is_taken_as_json_is(fhir: Fhir, person: str) -> None:
    assert fhir.post_xml("DocumentReference", published()).status_code == 201


def test_who_wants_no_body_gets_none(fhir: Fhir, person: str) -> None:
    answer = fhir.post("DocumentReference", published(), Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (201, b"")


def test_a_document_without_an_identifier_gets_one(fhir: Fhir, person: str) -> None:
    said = published()
    del said["masterIdentifier"]
    created = fhir.post("DocumentReference", said).json()
    assert created["masterIdentifier"]["value"].startswith("urn:oid:2.25.")


def test_a_replacement_supersedes(fhir: Fhir, person: str) -> None:
    first = fhir.post("DocumentReference", published()).json()["id"]
    relates = [{"code": "replaces", "target": {"reference": f"DocumentReference/{first}"}}]
    said = published(b"better", relatesTo=relates)
    said["masterIdentifier"]["value"] = "urn:oid:1.2.3.4.5"
    assert fhir.post("DocumentReference", said).status_code == 201
    assert fhir.get(f"DocumentReference/{first}").json()["status"] == "superseded"


def test_without_document_or_patient_it_is_refused(fhir: Fhir, person: str) -> None:
    answer = fhir.post("DocumentReference", document())
    assert answer.status_code == 422
    assert issues(answer)[0]["expression"] == ["DocumentReference.content[0].attachment.data"]
    nobody = published()
    del nobody["subject"]
    answer = fhir.post("DocumentReference", nobody)
    assert issues(answer)[0]["expression"] == ["DocumentReference.subject"]


def test_a_refusal_names_the_element(fhir: Fhir, person: str) -> None:
    wrong = [{"coding": [{"system": "urn:oid:1.2.3", "code": "X"}]}]
    (issue,) = issues(fhir.post("DocumentReference", published(securityLabel=wrong)))
    assert issue["expression"] == ["DocumentReference.securityLabel"]


def test_it_needs_the_right_to_submit_and_is_audited(fhir: Fhir, person: str) -> None:
    assert fhir.as_(Role.RADIOLOGIST).post("DocumentReference", published()).status_code == 403
    assert fhir.audited()[0].outcome == "refused"
    fhir.post("DocumentReference", published())
    assert fhir.audited()[0].transaction == "ITI-105"
