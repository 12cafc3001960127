"""The API of forwarding: what an engineer's script sees and does."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from access_control.model import Role
from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import Promise
from tests.viewer_api.region import Region


@pytest.fixture
def row_id(region: Region) -> int:
    promise = Promise(
        "2.25.801", "1.2.840.10008.5.1.4.1.1.2", "2.25.80", "sijing", "1.2.840.10008.1.2.1",
        "a" * 64, 1000, "api-pacs", "rule", "as-stored", 2, "",
    )  # fmt: skip
    ledger = Ledger(region.hub.database)
    with region.hub.database.unit_of_work() as work:
        ledger.promise(work.session, [promise])
    return ledger.items_of("2.25.80")[0].item_id


@pytest.fixture
def engineer(machine: Callable[..., FlaskClient]) -> FlaskClient:
    return machine(Role.ENGINEER)


def test_a_row_is_parked_and_sent_again(engineer: FlaskClient, row_id: int) -> None:
    url = f"/api/v1/forwarding/rows/{row_id}"
    found = engineer.get(url)
    assert found.json is not None
    assert (found.json["state"], found.json["destination"]) == ("queued", "api-pacs")
    parked = engineer.post(f"{url}/park", json={"reason": "by disc"})
    assert parked.json is not None
    assert parked.json["state"] == "parked"
    again = engineer.post(f"{url}/park", json={"reason": "by disc"})
    assert again.status_code == 400
    retried = engineer.post(f"{url}/retry")
    assert retried.json is not None
    assert retried.json["state"] == "queued"


def test_a_destination_is_held_listed_and_resumed(engineer: FlaskClient, row_id: int) -> None:
    held = engineer.post("/api/v1/forwarding/api-pacs/hold")
    assert held.json is not None
    assert held.json["breaker"] == "held"
    answer = engineer.get("/api/v1/forwarding")
    assert answer.json is not None
    listed = {one["name"]: one for one in answer.json["destinations"]}
    assert listed["api-pacs"]["counts"]["queued"] == 1
    resumed = engineer.post("/api/v1/forwarding/api-pacs/resume")
    assert resumed.json is not None
    assert resumed.json["breaker"] == "closed"
    rows = engineer.get("/api/v1/forwarding/api-pacs/rows?state=queued")
    assert rows.json is not None
    assert [row["item_id"] for row in rows.json["rows"]] == [row_id]


@pytest.mark.parametrize("role", [Role.RADIOLOGIST, Role.CLINICIAN, Role.REGISTRAR, Role.AUDITOR])
def test_who_does_not_run_the_hub_gets_404(machine: Callable[..., FlaskClient], role: Role) -> None:
    assert machine(role).get("/api/v1/forwarding").status_code == 404


def test_what_is_asked_wrongly_is_refused(engineer: FlaskClient, row_id: int) -> None:
    assert engineer.get("/api/v1/forwarding/api-pacs/rows?state=lost").status_code == 400
    assert engineer.post("/api/v1/forwarding/api-pacs/explode").status_code == 404
    assert engineer.post(f"/api/v1/forwarding/rows/{row_id}/explode").status_code == 404


def test_the_description_knows_these_routes(engineer: FlaskClient) -> None:
    described = engineer.get("/api/v1/openapi.json").json
    assert described is not None
    assert "/api/v1/forwarding/{destination}/{act}" in described["paths"]
    rows = described["paths"]["/api/v1/forwarding/{destination}/rows"]["get"]
    assert {one["name"] for one in rows["parameters"]} >= {"state", "after", "limit"}
