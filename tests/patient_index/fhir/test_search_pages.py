"""ITI-78: the pages of a search, their links and their totals."""

import base64
import json
import zlib
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from access_control.model import Role
from tests.patient_index.fhir.hub import (
    FhirHub,
    checked,
    ids,
    patient,
)
from tests.patient_index.fhir.town import CROWD, Town


class TestPaging:
    def pages(self, hub: FhirHub, query: str) -> list[requests.Response]:
        found = [hub.get(f"Patient?{query}")]
        while link := self.next_link(found[-1]):
            found.append(checked(requests.get(link, headers=hub.headers(), timeout=20)))
            assert len(found) <= CROWD + 1
        return found

    @staticmethod
    def next_link(response: requests.Response) -> str:
        links = {one["relation"]: one["url"] for one in response.json()["link"]}
        return links.get("next", "")

    @pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 8, 1000])
    @pytest.mark.parametrize(
        "query", ["family=wang", "birthdate=ge1964,lt1964", "name=wang,王,wxd&gender=male,female"]
    )
    def test_pages_hold_everybody_once(self, crowd: Town, query: str, count: int) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        found = self.pages(hub, f"{query}&_count={count}")
        together = [one for page in found for one in ids(page)]
        assert sorted(together) == everybody
        assert len(found) == -(-CROWD // min(count, 100))
        assert {page.json()["total"] for page in found} == {CROWD}

    def test_count_zero_answers_the_total_alone(self, crowd: Town) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        body = hub.get("Patient?family=wang&_count=0").json()
        assert (body["total"], "entry" in body) == (len(everybody), False)

    def test_what_arrives_meanwhile_shifts_no_page(self, hub: FhirHub) -> None:
        everybody = [hub.fed(patient(f"L-{n}", birthDate=f"196{n}-01-01")) for n in range(CROWD)]
        first = hub.get("Patient?family=wang&_count=3")
        hub.fed(patient("new", birthDate="1950-01-01"))
        rest = self.next_link(first)
        together = ids(first)
        while rest:
            page = checked(requests.get(rest, headers=hub.headers(), timeout=20))
            together += ids(page)
            rest = self.next_link(page)
        assert len(together) == len(set(together))
        assert set(everybody) <= set(together)

    def test_the_next_link_gives_no_right(self, crowd: Town) -> None:
        """A token of another township that got hold of the link finds nobody."""
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        link = self.next_link(hub.get("Patient?family=wang&_count=3"))
        at_2 = hub.headers(hub.token(frozenset({"t2"}), Role.CLINICIAN))
        assert everybody
        assert ids(checked(requests.get(link, headers=at_2, timeout=20))) == []
        assert checked(requests.get(link, timeout=20)).status_code == 401

    def test_names_do_not_stand_in_the_next_link(self, crowd: Town) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        link = self.next_link(hub.get("Patient?family=wang&_count=3"))
        assert everybody
        assert "wang" not in link

    @pytest.mark.parametrize(
        "said",
        [
            None, 7, {}, [], [1, 2, 3], [[], 3, 0, None, 1, True], ["ab", 3, 0, None, 1, True],
            [[["family"]], 3, 0, None, 1, True], [[["family", 7]], 3, 0, None, 1, True],
            [[["family", "wang"]], 0, 0, None, 1, True],
            [[["family", "wang"]], 10**6, 0, None, 1, True],
            [[["family", "wang"]], 3, -1, None, 1, True],
            [[["family", "wang"]], 3, 0, 7, 1, True],
            [[["family", "wang"]], 3, True, None, 1, True],
            [[["family", "wang"]], 3, 0, None, "x", True],
            [[["shoe-size", "wang"]], 3, 0, None, 1, True],
        ],
    )  # fmt: skip
    def test_a_forged_bookmark_is_refused(self, crowd: Town, said: object) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(said).encode())).decode()
        assert everybody
        assert hub.get("Patient", params={"_page": packed}).status_code == 400

    @pytest.mark.parametrize("cursor", ["", "' OR 1=1", "\x00", "P" * 5000, "王"])
    def test_a_forged_cursor_finds_no_more_than_the_question(
        self, crowd: Town, cursor: str
    ) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        said = [[["family", "wang"]], 100, 0, cursor, 1, True]
        packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(said).encode())).decode()
        response = hub.get("Patient", params={"_page": packed})
        assert response.status_code in {200, 400}
        if response.status_code == 200:
            assert set(ids(response)) <= set(everybody)

    def test_a_bookmark_cannot_unpack_without_end(self, crowd: Town) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        bomb = base64.urlsafe_b64encode(zlib.compress(b"[" * 5_000_000)).decode()
        assert everybody
        assert hub.get("Patient", params={"_page": bomb}).status_code in {400, 414}

    def test_the_self_link_repeats_the_question(self, crowd: Town) -> None:
        hub, everybody = crowd.hub, sorted(crowd.people.values())
        body = hub.get("Patient?family=王&_count=3").json()
        link = {one["relation"]: one["url"] for one in body["link"]}["self"]
        assert everybody
        assert dict(parse_qsl(urlsplit(link).query)) == {"family": "王", "_count": "3"}
