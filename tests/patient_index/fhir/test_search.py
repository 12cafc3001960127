"""ITI-78: whom a search finds, and who may find whom (PDQm 2:3.78.4.1)."""

from datetime import timedelta

import pytest
import requests

from access_control.model import Role
from tests.patient_index.fhir.hub import (
    SYSTEM_1,
    SYSTEM_2,
    SYSTEM_GLOBAL,
    SYSTEM_ID,
    T2,
    FhirHub,
    checked,
    identifier,
    ids,
    outcome,
    patient,
)
from tests.patient_index.fhir.town import DECIDED, Town


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("family=王", "wang"),
        ("family=wang", "wang"),
        ("family=WANG", "wang"),
        ("family=Wan", "wang"),
        ("family=zhao", "zhao"),
        ("family=smith", "smith"),
        ("given=小东", "wang"),
        ("given=xiaodong", "wang"),
        ("given=mary", "smith"),
        ("name=王小东", "wang"),
        ("name=wangxiaodong", "wang"),
        ("name=wxd", "wang"),
        ("family=wang&given=xiaodong", "wang"),
        ("family=wang&given=min", ""),
        ("family=wang,zhao", "wang zhao"),
        ("family=wang&family=zhao", ""),
        ("family=wan&family=wang", "wang"),
        ("family=nobody", ""),
        ("gender=female", "zhao smith"),
        ("gender=female,male", "wang zhao smith"),
        ("gender=http://hl7.org/fhir/administrative-gender|male", "wang"),
        ("gender=other", ""),
        ("family=wang&gender=male", "wang"),
        ("family=wang&gender=female", ""),
        ("birthdate=1985-03-12", "zhao"),
        ("birthdate=eq1985-03-12", "zhao"),
        ("birthdate=1985-03", "zhao"),
        ("birthdate=1985", "zhao"),
        ("birthdate=ne1985", "wang smith"),
        ("birthdate=gt1971", "zhao"),
        ("birthdate=ge1971", "zhao smith"),
        ("birthdate=lt1971-12-31", "wang"),
        ("birthdate=le1971-12-31", "wang smith"),
        ("birthdate=ge1960&birthdate=lt1985", "wang smith"),
        ("birthdate=sa1985-03-11", "zhao"),
        ("birthdate=eb1960-05-06", ""),
        ("birthdate=ap1959", "wang"),
        ("birthdate=1985-03-12,1971-12-31", "zhao smith"),
        ("birthdate=1985&family=zhao", "zhao"),
        ("telecom=13812345678", "wang"),
        ("telecom=phone|138 1234 5678", "wang"),
        ("phone=13812345678", "wang"),
        ("telecom=email|13812345678", ""),
        ("telecom=1381234", ""),
        ("address=中关村", "wang"),
        ("address=北京", "wang"),
        ("address=100080", "wang"),
        ("address-city=北", "wang"),
        ("address-state=北京", "wang"),
        ("address-postalcode=100080", "wang"),
        ("address-city=上海", ""),
        ("mothersMaidenName=李梅", "wang"),
        ("mothersMaidenName=limei", "wang"),
        ("mothersMaidenName=zhang", ""),
        (f"identifier={SYSTEM_1}|L-1", "wang"),
        (f"identifier={SYSTEM_2}|L-1", ""),
        ("identifier=L-1", "wang"),
        ("identifier=|L-1", "wang"),
        (f"identifier={SYSTEM_1}|L-1,{SYSTEM_2}|M-1", "wang zhao"),
        (f"identifier={SYSTEM_1}|L-1&identifier={SYSTEM_2}|M-1", ""),
        ("identifier=urn:oid:9.9.9|L-1", ""),
        (f"identifier=urn:oid:9.9.9|L-1,{SYSTEM_2}|M-1", "zhao"),
        (f"gender=female,male,other&identifier={SYSTEM_1}|,{SYSTEM_2}|", "wang zhao smith"),
        (f"name=smith&identifier={SYSTEM_ID}|", ""),
        (f"name=zhao,smith&identifier={SYSTEM_GLOBAL}|", "zhao smith"),
        (f"family=wang&identifier={SYSTEM_2}|", ""),
        (f"gender=female&identifier={SYSTEM_2}|", "zhao smith"),
        ("family=wang&active=true", "wang"),
        ("family=wang&active=false", ""),
        ("family:exact=王", "wang"),
        ("family:exact=Wang", "wang"),
        ("family:exact=wang", ""),
        ("family:exact=Wan", ""),
        ("family:exact=wang,Smith", "smith"),
        ("given:exact=Ann", "smith"),
        ("name:exact=王小东", "wang"),
        ("address-city:exact=北京", "wang"),
        ("address-city:exact=北", ""),
        ("mothersMaidenName:exact=李梅", "wang"),
        ("family=wang&_lastUpdated=ge2026-11-21", "wang"),
        ("family=wang&_lastUpdated=gt2026-11-21", ""),
        ("family=wang&_lastUpdated=lt2026-11-21T08:00:00Z", ""),
        ("family=wang&_lastUpdated=2026-11-21", "wang"),
        ("family=wang&birthdate=", "wang"),
        ("_id=P000000000000,x", ""),
    ],
)
def test_a_search_finds_whom_it_means(town: Town, query: str, found: str) -> None:
    hub, people = town.hub, town.people
    response = hub.get(f"Patient?{query}")
    assert sorted(ids(response)) == sorted(people[name] for name in found.split())
    assert response.json()["total"] == len(found.split())


