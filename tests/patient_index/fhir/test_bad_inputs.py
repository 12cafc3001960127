"""Bad inputs 51 to 58 and 80 through the FHIR door, end to end, with consent beside them."""

import json
import logging
import time

import pytest
import requests

from access_control.consent import EVERYONE, ConsentKind
from tests.patient_index.fhir.hub import (
    SYSTEM_1,
    SYSTEM_2,
    FhirHub,
    ids,
    outcome,
    patient,
)
from tests.support.effort import little_effort


def named(family: str, given: str = "", value: str = "L-1") -> dict[str, object]:
    return patient(value, name=[{"family": family, "given": [given or "x"]}])


def names_of(response: requests.Response) -> list[str]:
    [entry] = response.json()["entry"]
    return [one["text"] for one in entry["resource"]["name"]]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json; charset=../../etc/passwd",
        "application/fhir+json; charset=" + ",".join(["gbk"] * 50),
        "application/fhir+xml; charset=gb18030",
    ],
)
def test_51_a_hostile_character_set_is_refused(asked_hub: FhirHub, content_type: str) -> None:
    body = json.dumps(named("王", value="N-51")).encode()
    response = asked_hub.send(
        "PUT",
        f"Patient?identifier={SYSTEM_1}|N-51",
        body,
        headers={"Content-Type": content_type},
    )
    assert response.status_code in {400, 415}
    assert asked_hub.get(f"Patient?identifier={SYSTEM_1}|N-51").json()["total"] == 0


def test_52_rare_characters_come_back_unchanged(hub: FhirHub) -> None:
    hub.fed(named("乗俓", "亅乛亊𠮷"))
    assert names_of(hub.get(f"Patient?identifier={SYSTEM_1}|L-1")) == ["乗俓亅乛亊𠮷"]
    assert names_of(hub.get("Patient", params={"family": "乗俓"})) == ["乗俓亅乛亊𠮷"]


@pytest.mark.parametrize("control", ["\x1b$)A", "\x00", "\x07"])
def test_53_escape_bytes_are_refused_or_gone(hub: FhirHub, control: str) -> None:
    response = hub.feed(named(f"{control}王", "小东"))
    if response.status_code == 400:
        assert outcome(response)[0]["expression"]
        return
    assert "\\u001b" not in hub.get(f"Patient?identifier={SYSTEM_1}|L-1").text


def test_54_bytes_that_are_no_utf_8_are_refused(asked_hub: FhirHub) -> None:
    body = json.dumps(named("王", "小东", "N-54"), ensure_ascii=False).encode("gbk")
    response = asked_hub.send("PUT", f"Patient?identifier={SYSTEM_1}|N-54", body)
    assert response.status_code == 400
    assert asked_hub.get(f"Patient?identifier={SYSTEM_1}|N-54").json()["total"] == 0


@pytest.mark.parametrize("family", ["王\u200b", "\u202e王\u202c", "王\ufeff\u2066"])
def test_55_invisible_characters_change_no_match(hub: FhirHub, family: str) -> None:
    response = hub.feed(named(family, "小\u200d东"))
    if response.status_code == 400:
        return
    assert len(ids(hub.get("Patient?family=王&given=小东"))) == 1
    assert len(ids(hub.get("Patient", params={"family": family}))) == 1


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "x' onerror 'y", "{{7*7}}", "]]>&"])
def test_56_markup_is_text_in_both_formats(hub: FhirHub, text: str) -> None:
    hub.fed(patient("L-1", name=[{"family": text, "given": [text]}], address=[{"city": text}]))
    as_json = hub.get(f"Patient?identifier={SYSTEM_1}|L-1").json()["entry"][0]["resource"]
    assert as_json["name"][0]["family"] == text
    assert as_json["address"][0]["city"] == text
    as_xml = hub.get(f"Patient?identifier={SYSTEM_1}|L-1&_format=xml")
    assert "<script>" not in as_xml.text
    assert as_xml.headers["X-Content-Type-Options"] == "nosniff"


def test_57_a_formula_is_text_and_a_name_loses_its_sign(hub: FhirHub) -> None:
    formula = '=HYPERLINK("http://evil";"x")'
    hub.fed(named(formula, "@SUM(1)") | {"address": [{"city": formula}]})
    [entry] = hub.get(f"Patient?identifier={SYSTEM_1}|L-1").json()["entry"]
    # "=" would begin another representation of the name (PS3.5 6.2.1.1).
    assert entry["resource"]["name"][0]["family"] == formula[1:]
    assert entry["resource"]["address"][0]["city"] == formula


def test_58_line_ends_make_no_second_line_of_log_or_record(
    hub: FhirHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.feed(patient("L-1\r\nFORGED"))
    hub.feed(named("王\r\nFORGED"))
    hub.get("Patient", params={"identifier": f"{SYSTEM_1}|A\r\nFORGED", "shoe\r\nFORGED": "1"})
    for record in hub.records():
        assert "\n" not in record.line()
    for logged in caplog.records:
        assert logged.name.startswith("urllib3") or "FORGED" not in logged.getMessage()


def test_80_merges_in_a_circle_leave_nobody_behind(hub: FhirHub) -> None:
    for number in "123":
        hub.fed(patient(f"L-{number}", birthDate=f"196{number}-01-01"))

    def merge(survivor: str, subsumed: str) -> int:
        other = {"identifier": {"system": SYSTEM_1, "value": survivor}}
        link = [{"type": "replaced-by", "other": other}]
        return hub.feed(patient(subsumed, active=False, link=link)).status_code

    assert [merge("L-1", "L-1"), merge("L-1", "L-2"), merge("L-2", "L-1")] == [422, 200, 422]
    assert [merge("L-3", "L-1"), merge("L-1", "L-3"), merge("L-3", "L-2")] == [200, 422, 200]
    assert hub.get(f"Patient?identifier={SYSTEM_1}|L-3").json()["total"] == 1


def test_refused_persons_are_answered_like_unknown_ones_everywhere(hub: FhirHub) -> None:
    person = hub.fed(patient("L-1"))
    others = {hub.fed(patient(f"M-{n}", SYSTEM_2, birthDate=f"199{n}-01-01")) for n in range(4)}
    refusing = sorted(others)[0]
    for one in (person, refusing):
        hub.access.consents.record(
            one, ConsentKind.REFUSE, EVERYONE, by="registrar", reason="asked at the desk"
        )
    assert hub.get(f"Patient/{person}").status_code == 404
    assert ids(hub.get("Patient?family=王&_count=2")) == sorted(others - {refusing})[:2]
    for query in (f"identifier={SYSTEM_1}|%s", "_id=%s"):
        known, stranger = (
            hub.get(f"Patient?{query % (value if 'id' in query[:3] else number)}").json()
            for value, number in ((person, "L-1"), ("P404", "L-404"))
        )
        assert (known["total"], known.get("entry")) == (stranger["total"], stranger.get("entry"))
    asked = f"Patient/$ihe-pix?sourceIdentifier={SYSTEM_1}|"
    assert hub.get(f"{asked}L-1").json() == hub.get(f"{asked}L-404").json()


def test_a_value_without_a_letter_is_nobodys_and_quick(hub: FhirHub) -> None:
    hub.fed(patient("L-1", address=[{"city": "北京"}], telecom=[{"system": "phone", "value": "1"}]))
    for name in ("family", "given", "name", "address", "address-city", "mothersMaidenName",
                 "telecom", "phone"):  # fmt: skip
        for value in ("%", "_", "*", "'", "。"):
            with little_effort(2, time.process_time):
                assert ids(hub.get("Patient", params={name: value})) == [], (name, value)
