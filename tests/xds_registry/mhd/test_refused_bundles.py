"""ITI-65: what is refused, by which rule and at which place."""

import base64

from access_control.model import Role
from hub_kernel.fhir.server import Endpoint, FhirApplication
from tests.xds_registry.hub import Hub
from tests.xds_registry.mhd.endpoint import (
    Fhir,
    TestDoor,
    binary,
    document,
    entry,
    full_url,
    issues,
    location,
    one_document,
    provide,
    submission_set,
)
from tests.xds_registry.mhd.provided import kept_counts


def test_an_unknown_patient_is_refused_by_name_of_rule_and_place(fhir: Fhir) -> None:
    answer = fhir.post("", one_document())
    assert answer.status_code == 422
    said = {one["expression"][0]: one for one in issues(answer)}
    issue = said["Bundle.entry[0].resource.subject"]
    assert {"code": "XDSUnknownPatientId"} in issue["details"]["coding"]
    assert "患者" in issue["details"]["text"] and "patient" in issue["details"]["text"]
    assert kept_counts(fhir) == (0, 0, 0)


def test_codes_of_another_region_are_refused_with_what_is_allowed(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    wrong = {"coding": [{"system": "http://loinc.org", "code": "99999-9"}]}
    answer = fhir.post("", one_document(type=wrong))
    assert answer.status_code == 422
    (issue,) = issues(answer)
    assert issue["expression"] == ["Bundle.entry[1].resource.type"]
    assert "99999-9" in issue["details"]["text"]
    assert "11488-4^^2.16.840.1.113883.6.1" in issue["details"]["text"]


def test_everything_wrong_is_said_at_once(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = document()
    sent["content"][0]["attachment"] |= {"size": 7, "contentType": "application/x-odd"}
    del sent["context"]["facilityType"]
    sent["securityLabel"] = [{"coding": [{"system": "urn:oid:1.2", "code": "X"}]}]
    bundle = provide(
        entry(submission_set("set", full_url("report")), "set"),
        entry(sent, "report"),
        entry(binary(), "report binary"),
    )
    places = {one["expression"][0] for one in issues(fhir.post("", bundle))}
    base = "Bundle.entry[1].resource"
    assert {
        f"{base}.content[0].attachment.size",
        f"{base}.content[0].attachment.contentType",
    } <= places
    assert {f"{base}.securityLabel", f"{base}.context.facilityType"} <= places


def test_a_wrong_hash_leaves_nothing_behind(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    sent["entry"][2] = entry(binary(b"something else"), "report binary")
    answer = fhir.post("", sent)
    assert answer.status_code == 422
    assert {one["expression"][0] for one in issues(answer)} == {
        "Bundle.entry[1].resource.content[0].attachment.hash",
        "Bundle.entry[1].resource.content[0].attachment.size",
    }
    assert kept_counts(fhir) == (0, 0, 0)


def test_the_hash_of_the_profiles_own_examples_is_understood(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    attachment = sent["entry"][1]["resource"]["content"][0]["attachment"]
    hexadecimal = base64.b64decode(attachment["hash"]).hex().encode()
    attachment["hash"] = base64.b64encode(hexadecimal).decode()
    assert fhir.post("", sent).status_code == 200


def test_one_bad_document_of_two_refuses_both(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    bad = document("second", category=[{"coding": [{"system": "urn:oid:1.2", "code": "NO"}]}])
    sent = provide(
        entry(submission_set("set", full_url("first"), full_url("second")), "set"),
        entry(document("first"), "first"),
        entry(bad, "second"),
        entry(binary(), "first binary"),
        entry(binary(), "second binary"),
    )
    answer = fhir.post("", sent)
    assert answer.status_code == 422
    assert kept_counts(fhir) == (0, 0, 0)


def test_a_relation_to_nothing_is_refused(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    nowhere = "DocumentReference/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
    answer = fhir.post(
        "", one_document(relatesTo=[{"code": "replaces", "target": {"reference": nowhere}}])
    )
    (issue,) = issues(answer)
    assert issue["expression"] == ["Bundle.entry[1].resource.relatesTo[0].target"]
    assert {"code": "UnresolvedReferenceException"} in issue["details"]["coding"]


def test_an_update_without_a_replacement_is_refused(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    first = location(fhir.post("", one_document("v1")), 1)
    sent = one_document("v2", b"better")
    sent["entry"].append(entry(document("v1", status="superseded"), "update", "PUT", first))
    answer = fhir.post("", sent)
    assert answer.status_code == 422
    assert fhir.get(first).json()["status"] == "current"


def test_what_is_no_transaction_or_has_no_submission_set_is_refused(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    assert fhir.post("", {**sent, "type": "batch"}).status_code == 400
    without = {**sent, "entry": sent["entry"][1:]}
    (issue,) = issues(fhir.post("", without))
    assert issue["details"]["coding"][0]["code"].endswith("one-submission-set")


def test_a_binary_that_nothing_leads_to_is_refused(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    sent["entry"].append(entry(binary(b"lost"), "lost"))
    (issue,) = issues(fhir.post("", sent))
    assert issue["expression"] == ["Bundle.entry[3].resource"]


def test_a_document_hosted_elsewhere_is_never_fetched(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    attachment = sent["entry"][1]["resource"]["content"][0]["attachment"]
    attachment["url"] = "http://127.0.0.1:9/secret"
    del sent["entry"][2]
    (issue,) = issues(fhir.post("", sent))
    assert {"code": "XDSMissingDocument"} in issue["details"]["coding"]


def test_a_fhir_document_must_come_serialized(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    sent["entry"][2] = entry({"resourceType": "Bundle", "type": "document"}, "report binary")
    answer = fhir.post("", sent)
    assert "FHIRDocumentNotSupported" in answer.text


def test_an_element_that_r4_does_not_have_is_refused_with_its_path(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document()
    sent["entry"][1]["resource"]["indexed"] = "2013-07-01T23:11:33+10:00"
    answer = fhir.post("", sent)
    assert answer.status_code == 400
    assert issues(answer)[0]["expression"] == ["Bundle.entry[1].resource.indexed"]


def test_what_changes_the_meaning_or_is_not_current_is_refused(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    strange = [{"url": "urn:x:not", "valueBoolean": True}]
    sent = one_document(status="superseded", modifierExtension=strange)
    places = {one["expression"][0] for one in issues(fhir.post("", sent))}
    base = "Bundle.entry[1].resource"
    assert places == {f"{base}.status", f"{base}.modifierExtension"}


def test_who_may_not_submit_is_refused_before_anything_is_read(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    assert fhir.as_(Role.RADIOLOGIST).post("", one_document()).status_code == 403
    assert (
        fhir.as_(Role.DOCUMENT_SOURCE, frozenset({"t2"})).post("", one_document()).status_code
        == 422
    )
    assert (
        fhir.as_(Role.DOCUMENT_SOURCE, frozenset({"t1"})).post("", one_document()).status_code
        == 200
    )


def test_what_is_longer_than_may_be_sent_is_refused_unread(hub: Hub) -> None:
    services = [hub.registry.documents_over_fhir]
    application = FhirApplication(TestDoor(hub), services, Endpoint(), hub.clock)
    token = hub.token("source", None, Role.DOCUMENT_SOURCE)
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SCRIPT_NAME": "/fhir",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "CONTENT_TYPE": "application/fhir+json",
        "CONTENT_LENGTH": str(33 * 1024**2),
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "hub",
        "SERVER_PORT": "80",
    }
    body = b"".join(application(environ, lambda status, _headers: statuses.append(status)))
    assert [one[:3] for one in statuses] == ["413"]
    assert b"33554432" in body
