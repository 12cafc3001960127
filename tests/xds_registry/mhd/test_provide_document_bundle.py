"""ITI-65: what a source sends is registered as a whole, or refused with every reason."""

from tests.xds_registry.mhd.endpoint import (
    LOCAL_SYSTEM,
    TEXT,
    Fhir,
    binary,
    document,
    entry,
    folder,
    found,
    full_url,
    issues,
    location,
    oid,
    one_document,
    provide,
    submission_set,
)
from tests.xds_registry.mhd.provided import documents_of, person


def test_a_document_is_registered_and_can_be_read_back(fhir: Fhir) -> None:
    person = fhir.hub.know("L-1")
    answer = fhir.post("", one_document())
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["201 Created"] * 3
    read = fhir.get(location(answer, 1)).json()
    assert read["masterIdentifier"]["value"] == f"urn:oid:{oid('report')}"
    assert read["subject"]["reference"] == f"Patient/{person}"
    assert read["category"][0]["coding"][0]["code"] == "REPORTS"
    attachment = read["content"][0]["attachment"]
    assert attachment["url"] == f"{fhir.base}/{location(answer, 2)}"
    assert attachment["creation"] == "2026-11-20T00:30:00Z"
    assert attachment["hash"] == document()["content"][0]["attachment"]["hash"]
    assert fhir.get(attachment["url"]).content == TEXT


