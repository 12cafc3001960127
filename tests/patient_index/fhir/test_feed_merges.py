"""ITI-104: what a source says about two patients who are one (PIXm 2:3.104.4)."""

from typing import Any

import pytest

from tests.patient_index.fhir.hub import (
    SYSTEM_1,
    SYSTEM_2,
    FhirHub,
    Json,
    identifier,
    outcome,
    patient,
)


def replaced_by(value: str, system: str = SYSTEM_1) -> list[Json]:
    other = {"identifier": {"system": system, "value": value}}
    return [{"other": other, "type": "replaced-by"}]


def merge(hub: FhirHub, subsumed: str, survivor: str, **more: Any) -> Any:
    return hub.feed(patient(subsumed, active=False, link=replaced_by(survivor)), **more)


class TestMerge:
    def test_the_survivor_answers_for_both(self, hub: FhirHub) -> None:
        survivor = hub.fed(patient("L-1"))
        subsumed = hub.fed(patient("L-2", birthDate="1971-01-01"))
        response = merge(hub, "L-2", "L-1")
        assert response.status_code == 200
        assert hub.patients.resolve(identifier("L-2")) == survivor
        told = hub.get(f"Patient/{subsumed}").json()
        assert (told["active"], told["link"][0]["other"]["reference"]) == (
            False, f"Patient/{survivor}",
        )  # fmt: skip
        values = [one["value"] for one in hub.get(f"Patient/{survivor}").json()["identifier"]]
        assert values == [survivor, "L-1"]

    def test_the_same_merge_again_changes_nothing(self, hub: FhirHub) -> None:
        hub.fed(patient("L-1"))
        hub.fed(patient("L-2"))
        assert [merge(hub, "L-2", "L-1").status_code for _ in range(2)] == [200, 200]
        assert len(hub.patients.history(identifier("L-2"))) == 2

    def test_the_survivor_may_be_named_by_its_logical_id(self, hub: FhirHub) -> None:
        """Only where the global ID's holder has a number in the sender's domain it is a merge."""
        survivor = hub.fed(patient("L-1"))
        hub.fed(patient("L-2", birthDate="1971-01-01"))
        link = [{"other": {"reference": f"Patient/{survivor}"}, "type": "replaced-by"}]
        response = hub.feed(patient("L-2", active=False, link=link))
        assert response.status_code == 200
        assert hub.patients.resolve(identifier("L-2")) == survivor

    @pytest.mark.parametrize(
        ("link", "status", "rule"),
        [
            (replaced_by("L-2"), 422, "itself"),
            (replaced_by("M-1", SYSTEM_2), 422, "wrong-authority"),
            (replaced_by("L-404"), 404, "unknown-merge"),
            (replaced_by("L-1") + replaced_by("L-3"), 422, "several-survivors"),
            (replaced_by("L-1", "urn:oid:9.9.9"), 400, "unknown-system"),
            ([{"other": {"display": "x"}, "type": "replaced-by"}], 400, "no-survivor"),
            ([{"other": {"reference": "Practitioner/1"}, "type": "replaced-by"}], 400,
             "no-survivor"),
            ([{"other": {"reference": "http://evil.example/Patient/1"}, "type": "replaced-by"}],
             400, "no-survivor"),
            ([{"type": "replaced-by"}], 400, "missing-element"),
            ([{"other": {}, "type": "replaced-by"}], 400, "empty-object"),
        ],
    )  # fmt: skip
    def test_a_merge_that_makes_no_sense_changes_nothing(
        self, hub: FhirHub, link: list[Json], status: int, rule: str
    ) -> None:
        for value in ("L-1", "L-2", "L-3"):
            hub.fed(patient(value, birthDate=f"198{value[-1]}-01-01"))
        hub.fed(patient("M-1", SYSTEM_2, birthDate="1990-01-01"))
        before = hub.patients.resolve(identifier("L-2"))
        response = hub.feed(patient("L-2", active=False, link=link))
        coding = outcome(response)[0]["details"]["coding"][0]["code"]
        assert (response.status_code, coding) == (status, f"urn:eirhub:fhir:{rule}")
        assert hub.patients.resolve(identifier("L-2")) == before

    def test_loops_and_second_merges_are_refused(self, hub: FhirHub) -> None:
        for value in ("L-1", "L-2", "L-3"):
            hub.fed(patient(value, birthDate=f"198{value[-1]}-01-01"))
        assert merge(hub, "L-2", "L-1").status_code == 200
        loop, elsewhere, onto_merged = (
            merge(hub, "L-1", "L-2"), merge(hub, "L-2", "L-3"), merge(hub, "L-3", "L-2"),
        )  # fmt: skip
        assert [one.status_code for one in (loop, elsewhere, onto_merged)] == [422, 409, 409]
        assert hub.patients.resolve(identifier("L-1")) == hub.patients.resolve(identifier("L-2"))
        assert hub.patients.resolve(identifier("L-3")) != hub.patients.resolve(identifier("L-2"))

    def test_somebody_elses_logical_id_is_no_survivor(self, hub: FhirHub) -> None:
        stranger = hub.fed(patient("M-1", SYSTEM_2, birthDate="1990-01-01"))
        hub.fed(patient("L-2"))
        link = [{"other": {"reference": f"Patient/{stranger}"}, "type": "replaced-by"}]
        assert hub.feed(patient("L-2", active=False, link=link)).status_code == 404
        assert hub.patients.resolve(identifier("L-2")) != stranger

    def test_other_kinds_of_links_are_no_merge(self, hub: FhirHub) -> None:
        hub.fed(patient("L-1"))
        link = replaced_by("L-1")
        link[0]["type"] = "seealso"
        assert hub.feed(patient("L-2", birthDate="1971-01-01", link=link)).status_code == 201
        assert hub.patients.resolve(identifier("L-2")) != hub.patients.resolve(identifier("L-1"))

    def test_only_the_domains_own_source_merges_in_it(self, hub: FhirHub) -> None:
        hub.fed(patient("L-1"))
        hub.fed(patient("L-2", birthDate="1971-01-01"))
        token = hub.token(frozenset({"t2"}))
        assert merge(hub, "L-2", "L-1", token=token).status_code == 403
        assert hub.patients.resolve(identifier("L-2")) != hub.patients.resolve(identifier("L-1"))

    def test_a_merge_is_audited_under_the_survivor(self, hub: FhirHub) -> None:
        survivor = hub.fed(patient("L-1"))
        hub.fed(patient("L-2"))
        merge(hub, "L-2", "L-1")
        record = hub.records()[0]
        assert (record.action, record.resource_id, record.detail) == (
            "feed_patient", survivor, "ITI-104, merged",
        )  # fmt: skip
