"""ITI-83: who else is this? Codes and words are those of PIXm 3.0, 2:3.83.4.2.2."""

import pytest

from access_control.model import Role
from patient_index.model import Decided
from tests.patient_index.fhir.hub import (
    ALIAS,
    NUMBER,
    RESIDENTS,
    SYSTEM_1,
    SYSTEM_2,
    SYSTEM_GLOBAL,
    SYSTEM_ID,
    T1,
    T2,
    FhirHub,
    Json,
    identifier,
    outcome,
    patient,
)

PIX = "Patient/$ihe-pix"
DECIDED = Decided(by="registrar", reason="same person")


def linked(hub: FhirHub) -> str:
    """One person with a number in each township, linked by hand."""
    global_id = hub.fed(patient("L-1"))
    hub.fed(patient("M-1", SYSTEM_2))
    hub.patients.link(identifier("M-1", T2), global_id, DECIDED)
    return global_id


def told(body: Json) -> set[tuple[str, str]]:
    return {
        (one["valueIdentifier"]["system"], one["valueIdentifier"]["value"])
        for one in body.get("parameter", [])
        if one["name"] == "targetIdentifier"
    }


def targets(body: Json) -> list[str]:
    found = [one for one in body.get("parameter", []) if one["name"] == "targetId"]
    return [one["valueReference"]["reference"] for one in found]


def ask(hub: FhirHub, source: str, *systems: str, token: str | None = None) -> Json:
    params = [("sourceIdentifier", source), *(("targetSystem", one) for one in systems)]
    response = hub.get(PIX, token, params=params)
    assert response.status_code == 200, response.text
    body: Json = response.json()
    return body


def test_every_identifier_is_told_but_the_one_asked_about(hub: FhirHub) -> None:
    global_id = linked(hub)
    body = ask(hub, f"{SYSTEM_1}|L-1")
    assert told(body) == {(SYSTEM_GLOBAL, global_id), (SYSTEM_2, "M-1")}
    assert targets(body) == [f"Patient/{global_id}"]


def test_only_the_target_domains_are_told(hub: FhirHub) -> None:
    global_id = linked(hub)
    assert told(ask(hub, f"{SYSTEM_1}|L-1", SYSTEM_2)) == {(SYSTEM_2, "M-1")}
    both = ask(hub, f"{SYSTEM_1}|L-1", SYSTEM_2, SYSTEM_GLOBAL)
    assert told(both) == {(SYSTEM_2, "M-1"), (SYSTEM_GLOBAL, global_id)}


def test_a_target_domain_without_a_number_is_an_empty_success(hub: FhirHub) -> None:
    linked(hub)
    assert ask(hub, f"{SYSTEM_1}|L-1", SYSTEM_ID) == {"resourceType": "Parameters"}


def test_the_global_id_and_the_logical_id_are_sources_too(hub: FhirHub) -> None:
    global_id = linked(hub)
    for source in (f"{SYSTEM_GLOBAL}|{global_id}", f"{hub.base}|Patient/{global_id}"):
        assert told(ask(hub, source)) == {(SYSTEM_1, "L-1"), (SYSTEM_2, "M-1")}


def test_a_configured_uri_stands_for_its_domain(hub: FhirHub) -> None:
    linked(hub)
    assert told(ask(hub, f"{ALIAS}|L-1", SYSTEM_2)) == {(SYSTEM_2, "M-1")}


def test_stated_cards_are_told(hub: FhirHub) -> None:
    card = {"system": SYSTEM_ID, "value": NUMBER}
    hub.fed(patient("L-1", identifier=[{"system": SYSTEM_1, "value": "L-1"}, card]))
    body = ask(hub, f"{SYSTEM_1}|L-1", f"urn:oid:{RESIDENTS.oid}")
    assert told(body) == {(SYSTEM_ID, NUMBER)}


def test_a_card_leads_to_its_holder_however_it_is_spelt(hub: FhirHub) -> None:
    card = {"system": SYSTEM_ID, "value": NUMBER}
    hub.fed(patient("L-1", identifier=[{"system": SYSTEM_1, "value": "L-1"}, card]))
    for spelt in (NUMBER, f"{NUMBER[:6]} {NUMBER[6:]}", NUMBER.lower()):
        assert told(ask(hub, f"{SYSTEM_ID}|{spelt}", SYSTEM_1)) == {(SYSTEM_1, "L-1")}


def test_naming_another_sites_number_gives_that_site_no_right(hub: FhirHub) -> None:
    """T1 says that its patient has a number at T2; T2 has not said so itself."""
    claim = {"system": SYSTEM_2, "value": "M-7"}
    global_id = hub.fed(patient("L-1", identifier=[{"system": SYSTEM_1, "value": "L-1"}, claim]))
    at_2 = hub.token(frozenset({"t2"}), Role.CLINICIAN)
    assert hub.get(f"{PIX}?sourceIdentifier={SYSTEM_2}|M-7", at_2).status_code == 404
    assert hub.get(f"Patient/{global_id}", at_2).status_code == 404
    assert hub.get("Patient?family=wang", at_2).json()["total"] == 0