def test_both_names_of_many_criteria_have_to_hold(town: Town) -> None:
    """Alternatives in several parameters at once: each parameter has to hold."""
    hub, people = town.hub, town.people
    query = "family=wang,zhao&given=min,xiaodong&gender=female,other"
    assert ids(hub.get(f"Patient?{query}")) == [people["zhao"]]


def test_post_searches_alike_with_parameters_in_body_and_address(town: Town) -> None:
    hub, people = town.hub, town.people
    headers = hub.headers() | {"Content-Type": "application/x-www-form-urlencoded"}
    response = checked(
        requests.post(
            f"{hub.base}/Patient/_search?gender=female",
            data={"family": "赵"},
            headers=headers,
            timeout=20,
        )
    )
    assert ids(response) == [people["zhao"]]


def test_a_form_may_choose_the_format(town: Town) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = "family=wang&_format=xml"
    response = town.hub.send("POST", "Patient/_search", form, headers=headers)
    assert response.headers["Content-Type"].startswith("application/fhir+xml")


def test_the_target_domains_choose_the_identifiers(hub: FhirHub, people: dict[str, str]) -> None:
    """Case 2: identifiers outside the list of domains are left out."""
    hub.patients.link(identifier("M-1", T2), people["wang"], DECIDED)
    query = f"family=wang&identifier={SYSTEM_1}|,{SYSTEM_GLOBAL}|"
    [entry] = hub.get(f"Patient?{query}").json()["entry"]
    systems = [one["system"] for one in entry["resource"]["identifier"]]
    assert systems == [SYSTEM_GLOBAL, SYSTEM_1]


def test_an_unknown_target_domain_is_not_found(town: Town) -> None:
    """Case 4, the preferred answer."""
    hub, people = town.hub, town.people
    assert people
    response = hub.get("Patient?family=wang&identifier=urn:oid:9.9.9|")
    issue = outcome(response)[0]
    assert response.status_code == 404
    assert (issue["severity"], issue["code"], issue["diagnostics"]) == (
        "warning", "not-found", "targetSystem not found",
    )  # fmt: skip


def test_unknown_parameters_are_left_out_and_said_so(town: Town) -> None:
    hub, people = town.hub, town.people
    response = hub.get("Patient?family=wang&shoe-size=43&address-country=CN")
    body = response.json()
    assert ids(response) == [people["wang"]]
    said = [one["resource"] for one in body["entry"] if one["search"]["mode"] == "outcome"]
    assert "shoe-size" in said[0]["issue"][0]["diagnostics"]
    assert "shoe-size" not in body["link"][0]["url"]
    assert body["total"] == 1
    strict = hub.get("Patient?family=wang&shoe-size=43", headers={"Prefer": "handling=strict"})
    assert strict.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "",
        "_count=5",
        "active=true",
        "family=",
        "shoe-size=43",
        f"identifier={SYSTEM_2}|",
        f"identifier={SYSTEM_GLOBAL}|&active=true",
        "_lastUpdated=ge2020",
        "birthdate=yesterday",
        "birthdate=2023-02-30",
        "birthdate=xx1985",
        "birthdate=0000",
        "gender=男",
        "active=maybe",
        "family:contains=an",
        "family:missing=true",
        "gender:not=male",
        "birthdate:exact=1985",
        "identifier:of-type=x",
        f"identifier={SYSTEM_1}|L-1,{SYSTEM_1}|",
        "identifier=|",
        f"identifier={'x' * 65}",
        "family=wang&_count=-1",
        "family=wang&_count=many",
        "family=wang&_count=5&_count=6",
        "family=wang&_count=1e3",
        "family=wang&_lastUpdated=soon",
        "family=wang&_page=x",
        "family=" + ",".join("abcdefghijklmnopq"),
        "family=" + "x" * 201,
        "&".join(f"family=a{n}" for n in range(17)),
        "family=%FF",
        "family=%00",
        "family=a%0Ab",
        "&".join("family=a" for _ in range(101)),
        "_id=%E2%80%A8",
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(town: Town, query: str) -> None:
    hub, people = town.hub, town.people
    response = hub.get(f"Patient?{query}")
    assert people
    issues = outcome(response)
    assert response.status_code == 400
    assert issues[0]["expression"][0].startswith("http")


