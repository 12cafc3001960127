"""`/api/v1/identity` and a person's consents and accesses, as another program uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from access_control.model import Role
from tests.viewer_api.pages.identity.desk import Desk

API = "/api/v1/identity"


@pytest.fixture(scope="module")
def machine(desk: Desk) -> Callable[..., FlaskClient]:
    made: dict[object, FlaskClient] = {}

    def make(role: Role = Role.REGISTRAR, sites: tuple[str, ...] | None = None) -> FlaskClient:
        if (role, sites) not in made:
            token = desk.hub.access.tokens.create(
                f"api {role} {sites}",
                {role},
                frozenset(sites) if sites else None,
                datetime.now(UTC) + timedelta(days=1),
            )
            assert isinstance(desk.application, Flask)
            made[role, sites] = desk.application.test_client()
            made[role, sites].environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return made[role, sites]

    return make


@pytest.fixture
def client(machine: Callable[..., FlaskClient]) -> FlaskClient:
    return machine()


def told(client: FlaskClient, url: str, status: int = 200, **body: Any) -> Any:
    """The answer to GET, or to POST when there is a body."""
    answer = client.post(url, json=body) if body else client.get(url)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


@pytest.fixture
def review(desk: Desk, numbers: Iterator[int]) -> tuple[int, int]:
    number = next(numbers)
    return number, desk.asks_about_a_borrowed_card(number)


def test_a_question_names_both_people_and_the_weight_of_each_field(
    client: FlaskClient, review: tuple[int, int]
) -> None:
    shown = told(client, f"{API}/reviews/{review[1]}")
    assert (shown["state"], shown["rule"]) == ("waiting", "name-contradicts")
    assert {person["name"]["display"] for person in shown["people"]} == {"王琳", "赵强"}
    fields = {note["field"]: note for note in shown["evidence"]["fields"]}
    assert fields["given_name"]["weight"] < 0 < fields["resident_number"]["weight"]


def test_the_queue_is_paged(client: FlaskClient, desk: Desk, numbers: Iterator[int]) -> None:
    for _ in range(2):
        desk.asks_about_a_borrowed_card(next(numbers))
    first = told(client, f"{API}/reviews?limit=1")
    second = told(client, f"{API}/reviews?limit=1&start={first['next']}")
    assert first["reviews"][0]["review_id"] != second["reviews"][0]["review_id"]


def test_a_question_is_decided_and_the_decision_taken_back(
    desk: Desk, client: FlaskClient, review: tuple[int, int]
) -> None:
    number, review_id = review
    url = f"{API}/reviews/{review_id}/decision"
    decided = told(client, url, verdict="link", reason="same card shown")
    assert decided["state"] == "decided"
    assert decided["decision"]["verdict"] == "linked"
    assert desk.person("sijing", f"S{number}") == desk.person("jiuting", f"J{number}")
    assert told(client, url, 400, verdict="keep-apart")["error"]["detail"]
    answer = client.delete(url)
    assert answer.json is not None
    assert answer.json["state"] == "waiting"
    assert desk.person("sijing", f"S{number}") != desk.person("jiuting", f"J{number}")


def test_a_merge_is_read_as_of_and_taken_back(
    desk: Desk, client: FlaskClient, review: tuple[int, int]
) -> None:
    one, other = (desk.person(s, f"{s[0].upper()}{review[0]}") for s in ("sijing", "jiuting"))
    before = datetime.now(UTC).isoformat().replace("+", "%2B")
    merged = told(client, f"{API}/people/{one}/merge", other=other, reason="shown")
    now = told(client, f"{API}/people/{one}/history")
    then = told(client, f"{API}/people/{one}/history?as_of={before}")
    assert [len(found["identifiers"]) for found in (now, then)] == [2, 1]
    assert now["decisions"][-1]["decision_id"] == merged["decision_id"]
    undo = f"{API}/people/{one}/decisions/{merged['decision_id']}/take-back"
    assert told(client, undo, reason="mistake")["undoes"] == merged["decision_id"]
    assert desk.person("jiuting", f"J{review[0]}") == other


def test_a_number_is_moved_and_taken_apart(
    desk: Desk, client: FlaskClient, review: tuple[int, int]
) -> None:
    one, other = (desk.person(s, f"{s[0].upper()}{review[0]}") for s in ("sijing", "jiuting"))
    number = desk.identifier("jiuting", f"J{review[0]}")
    named = {"value": number.value, "oid": number.issuer.oid, "reason": "shown"}
    assert told(client, f"{API}/people/{other}/move", other=one, **named)["global_id"] == one
    assert told(client, f"{API}/people/{one}/separate", **named)["global_id"] == other


def test_consents_are_written_down_and_read_back(
    desk: Desk, client: FlaskClient, review: tuple[int, int]
) -> None:
    url = f"/api/v1/patients/{desk.person('sijing', f'S{review[0]}')}/consents"
    said = told(client, url, 201, kind="refuse", scope="sharing", reason="at the desk")
    assert said["scope"] == "sharing"
    found = told(client, url)
    assert [(one["kind"], one["scope"]) for one in found["current"]] == [("refuse", "sharing")]
    assert {"all", "sharing", "site:sijing"} <= set(found["scopes"])
    assert told(client, url, 400, kind="refuse", scope="site:nowhere", reason="x")["error"]


def test_accesses_say_who_when_and_what(
    desk: Desk, client: FlaskClient, review: tuple[int, int]
) -> None:
    person = desk.person("sijing", f"S{review[0]}")
    told(client, f"{API}/people/{person}/history")
    (latest, *_) = told(client, f"/api/v1/patients/{person}/accesses")["accesses"][1:]
    assert latest["action"] == "review_identity"
    assert latest["who"]["roles"] == ["registrar"]
    assert latest["about"] == {"kind": "patient", "id": person}


def test_drift_counts_thirty_days(client: FlaskClient) -> None:
    assert len(told(client, f"{API}/drift")["days"]) == 30


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("reviews?state=lost", {}),
        ("reviews?limit=0", {}),
        ("reviews?start=-1", {}),
        ("people/{person}/history?as_of=yesterday", {}),
        ("people/{person}/history?as_of=2026-11-21T10:00", {}),
        ("people/{person}/merge", {"other": "{person}"}),
        ("people/{person}/merge", {"other": "{person}", "reason": "same"}),
        ("people/{person}/merge", {"other": 5, "reason": "x"}),
        ("people/{person}/separate", {"value": "no", "oid": "1.2", "reason": "x"}),
        ("people/{person}/separate", {"value": "no", "oid": "1.2", "reason": "x", "more": "y"}),
    ],
)
def test_what_cannot_be_understood_is_named(
    desk: Desk, client: FlaskClient, url: str, body: dict[str, Any]
) -> None:
    person = desk.region.person
    filled = {k: v.format(person=person) if isinstance(v, str) else v for k, v in body.items()}
    answer = told(client, f"{API}/{url.format(person=person)}", 400, **filled)
    assert answer["error"]["detail"]


@pytest.mark.parametrize("url", ["reviews/999999", "people/PNOBODY/history"])
def test_what_is_not_there_is_not_found(client: FlaskClient, url: str) -> None:
    assert client.get(f"{API}/{url}").status_code == 404


@pytest.mark.parametrize(
    ("role", "sites"),
    [(r, None) for r in Role if r is not Role.REGISTRAR] + [(Role.REGISTRAR, ("remote",))],
)
def test_everybody_else_is_told_that_there_is_nothing(
    desk: Desk,
    machine: Callable[..., FlaskClient],
    review: tuple[int, int],
    role: Role,
    sites: tuple[str, ...] | None,
) -> None:
    client, person = machine(role, sites), desk.person("sijing", f"S{review[0]}")
    urls = (
        f"{API}/reviews/{review[1]}",
        f"{API}/people/{person}/history",
        f"/api/v1/patients/{person}/consents",
        f"/api/v1/patients/{person}/accesses",
    )
    assert [client.get(url).status_code for url in urls] == [404] * 4
    for url in (f"{API}/reviews/{review[1]}/decision", f"{API}/people/{person}/merge"):
        assert client.post(url, json={"verdict": "link"}).status_code == 404
    reviews = client.get(f"{API}/reviews")
    assert reviews.status_code == (200 if sites else 404)
    assert not sites or not (reviews.json or {})["reviews"]


def test_every_endpoint_is_described(client: FlaskClient) -> None:
    paths = told(client, "/api/v1/openapi.json")["paths"]
    merge = paths["/api/v1/identity/people/{global_id}/merge"]["post"]
    assert merge["requestBody"]["content"]["application/json"]["schema"]["required"]
    decision = paths["/api/v1/identity/reviews/{review_id}/decision"]
    assert set(decision) == {"post", "delete"}