@pytest.mark.parametrize("xml", [False, True])
def test_post_asks_the_same(hub: FhirHub, xml: bool) -> None:  # noqa: FBT001
    linked(hub)
    body: Json | str = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "sourceIdentifier",
                "valueIdentifier": {"system": SYSTEM_1, "value": "L-1"},
            },
            {"name": "targetSystem", "valueUri": SYSTEM_2},
        ],
    }
    headers = {}
    if xml:
        headers = {"Content-Type": "application/fhir+xml"}
        body = (
            '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="sourceIdentifier"/>'
            f'<valueIdentifier><system value="{SYSTEM_1}"/><value value="L-1"/></valueIdentifier>'
            '</parameter><parameter><name value="targetSystem"/>'
            f'<valueUri value="{SYSTEM_2}"/></parameter></Parameters>'
        )
    response = hub.send("POST", PIX, body, headers=headers)
    assert told(response.json()) == {(SYSTEM_2, "M-1")}


def test_after_an_unlink_the_answer_is_the_one_before_the_link(hub: FhirHub) -> None:
    linked(hub)
    hub.patients.unlink(identifier("M-1", T2), DECIDED)
    assert told(ask(hub, f"{SYSTEM_1}|L-1", SYSTEM_2)) == set()


@pytest.mark.parametrize(
    ("query", "status", "code", "diagnostics"),
    [
        (f"sourceIdentifier={SYSTEM_1}|nobody", 404, "not-found",
         "sourceIdentifier Patient Identifier not found"),
        ("sourceIdentifier=urn:oid:9.9.9|1", 400, "code-invalid",
         "sourceIdentifier Assigning Authority not found"),
        ("sourceIdentifier=http://unknown.example|1", 400, "code-invalid",
         "sourceIdentifier Assigning Authority not found"),
        ("sourceIdentifier=urn:oid:x|1", 400, "code-invalid",
         "sourceIdentifier Assigning Authority not found"),
        ("sourceIdentifier=urn:oid:|1", 400, "code-invalid",
         "sourceIdentifier Assigning Authority not found"),
        (f"sourceIdentifier={SYSTEM_1}|L-1&targetSystem=urn:oid:9.9.9", 403, "code-invalid",
         "targetSystem not found"),
        (f"sourceIdentifier={SYSTEM_1}|L-1&targetSystem={SYSTEM_2}&targetSystem=urn:oid:9.9.9",
         403, "code-invalid", "targetSystem not found"),
        (f"sourceIdentifier={SYSTEM_1}|L-1&targetSystem=", 403, "code-invalid",
         "targetSystem not found"),
        ("", 400, "required", None),
        (f"sourceIdentifier={SYSTEM_1}|L-1&sourceIdentifier={SYSTEM_1}|L-2", 400, "required",
         None),
        ("sourceIdentifier=L-1", 400, "value", None),
        ("sourceIdentifier=|L-1", 400, "value", None),
        (f"sourceIdentifier={SYSTEM_1}|", 400, "value", None),
        (f"sourceIdentifier={SYSTEM_1}", 400, "value", None),
        ("sourceIdentifier=", 400, "value", None),
    ],
)  # fmt: skip
def test_refusals_have_the_status_and_the_words_of_the_profile(
    asked_hub: FhirHub, query: str, status: int, code: str, diagnostics: str | None
) -> None:
    response = asked_hub.get(f"{PIX}?{query}")
    issue = outcome(response)[0]
    assert (response.status_code, issue["code"], issue["severity"]) == (status, code, "error")
    assert diagnostics in {None, issue["diagnostics"]}
    assert "/" in issue["details"]["text"]


def test_a_number_that_its_site_has_merged_away_is_not_known_any_more(hub: FhirHub) -> None:
    survivor = hub.fed(patient("L-1"))
    hub.fed(patient("L-2"))
    link = {"other": {"identifier": {"system": SYSTEM_1, "value": "L-1"}}, "type": "replaced-by"}
    assert hub.feed(patient("L-2", active=False, link=[link])).status_code == 200
    assert hub.get(f"{PIX}?sourceIdentifier={SYSTEM_1}|L-2").status_code == 404
    assert told(ask(hub, f"{SYSTEM_1}|L-1")) == {(SYSTEM_GLOBAL, survivor)}


def test_a_person_unknown_at_the_callers_site_is_answered_like_nobody(hub: FhirHub) -> None:
    linked(hub)
    hub.fed(patient("only-2", SYSTEM_2, birthDate="1971-02-03"))
    at_1 = hub.token(frozenset({"t1"}), Role.CLINICIAN)
    assert told(ask(hub, f"{SYSTEM_2}|M-1", SYSTEM_1, token=at_1)) == {(SYSTEM_1, "L-1")}
    hidden = hub.get(f"{PIX}?sourceIdentifier={SYSTEM_2}|only-2", at_1)
    absent = hub.get(f"{PIX}?sourceIdentifier={SYSTEM_2}|nobody", at_1)
    assert (hidden.status_code, hidden.content) == (404, absent.content)
    outcomes = [one.outcome for one in hub.records()[:2]]
    assert outcomes == ["success", "refused"]


def test_each_query_is_audited_with_the_person_and_without_the_number(hub: FhirHub) -> None:
    global_id = linked(hub)
    ask(hub, f"{SYSTEM_1}|L-1")
    record = hub.records()[0]
    assert (record.action, record.outcome, record.resource_id, record.detail) == (
        "find_patient", "success", global_id, "ITI-83",
    )  # fmt: skip
    assert T1.oid not in record.line()