@pytest.mark.parametrize(
    "value",
    ["' OR 1=1 --", "%", "_", "*", "w*g", "\\", "\\,", '"; DROP TABLE link_log; --', "{{7*7}}",
     "<script>", "王%", "$(id)"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["family", "name", "given", "identifier", "address", "_id",
                                  "mothersMaidenName", "telecom", "family:exact"])  # fmt: skip
def test_literals_of_other_languages_are_text(town: Town, name: str, value: str) -> None:
    hub, people = town.hub, town.people
    response = hub.get("Patient", params={name: value})
    assert people
    assert response.status_code in {200, 400}
    assert "49" not in [one.get("diagnostics") for one in response.json().get("issue", [])]
    if response.status_code == 200 and not (name in {"family", "name", "given"} and value == "王%"):
        assert ids(response) == []


def test_a_comma_can_be_meant(hub: FhirHub) -> None:
    global_id = hub.fed(patient("a,b|c"))
    assert ids(hub.get("Patient", params={"identifier": f"{SYSTEM_1}|a\\,b\\|c"})) == [global_id]


class TestWhoMayFindWhom:
    def test_a_site_finds_the_people_known_there(self, town: Town) -> None:
        hub, people = town.hub, town.people
        at_1 = hub.token(frozenset({"t1"}), Role.CLINICIAN)
        everybody = "birthdate=ge1900"
        assert ids(hub.get(f"Patient?{everybody}", at_1)) == [people["wang"]]
        assert hub.get(f"Patient?{everybody}", at_1).json()["total"] == 1
        assert ids(hub.get(f"Patient?identifier={SYSTEM_2}|M-1", at_1)) == []
        assert ids(hub.get(f"Patient?_id={people['zhao']}", at_1)) == []
        assert ids(hub.get(f"Patient?gender=female,male&identifier={SYSTEM_2}|", at_1)) == []

    def test_a_stranger_and_nobody_are_answered_alike(self, town: Town) -> None:
        hub, people = town.hub, town.people
        at_1 = hub.token(frozenset({"t1"}), Role.CLINICIAN)
        hidden = hub.get(f"Patient/{people['zhao']}", at_1)
        absent = hub.get("Patient/P00000000000000", at_1)
        assert (hidden.status_code, hidden.content) == (404, absent.content)
        assert hub.records()[1].outcome == "refused"
        assert hub.records()[1].resource_id == people["zhao"]

    def test_an_id_no_longer_used_leads_a_stranger_nowhere(
        self, hub: FhirHub, people: dict[str, str]
    ) -> None:
        hub.patients.link(identifier("M-1", T2), people["smith"], DECIDED)
        at_1 = hub.token(frozenset({"t1"}), Role.CLINICIAN)
        assert hub.get(f"Patient/{people['zhao']}", at_1).status_code == 404
        assert ids(hub.get(f"Patient?_id={people['zhao']}", at_1)) == []

    def test_a_link_opens_the_whole_person_to_both_sites(
        self, hub: FhirHub, people: dict[str, str]
    ) -> None:
        hub.patients.link(identifier("M-1", T2), people["wang"], DECIDED)
        at_2 = hub.token(frozenset({"t2"}), Role.CLINICIAN)
        assert hub.get(f"Patient/{people['wang']}", at_2).status_code == 200

    @pytest.mark.parametrize("role", [Role.ENGINEER, Role.MANAGER, Role.TECHNICIAN])
    def test_other_roles_find_nobody(self, town: Town, role: Role) -> None:
        hub, people = town.hub, town.people
        token = hub.token(frozenset({"t1"}), role)
        for path in ("Patient?family=wang", f"Patient/{people['wang']}"):
            response = hub.get(path, token)
            assert (response.status_code, outcome(response)[0]["code"]) == (403, "forbidden")
        assert hub.records()[0].outcome == "refused"


def test_each_person_on_a_page_is_one_audit_record(hub: FhirHub, people: dict[str, str]) -> None:
    before = len(hub.records())
    hub.get("Patient?gender=female")
    hub.get("Patient?family=nobody")
    records = hub.records()[: len(hub.records()) - before]
    assert [one.resource_id for one in records] == [
        "", *sorted([people["zhao"], people["smith"]], reverse=True),
    ]  # fmt: skip
    assert "nobody" not in " ".join(one.detail.replace("nobody found", "") for one in records)


def test_a_correction_is_found_under_its_new_name(hub: FhirHub) -> None:
    global_id = hub.fed(patient("L-1"))
    hub.clock.advance(hours=1)
    hub.fed(patient("L-1", name=[{"family": "汪", "given": ["小东"]}]))
    body = hub.get(f"Patient/{global_id}").json()
    assert body["name"][0]["text"] == "汪小东"
    assert body["meta"]["lastUpdated"] == "2026-11-21T09:00:00.000+00:00"
    later = hub.clock.now() - timedelta(minutes=30)
    recent = f"family=汪&_lastUpdated=gt{later:%Y-%m-%dT%H:%M:%SZ}"
    assert ids(hub.get(f"Patient?{recent}")) == [global_id]
