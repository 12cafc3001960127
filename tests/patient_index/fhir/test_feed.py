"""ITI-104: what a source says about its patients (PIXm 2:3.104.4)."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings

from access_control.model import Role
from hub_kernel.fhir.xml_format import write_xml
from tests.patient_index.fhir.hub import (
    ALIAS,
    MOTHERS,
    NUMBER,
    SYSTEM_1,
    SYSTEM_2,
    SYSTEM_GLOBAL,
    SYSTEM_ID,
    FhirHub,
    Json,
    identifier,
    ids,
    outcome,
    patient,
)
from tests.patient_index.fhir.test_formats import patients

BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"


class TestRegister:
    def test_a_new_patient_is_created_and_found(self, hub: FhirHub) -> None:
        response = hub.feed(patient("L-1"))
        assert response.status_code == 201
        location = response.headers["Location"]
        assert location.startswith(f"{hub.base}/Patient/")
        assert ids(hub.get(f"Patient?identifier={SYSTEM_1}|L-1")) == [location.rpartition("/")[2]]

    def test_the_same_message_again_changes_nothing(self, hub: FhirHub) -> None:
        first = hub.feed(patient("L-1"))
        again = hub.feed(patient("L-1"))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.headers["Location"] == again.headers["Location"]
        assert len(hub.patients.history(identifier("L-1"))) == 1

    def test_a_revision_is_answered_with_200_and_told(self, hub: FhirHub) -> None:
        global_id = hub.fed(patient("L-1"))
        hub.clock.advance(minutes=1)
        response = hub.feed(patient("L-1", birthDate="1961-05-06"))
        assert response.status_code == 200
        assert hub.get(f"Patient/{global_id}").json()["birthDate"] == "1961-05-06"

    def test_xml_says_the_same(self, hub: FhirHub) -> None:
        response = hub.feed(patient("L-1"))
        body = write_xml(patient("L-1")).decode()
        params = {"identifier": f"{SYSTEM_1}|L-1"}
        headers = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
        again = hub.send("PUT", "Patient", body, params=params, headers=headers)
        assert again.status_code == 200
        assert again.headers["Location"] == response.headers["Location"]
        assert again.headers["Content-Type"].startswith("application/fhir+xml")

    def test_everything_the_hub_keeps_comes_back(self, hub: FhirHub) -> None:
        said = patient(
            "L-1",
            extension=[{"url": MOTHERS, "valueString": "李梅"}],
            telecom=[
                {"system": "phone", "value": "010-1234567"},
                {"system": "email", "value": "a@b.cn"},
            ],
            address=[
                {"use": "old", "city": "上海"},
                {"use": "home", "text": "北京市海淀区", "city": "北京", "state": "北京市",
                 "district": "海淀区", "line": ["中关村大街1号"], "postalCode": "100080"},
            ],
            deceasedBoolean=False,
            multipleBirthInteger=2,
            maritalStatus={"coding": [{"code": "M"}]},
            communication=[{"language": {"coding": [{"code": "zh-CN"}]}}],
            _birthDate={
                "extension": [{"url": BIRTH_TIME, "valueDateTime": "1960-05-06T08:30:00+08:00"}]
            },
        )  # fmt: skip
        body = hub.get(f"Patient/{hub.fed(said)}").json()
        assert body["telecom"] == [{"system": "phone", "value": "010-1234567"}]
        assert body["address"][0]["line"] == ["海淀区 中关村大街1号"]
        assert body["address"][0]["text"] == "北京市海淀区"
        assert (body["deceasedBoolean"], body["multipleBirthInteger"]) == (False, 2)
        assert body["maritalStatus"] == {"text": "M"}
        assert body["communication"][0]["language"]["coding"][0]["code"] == "zh-CN"
        assert body["extension"] == said["extension"]

    @pytest.mark.parametrize("born", ["1960", "1960-05"])
    def test_a_birth_date_without_a_day_stays_one(self, hub: FhirHub, born: str) -> None:
        body = hub.get(f"Patient/{hub.fed(patient('L-1', birthDate=born))}").json()
        assert body["birthDate"] == born

    def test_a_card_is_kept_as_stated_and_told_with_its_type(self, hub: FhirHub) -> None:
        kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                            "code": "NNCHN"}]}  # fmt: skip
        numbers = [
            {"system": SYSTEM_1, "value": "L-1"},
            {"system": SYSTEM_ID, "value": NUMBER, "type": kind},
        ]
        global_id = hub.fed(patient("L-1", identifier=numbers))
        told = hub.get(f"Patient/{global_id}").json()["identifier"]
        [card] = [one for one in told if one["system"] == SYSTEM_ID]
        assert (card["value"], card["type"]["coding"][0]["code"]) == (NUMBER, "NNCHN")

    def test_a_verified_number_links_two_townships(self, hub: FhirHub) -> None:
        number = {"system": SYSTEM_ID, "value": NUMBER}
        first = hub.fed(patient("L-1", identifier=[patient("L-1")["identifier"][0], number]))
        own = {"system": SYSTEM_2, "value": "M-1"}
        response = hub.feed(patient("M-1", SYSTEM_2, identifier=[own, number]))
        assert response.headers["Location"].endswith(first)
        coding = outcome(response)[0]["details"]["coding"][0]["code"]
        assert coding == "urn:eirhub:fhir:linked"

    def test_identifiers_in_disuse_are_let_go(self, hub: FhirHub) -> None:
        old = {"system": SYSTEM_1, "value": "L-0", "use": "old"}
        hub.fed(patient("L-1", identifier=[{"system": SYSTEM_1, "value": "L-1"}, old]))
        assert ids(hub.get(f"Patient?identifier={SYSTEM_1}|L-0")) == []

    def test_a_configured_uri_means_the_same_domain(self, hub: FhirHub) -> None:
        global_id = hub.fed(patient("L-1"))
        assert hub.fed(patient("L-1", ALIAS)) == global_id

    @pytest.mark.parametrize(
        ("prefer", "kind"),
        [
            ("", "OperationOutcome"),
            ("return=OperationOutcome", "OperationOutcome"),
            ("return=minimal", None),
            ("return=representation", "Patient"),
            ("respond-async, return = representation", "Patient"),
        ],
    )
    def test_the_sender_may_say_what_comes_back(
        self, hub: FhirHub, prefer: str, kind: str | None
    ) -> None:
        response = hub.feed(patient("L-1"), headers={"Prefer": prefer})
        assert response.status_code == 201
        assert (response.json()["resourceType"] if response.content else None) == kind

    def test_a_technician_may_feed_but_is_shown_nobody(self, hub: FhirHub) -> None:
        token = hub.token(frozenset({"t1"}), Role.TECHNICIAN)
        prefer = {"Prefer": "return=representation"}
        response = hub.feed(patient("L-1"), token, headers=prefer)
        assert response.status_code == 201
        assert response.json()["resourceType"] == "OperationOutcome"

    def test_many_at_once_are_one_person(self, hub: FhirHub) -> None:
        hub.token()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _n: hub.feed(patient("L-1")), range(24)))
        assert {one.headers["Location"] for one in found} == {found[0].headers["Location"]}
        assert sorted(one.status_code for one in found) == [200] * 23 + [201]

    def test_each_message_is_audited(self, hub: FhirHub) -> None:
        global_id = hub.fed(patient("L-1"))
        hub.feed(patient("L-1"))
        records = [(one.action, one.resource_id, one.detail) for one in hub.records()]
        assert records == [
            ("feed_patient", global_id, "ITI-104, revised"),
            ("feed_patient", global_id, "ITI-104, created"),
        ]


@settings(max_examples=60, deadline=None)
@given(patients)
def test_whatever_is_valid_is_taken_or_refused_with_a_reason(
    asked_hub: FhirHub, said: Json
) -> None:
    """And what is taken can be told again, in both formats."""
    own = {"system": SYSTEM_1, "value": "fuzz"}
    response = asked_hub.feed({**said, "identifier": [own]})
    assert response.status_code in {200, 201, 422}
    if response.status_code != 422:
        path = response.headers["Location"].removeprefix(f"{asked_hub.base}/")
        assert asked_hub.get(path).status_code == 200
        assert asked_hub.get(path, params={"_format": "xml"}).status_code == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "place"),
        [
            (patient("L-1", birthDate="1960-13-01"), "Patient.birthDate"),
            (patient("L-1", birthDate=19600506), "Patient.birthDate"),
            (patient("L-1", gender="M"), "Patient.gender"),
            (patient("L-1", name="王小东"), "Patient.name"),
            (patient("L-1", name=[{"given": "小东"}]), "Patient.name[0].given"),
            (patient("L-1", surname="王"), "Patient.surname"),
            (patient("L-2"), "Patient.identifier"),
            (patient("L-1", SYSTEM_2), "Patient.identifier"),
            (patient("L-1", identifier=[]), "Patient.identifier"),
            (patient("L-1", identifier=[{"value": "L-1"}]), "Patient.identifier[0]"),
            (patient("L-1", identifier=[{"system": SYSTEM_1}]), "Patient.identifier[0]"),
            (patient("L-1", identifier=[{"system": SYSTEM_1, "value": 1}]),
             "Patient.identifier[0].value"),
            (patient("L-1", identifier=[{"system": SYSTEM_1, "value": "L-1"},
                                        {"system": "urn:oid:9.9.9", "value": "1"}]),
             "Patient.identifier[1].system"),
            (patient("L-1", identifier=[{"system": SYSTEM_1, "value": "x" * 65}]),
             "Patient.identifier[0]"),
            (patient("L-1", name=[{"family": "a"}] * 33), "Patient.name"),
            (patient("L-1", modifierExtension=[{"url": "urn:x", "valueBoolean": True}]),
             "Patient.modifierExtension"),
            (patient("L-1", implicitRules="urn:x"), "Patient.implicitRules"),
            ({"resourceType": "Bundle", "type": "message"}, "resourceType"),
            ({"identifier": []}, "resourceType"),
        ],
    )  # fmt: skip
    def test_a_refusal_names_the_place_and_stores_nothing(
        self, asked_hub: FhirHub, body: Json, place: str
    ) -> None:
        before = asked_hub.patients.history(identifier("L-1"))
        params = {"identifier": f"{SYSTEM_1}|L-1"}
        response = asked_hub.send("PUT", "Patient", body, params=params)
        assert response.status_code == 400
        assert outcome(response)[0]["expression"] == [place]
        assert asked_hub.patients.history(identifier("L-1")) == before
        assert asked_hub.records()[0].outcome == "failure"

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("", 400),
            (f"identifier={SYSTEM_1}|", 400),
            ("identifier=L-1", 400),
            ("identifier=|L-1", 400),
            ("identifier=urn:oid:9.9.9|L-1", 400),
            ("family=wang", 400),
            (f"identifier={SYSTEM_1}|L-1&identifier={SYSTEM_1}|L-2", 412),
            (f"identifier={SYSTEM_1}|L-1&family=wang", 412),
        ],
    )
    def test_the_address_names_exactly_one_identifier(
        self, asked_hub: FhirHub, query: str, status: int
    ) -> None:
        response = asked_hub.send("PUT", f"Patient?{query}", patient("L-1"))
        assert response.status_code == status
        assert outcome(response)[0]["expression"][0].startswith("http")

    @pytest.mark.parametrize(
        ("system", "sites", "role"),
        [
            (SYSTEM_2, frozenset({"t1"}), Role.RADIOLOGIST),
            (SYSTEM_1, frozenset({"t1"}), Role.CLINICIAN),
            (SYSTEM_1, frozenset({"t1"}), Role.MANAGER),
            (SYSTEM_ID, None, Role.RADIOLOGIST),
            (SYSTEM_GLOBAL, None, Role.RADIOLOGIST),
        ],
    )
    def test_nobody_issues_in_a_domain_that_is_not_theirs(
        self, asked_hub: FhirHub, system: str, sites: frozenset[str] | None, role: Role
    ) -> None:
        token = asked_hub.token(sites, role)
        response = asked_hub.feed(patient("N-1", system), token)
        assert (response.status_code, outcome(response)[0]["code"]) == (403, "forbidden")
        assert asked_hub.records()[0].outcome == "refused"
        assert asked_hub.patients.resolve(identifier("N-1")) is None

    def test_the_rules_of_the_index_are_named_with_their_element(self, asked_hub: FhirHub) -> None:
        response = asked_hub.feed(patient("L-9", birthDate="2999-01-01"))
        assert response.status_code == 422
        issue = outcome(response)[0]
        assert (issue["code"], issue["expression"]) == ("business-rule", ["Patient.birthDate"])

    def test_taking_out_of_use_without_a_merge_is_not_offered(self, asked_hub: FhirHub) -> None:
        response = asked_hub.feed(patient("L-1", active=False))
        assert (response.status_code, outcome(response)[0]["code"]) == (422, "not-supported")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", f"Patient?identifier={SYSTEM_1}|L-1", "GET, PUT"),
            ("POST", "Patient", "GET, PUT"),
            ("PUT", "Patient/P000000000000", "GET"),
            ("DELETE", "Patient/P000000000000", "GET"),
            ("PATCH", "Patient", "GET, PUT"),
        ],
    )
    def test_what_is_not_offered_says_what_is(
        self, asked_hub: FhirHub, method: str, path: str, allowed: str
    ) -> None:
        response = asked_hub.send(method, path, patient("L-1"))
        assert (response.status_code, response.headers["Allow"]) == (405, allowed)
        [issue] = outcome(response)
        text = issue["details"]["text"]
        assert issue["diagnostics"].isascii()
        assert ("不删除" in text) == (method == "DELETE")
        assert ("不支持" in text) == (method != "DELETE")
        assert asked_hub.get(f"Patient?identifier={SYSTEM_1}|L-1").json()["total"] == 1
