"""`/api/v1` from outside: who am I, find a person, timeline, proof of arrival, shared links."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from access_control.errors import LinkRefusedError
from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.settings import ArchiveSettings, HubSettings, Settings
from hub_runtime.bootstrap import build_hub
from tests.viewer_api.region import Region, web_app


@pytest.fixture(scope="module")
def global_id(region: Region) -> str:
    sijing = region.hub.access.sites.get("sijing").assigning_authority
    found = region.hub.patients.resolve(PatientIdentifier("S001", sijing))
    assert found is not None
    return found


def test_me_says_who_the_hub_takes_the_asker_for(machine: Callable[..., FlaskClient]) -> None:
    assert (found := machine(Role.CLINICIAN, sites=("sijing",)).get("/api/v1/me").json) is not None
    assert (found["kind"], found["roles"], found["sites"]) == ("machine", ["clinician"], ["sijing"])
    whole = machine(Role.RADIOLOGIST).get("/api/v1/me").json
    assert whole is not None
    assert whole["sites"] is None


@pytest.mark.parametrize("text", ["王小东", "wangxiaodong", "wxd", "J900", "S001"])
def test_a_person_is_found_by_name_pinyin_initials_and_number(
    machine: Callable[..., FlaskClient], global_id: str, text: str
) -> None:
    client = machine(Role.CLINICIAN, sites=("jiuting",))
    answer = client.get("/api/v1/patients", query_string={"q": text})
    assert answer.json is not None
    (person,) = answer.json["patients"]
    assert person["global_id"] == global_id
    assert person["name"]["display"] == "王小东"
    assert {one["value"] for one in person["identifiers"]} == {"S001", "J900"}


def test_two_people_with_the_same_local_number_are_two(radiologist: FlaskClient) -> None:
    answer = radiologist.get("/api/v1/patients?q=S001")
    assert answer.json is not None
    assert len(answer.json["patients"]) == 2


@pytest.mark.parametrize(
    "query", ["", "q=", "q=%20", "q=" + "x" * 65, "q=a&limit=0", "q=a&limit=x"]
)
def test_a_search_that_makes_no_sense_is_refused(radiologist: FlaskClient, query: str) -> None:
    assert radiologist.get(f"/api/v1/patients?{query}").status_code == 400


@pytest.mark.parametrize("text", ["' OR 1=1", "%", "_", "<script>", "{{7*7}}"])
def test_sql_and_markup_in_a_search_are_text(radiologist: FlaskClient, text: str) -> None:
    answer = radiologist.get("/api/v1/patients", query_string={"q": text})
    assert answer.json == {"patients": []}


def test_a_timeline_joins_the_studies_of_all_sites_newest_first(
    region: Region, machine: Callable[..., FlaskClient], global_id: str
) -> None:
    client = machine(Role.CLINICIAN, sites=("jiuting",))
    answer = client.get(f"/api/v1/patients/{global_id}/timeline")
    assert answer.json is not None
    studies = answer.json["studies"]
    assert {study["study_instance_uid"] for study in studies} == {
        region.ct.study,
        region.mr_multiframe.study,
    }
    dates = [study["study_date"] or "" for study in studies]
    assert dates == sorted(dates, reverse=True)


def test_a_timeline_of_somebody_elses_patient_does_not_exist(
    machine: Callable[..., FlaskClient], global_id: str
) -> None:
    client = machine(Role.CLINICIAN, sites=("central",))
    for asked in (global_id, "P0000000000000", "x" * 500, "%00"):
        assert client.get(f"/api/v1/patients/{asked}/timeline").status_code == 404


@pytest.mark.parametrize(
    ("role", "sites"),
    [
        (Role.RADIOLOGIST, ("jiuting",)),
        (Role.TECHNICIAN, ("sijing",)),
        (Role.ENGINEER, None),
        (Role.MANAGER, ("sijing",)),
    ],
)
def test_the_ledger_of_a_study_proves_each_step(
    region: Region,
    machine: Callable[..., FlaskClient],
    role: Role,
    sites: tuple[str, ...] | None,
) -> None:
    answer = machine(role, sites=sites).get(f"/api/v1/studies/{region.ct.study}")
    found = answer.json
    assert found is not None
    assert found["received"]["instances"] == 1
    assert found["archived"]["done"]
    assert found["registered"]["done"]
    assert {recipe: step["done"] for recipe, step in found["rendered"].items()} == {
        "diagnostic": True,
        "clinical": True,
        "public": True,
    }
    assert "Wang" not in answer.get_data(as_text=True)


def test_the_ledger_of_another_sites_study_does_not_exist(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    for role in (Role.TECHNICIAN, Role.MANAGER, Role.ENGINEER, Role.RADIOLOGIST):
        client = machine(role, sites=("central",))
        assert client.get(f"/api/v1/studies/{region.ct.study}").status_code == 404


def test_a_link_is_made_once_shown_opened_and_revoked(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    client = machine(Role.CLINICIAN, sites=("sijing",))
    url = f"/api/v1/studies/{region.mr_multiframe.study}/links"
    made = client.post(url, json={"expires_in_days": 3, "max_views": 5})
    assert made.status_code == 201
    assert made.json is not None
    token = made.json["url"].rpartition("/share/")[2]
    opened = region.hub.access.links.open(token, made.json["passcode"], "127.0.0.1")
    assert opened.study_instance_uid == region.mr_multiframe.study
    (listed,) = (client.get(url).json or {})["links"]
    assert (listed["link_id"], listed["views"]) == (made.json["link_id"], 1)
    assert token not in client.get(url).get_data(as_text=True)
    for _ in range(2):
        assert client.delete(f"{url}/{made.json['link_id']}").status_code == 204
    with pytest.raises(LinkRefusedError):
        region.hub.access.links.open(token, made.json["passcode"], "127.0.0.1")


def test_a_link_is_revoked_only_under_its_own_study(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    client = machine(Role.CLINICIAN)
    made = client.post(f"/api/v1/studies/{region.mr_multiframe.study}/links")
    assert made.json is not None
    wrong = f"/api/v1/studies/{region.us_colour.study}/links/{made.json['link_id']}"
    assert client.delete(wrong).status_code == 404
    stranger = machine(Role.CLINICIAN, sites=("central",))
    right = f"/api/v1/studies/{region.mr_multiframe.study}/links/{made.json['link_id']}"
    assert stranger.delete(right).status_code == 404
    assert client.delete(right).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "not json",
        '{"expires_in_days": 0}',
        '{"expires_in_days": "7"}',
        '{"expires_in_days": true}',
        '{"expires_in_days": 100000}',
        '{"expires_in_days": 1000}',
        '{"max_views": 0}',
        f'{{"max_views": {1 << 70}}}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"passcode": "123456"}',
        '{"passcode": "abc"}',
        '{"passcode": "\\ud800\\u0000"}',
        '{"created_by": "somebody else"}',
    ],
    ids=lambda body: body[:30],
)
def test_a_link_that_makes_no_sense_is_refused(
    region: Region, machine: Callable[..., FlaskClient], body: str
) -> None:
    answer = machine(Role.CLINICIAN).post(
        f"/api/v1/studies/{region.ct.study}/links", data=body, content_type="application/json"
    )
    assert answer.status_code == 400, answer.get_data(as_text=True)


def test_the_description_names_every_endpoint_and_needs_no_sign_in(
    region: Region, anybody: FlaskClient
) -> None:
    described = anybody.get("/api/v1/openapi.json").json
    assert described is not None
    assert described["openapi"].startswith("3.1")
    rules = [rule for rule in region.app.url_map.iter_rules() if rule.rule.startswith("/api/v1/")]
    methods = sum(len((rule.methods or set()) & {"GET", "POST", "DELETE"}) for rule in rules)
    assert sum(len(path) for path in described["paths"].values()) == methods
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in named)


def test_health_readiness_and_numbers_are_there_for_this_machine(anybody: FlaskClient) -> None:
    assert anybody.get("/healthz").json == {"status": "ok"}
    assert anybody.get("/readyz").json == {
        "status": "ready",
        "database": "ok",
        "archive": "ok",
    }
    metrics = anybody.get("/metrics")
    assert metrics.mimetype == "text/plain"
    text = metrics.get_data(as_text=True)
    assert 'eirhub_http_request_seconds_bucket{endpoint="operations.healthz"' in text
    assert "share/" not in text


def test_a_hub_whose_archive_is_below_its_reserve_is_not_ready(tmp_path: Path) -> None:
    settings = Settings(
        hub=HubSettings(data_dir=tmp_path), archive=ArchiveSettings(min_free_bytes=1 << 62)
    )
    hub = build_hub(settings)
    hub.open()
    answer = web_app(hub).test_client().get("/readyz")
    hub.close()
    assert answer.status_code == 503
    assert answer.json == {
        "status": "not ready",
        "database": "ok",
        "archive": "below its reserve",
    }


def test_numbers_are_for_this_machine_and_for_operators(
    region: Region, machine: Callable[..., FlaskClient], anybody: FlaskClient
) -> None:
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}
    assert anybody.get("/metrics", environ_overrides=elsewhere).status_code == 404
    engineer = machine(Role.ENGINEER)
    assert engineer.get("/metrics", environ_overrides=elsewhere).status_code == 200
    doctor = machine(Role.CLINICIAN)
    assert doctor.get("/metrics", environ_overrides=elsewhere).status_code == 404
