"""ITI-78: one person by the global ID."""

import pytest
from lxml import etree

from tests.patient_index.fhir.hub import (
    MOTHERS,
    SYSTEM_1,
    SYSTEM_GLOBAL,
    T2,
    FhirHub,
    Json,
    identifier,
    ids,
    outcome,
)
from tests.patient_index.fhir.town import DECIDED, Town


class TestRetrieve:
    def test_a_person_is_told_whole(self, town: Town) -> None:
        hub, people = town.hub, town.people
        body: Json = hub.get(f"Patient/{people['wang']}").json()
        assert body["active"] is True
        assert [(one["system"], one["value"]) for one in body["identifier"]] == [
            (SYSTEM_GLOBAL, people["wang"]), (SYSTEM_1, "L-1"),
        ]  # fmt: skip
        names = [(one["family"], one["given"]) for one in body["name"]]
        assert names == [("王", ["小东"]), ("Wang", ["XiaoDong"])]
        assert (body["gender"], body["birthDate"]) == ("male", "1960-05-06")
        assert body["extension"] == [{"url": MOTHERS, "valueString": "李梅"}]
        assert body["telecom"][0]["value"] == "138-1234-5678"
        assert body["address"][0]["city"] == "北京"

    def test_xml_says_the_same(self, town: Town) -> None:
        hub, people = town.hub, town.people
        response = hub.get(f"Patient/{people['wang']}?_format=xml")
        root = etree.fromstring(response.content)
        family = root.find("{http://hl7.org/fhir}name/{http://hl7.org/fhir}family")
        assert response.headers["Content-Type"].startswith("application/fhir+xml")
        assert family is not None
        assert family.get("value") == "王"

    @pytest.mark.parametrize("global_id", ["nobody", "P" * 64, "..", "P000000000000"])
    def test_nobody_is_not_found(self, town: Town, global_id: str) -> None:
        response = town.hub.get(f"Patient/{global_id}")
        assert (response.status_code, outcome(response)[0]["code"]) == (404, "not-found")

    def test_an_id_no_longer_used_leads_to_its_holder(
        self, hub: FhirHub, people: dict[str, str]
    ) -> None:
        """Case 3: inactive, replaced by the survivor; after the unlink as before."""
        hub.patients.link(identifier("M-1", T2), people["wang"], DECIDED)
        body = hub.get(f"Patient/{people['zhao']}").json()
        assert body["active"] is False
        assert body["link"] == [
            {"other": {"reference": f"Patient/{people['wang']}"}, "type": "replaced-by"}
        ]
        assert "name" not in body
        hub.patients.unlink(identifier("M-1", T2), DECIDED)
        assert hub.get(f"Patient/{people['zhao']}").json()["active"] is True

    def test_a_search_by_an_id_no_longer_used_finds_it_and_its_holder(
        self, hub: FhirHub, people: dict[str, str]
    ) -> None:
        """Case 6: the deprecated Patient with its link, and whom the link names."""
        hub.patients.link(identifier("M-1", T2), people["wang"], DECIDED)
        response = hub.get(f"Patient?_id={people['zhao']}")
        assert ids(response) == [people["zhao"]]
        assert ids(response, "include") == [people["wang"]]
        assert response.json()["total"] == 1
        assert ids(hub.get(f"Patient?_id={people['zhao']}&active=true")) == []
        assert ids(hub.get(f"Patient?_id={people['zhao']}&active=false")) == [people["zhao"]]
        both = hub.get(f"Patient?_id={people['zhao']},{people['wang']}")
        assert sorted(ids(both)) == sorted([people["zhao"], people["wang"]])

    def test_one_active_record_a_person(self, hub: FhirHub, people: dict[str, str]) -> None:
        hub.patients.link(identifier("M-1", T2), people["wang"], DECIDED)
        assert ids(hub.get("Patient?family=zhao")) == [people["wang"]]