def test_xml_is_taken_as_json_is(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    answer = fhir.post_xml("", one_document())
    assert fhir.get(location(answer, 1)).json()["description"] == "first reading"


def test_authors_and_source_patient_come_back_as_they_were_sent(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    read = fhir.get(location(fhir.post("", one_document()), 1)).json()
    contained = {one["resourceType"]: one for one in read["contained"]}
    assert contained["Practitioner"]["name"] == [{"family": "李", "given": ["四"]}]
    assert contained["Practitioner"]["identifier"][0]["value"] == "D-7"
    assert contained["Organization"]["name"] == "一镇卫生院"
    assert contained["PractitionerRole"]["specialty"] == [{"text": "放射科"}]
    assert contained["Patient"]["birthDate"] == "1960-05-06"
    assert contained["Patient"]["identifier"][0]["value"] == "L-1"


def test_a_patient_is_meant_by_the_id_of_this_endpoint(fhir: Fhir) -> None:
    person = fhir.hub.know("L-1")
    subject = {"reference": f"{fhir.base}/Patient/{person}"}
    sent = provide(
        entry(submission_set("set", full_url("report"), subject=subject), "set"),
        entry(document(subject=subject), "report"),
        entry(binary(), "report binary"),
    )
    read = fhir.get(location(fhir.post("", sent), 1)).json()
    assert read["subject"]["reference"] == f"Patient/{person}"


def test_a_patient_in_the_bundle_is_recognised_by_an_identifier(fhir: Fhir) -> None:
    person = fhir.hub.know("L-1")
    subject = {"reference": full_url("patient")}
    carried = {
        "resourceType": "Patient",
        "identifier": [
            {"system": "urn:oid:1.2.3.99", "value": "other"},
            {"system": LOCAL_SYSTEM, "value": "L-1"},
        ],
    }
    sent = provide(
        entry(submission_set("set", full_url("report"), subject=subject), "set"),
        entry(document(subject=subject), "report"),
        entry(binary(), "report binary"),
        entry(carried, "patient"),
    )
    assert location(fhir.post("", sent), 3) == f"Patient/{person}"


def test_a_refused_submission_waits_at_the_desk_and_can_be_corrected(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    wrong = {"coding": [{"system": "http://loinc.org", "code": "99999-9"}]}
    assert fhir.post("", one_document(type=wrong)).status_code == 422
    (waiting,) = fhir.hub.registry.refused.page()
    kept = fhir.hub.registry.refused.get(waiting.refusal_id)
    corrected = kept.xml.replace("99999-9", "11528-7")
    assert fhir.hub.registry.refused.replay(waiting.refusal_id, corrected, "ada").accepted
    assert [one["type"]["coding"][0]["code"] for one in documents_of(fhir)] == ["11528-7"]


def test_minimal_metadata_is_registered_as_limited(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    subject = {"identifier": {"system": LOCAL_SYSTEM, "value": "L-1"}}
    minimal = {
        "resourceType": "DocumentReference",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{oid('m')}"},
        "status": "current",
        "subject": subject,
        "content": [{"attachment": {"contentType": "text/plain", "url": full_url("m binary")}}],
    }
    the_set = submission_set("set", full_url("m"))
    the_set["extension"] = the_set["extension"][1:]
    sent = provide(
        entry(the_set, "set"), entry(minimal, "m"), entry(binary(), "m binary"), profile="Minimal"
    )
    read = fhir.get(location(fhir.post("", sent), 1)).json()
    assert read["meta"]["profile"][0].endswith("IHE.MHD.Minimal.DocumentReference")
    assert "type" not in read


def test_uncontained_references_are_resolved_in_the_bundle(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    author = {"resourceType": "Practitioner", "name": [{"family": "Zhao", "given": ["Liu"]}]}
    sent = document(author=[{"reference": full_url("author")}])
    bundle = provide(
        entry(submission_set("set", full_url("report")), "set"),
        entry(sent, "report"),
        entry(binary(), "report binary"),
        entry(author, "author"),
        profile="UnContained.Comprehensive",
    )
    answer = fhir.post("", bundle)
    assert answer.status_code == 200, answer.text
    assert (
        len(found(fhir.get("DocumentReference", patient=person(fhir), **{"author.family": "zhao"})))
        == 1
    )


def test_a_replacement_supersedes_and_says_so_on_both_sides(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    first = location(fhir.post("", one_document("v1")), 1)
    relates = [{"code": "replaces", "target": {"reference": first}}]
    sent = one_document("v2", b"better", relatesTo=relates)
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "DocumentReference.status"},
                    {"name": "value", "valueCode": "superseded"},
                ],
            }
        ],
    }
    sent["entry"].append(entry(parameters, "patch", "PATCH", first))
    answer = fhir.post("", sent)
    assert answer.json()["entry"][3]["response"]["status"] == "200 OK"
    assert fhir.get(first).json()["status"] == "superseded"
    read = fhir.get(location(answer, 1)).json()
    assert read["relatesTo"] == [{"code": "replaces", "target": {"reference": first}}]
    assert fhir.get(first.replace("DocumentReference", "Binary")).status_code == 410


def test_transforms_and_appends_relate_to_what_is_registered_by_identifier(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    first = location(fhir.post("", one_document("v1")), 1)
    number = {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{oid('v1')}"}
    for code in ("transforms", "appends"):
        relates = [{"code": code, "target": {"identifier": number}}]
        answer = fhir.post("", one_document(code, code.encode(), relatesTo=relates))
        read = fhir.get(location(answer, 1)).json()
        assert read["relatesTo"] == [{"code": code, "target": {"reference": first}}]


def test_a_folder_is_made_and_filled_again(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    sent = one_document("first")
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": full_url("bag")}})
    sent["entry"].append(entry(folder("bag", full_url("first")), "bag"))
    answer = fhir.post("", sent)
    bag = location(answer, 3)
    assert [one["item"]["reference"] for one in fhir.get(bag).json()["entry"]] == [
        location(answer, 1)
    ]
    more = one_document("second", b"second")
    held = folder("bag", location(answer, 1), full_url("second"))
    more["entry"].append(entry(held, "bag", "PUT", bag))
    second = location(fhir.post("", more), 1)
    members = {one["item"]["reference"] for one in fhir.get(bag).json()["entry"]}
    assert members == {location(answer, 1), second}


def test_the_same_submission_again_is_a_duplicate(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    assert fhir.post("", one_document()).status_code == 200
    answer = fhir.post("", one_document())
    assert answer.status_code == 409
    assert {"code": "XDSDuplicateUniqueIdInRegistry"} in issues(answer)[0]["details"]["coding"]


def test_the_same_document_in_another_submission_is_taken(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    assert fhir.post("", one_document()).status_code == 200
    again = one_document()
    again["entry"][0] = entry(submission_set("another", full_url("report")), "another")
    assert fhir.post("", again).status_code == 200


def test_other_content_under_the_same_unique_id_is_a_conflict(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    assert fhir.post("", one_document()).status_code == 200
    other = provide(
        entry(submission_set("another", full_url("report")), "another"),
        entry(document("report", b"other"), "report"),
        entry(binary(b"other"), "report binary"),
    )
    answer = fhir.post("", other)
    assert answer.status_code == 409
    assert "XDSNonIdenticalHash" in answer.text


def test_a_submission_is_audited_with_what_it_registered(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    fhir.post("", one_document())
    record = fhir.audited()[0]
    assert (record.action, record.outcome, record.transaction) == (
        "submit_documents",
        "success",
        "ITI-65",
    )
    assert record.resource_id == oid("set of report")
