"""What every answer of the web keeps to, whoever asks: headers, cookies, forms, errors."""

import re
from collections.abc import Callable
from http.cookies import SimpleCookie

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from access_control.model import Role
from hub_kernel.settings import Settings, WebSettings
from tests.viewer_api.region import Region

PASSWORD = "long enough to be one"
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')


@pytest.fixture(scope="module")
def username(region: Region) -> str:
    region.hub.access.accounts.add_user("edge", PASSWORD, [Role.RADIOLOGIST], None, "Doctor Edge")
    return "edge"


@pytest.fixture
def signed_in(region: Region, username: str) -> FlaskClient:
    client = region.client()
    assert sign_in(client, username).status_code == 303
    return client


def sign_in(client: FlaskClient, username: str, url: str = "/sign-in") -> TestResponse:
    token = CSRF.search(client.get(url).get_data(as_text=True))
    assert token
    return client.post(
        url, data={"username": username, "password": PASSWORD, "csrf_token": token[1]}
    )


def session_token(client: FlaskClient) -> str:
    cookie = client.get_cookie("eirhub_session")
    assert cookie is not None
    return cookie.value


@pytest.mark.parametrize("url", ["/sign-in", "/no/such/page", "/dicom-web/studies", "/healthz"])
def test_every_answer_confines_the_browser(anybody: FlaskClient, url: str) -> None:
    headers = anybody.get(url).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "strict-origin"
    assert headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-Id"])


def test_the_session_cookie_cannot_be_read_by_script_nor_sent_from_elsewhere(
    region: Region, username: str
) -> None:
    answer = sign_in(region.client(), username)
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["eirhub_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert not cookie["domain"]


def test_over_https_the_cookie_is_bound_to_the_host(region: Region, username: str) -> None:
    client = region.client()
    client.environ_base["wsgi.url_scheme"] = "https"
    page = client.get("/sign-in", base_url="https://localhost")
    token = CSRF.search(page.get_data(as_text=True))
    assert token
    answer = client.post(
        "/sign-in",
        base_url="https://localhost",
        data={"username": username, "password": PASSWORD, "csrf_token": token[1]},
    )
    assert answer.status_code == 303
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["__Host-eirhub"]
    assert cookie["secure"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_a_token_planted_before_sign_in_is_worthless_after_it(
    region: Region, username: str
) -> None:
    client = region.client()
    client.set_cookie("eirhub_session", "planted-by-somebody")
    sign_in(client, username)
    assert session_token(client) != "planted-by-somebody"
    other = region.client()
    other.set_cookie("eirhub_session", "planted-by-somebody")
    assert other.get("/api/v1/me").status_code == 401


def test_a_token_kept_after_sign_out_opens_nothing(region: Region, signed_in: FlaskClient) -> None:
    kept = session_token(signed_in)
    token = CSRF.search(signed_in.get("/patients").get_data(as_text=True))
    assert token
    assert signed_in.post("/sign-out", data={"csrf_token": token[1]}).status_code == 303
    thief = region.client()
    thief.set_cookie("eirhub_session", kept)
    assert thief.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": "{right}", "Origin": "https://evil.example"},
        {"X-CSRF-Token": "{right}", "Origin": "null"},
        {"X-CSRF-Token": "{right}", "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "{right}", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_can_change_nothing(
    region: Region, signed_in: FlaskClient, headers: dict[str, str]
) -> None:
    right = region.hub.access.sessions.csrf(session_token(signed_in))
    sent = {name: value.replace("{right}", right) for name, value in headers.items()}
    url = f"/api/v1/studies/{region.ct.study}/links"
    before = region.hub.access.links.links_of(region.ct.study)
    assert signed_in.post(url, headers=sent).status_code == 403
    assert region.hub.access.links.links_of(region.ct.study) == before


def test_our_own_page_can_with_its_token(region: Region, signed_in: FlaskClient) -> None:
    right = region.hub.access.sessions.csrf(session_token(signed_in))
    url = f"/api/v1/studies/{region.us_colour.study}/links"
    headers = {"X-CSRF-Token": right, "Origin": "http://localhost"}
    assert signed_in.post(url, headers=headers).status_code == 201


def test_the_token_of_one_session_does_not_fit_another(
    region: Region, signed_in: FlaskClient, username: str
) -> None:
    other = region.client()
    sign_in(other, username)
    foreign = region.hub.access.sessions.csrf(session_token(other))
    url = f"/api/v1/studies/{region.ct.study}/links"
    assert signed_in.post(url, headers={"X-CSRF-Token": foreign}).status_code == 403


def test_signing_in_needs_the_form_of_this_hub(region: Region, username: str) -> None:
    data = {"username": username, "password": PASSWORD}
    assert region.client().post("/sign-in", data=data).status_code == 403
    assert region.client().post("/sign-in", data={**data, "csrf_token": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ("/patients?q=w", "/patients?q=w"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/ok\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_after_sign_in_a_reader_stays_on_this_hub(
    region: Region, username: str, wanted: str, where: str
) -> None:
    client = region.client()
    token = CSRF.search(client.get("/sign-in").get_data(as_text=True))
    assert token
    answer = client.post(
        "/sign-in",
        data={
            "username": username,
            "password": PASSWORD,
            "csrf_token": token[1],
            "next": wanted,
        },
    )
    location = answer.headers["Location"]
    assert location == where if where != "/" else location.startswith("/patients")
    assert "evil" not in location


def test_a_page_asked_for_without_sign_in_leads_there_and_back(anybody: FlaskClient) -> None:
    answer = anybody.get("/patients?q=wang&x=1")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in?next=%2Fpatients%3Fq%3Dwang%26x%3D1"


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/dicom-web/studies/1.2%00",
        "/..%2fetc",
        "/dicom-web/studies/..%2f..%2f",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%252e%252e%252fapp.py",
        "/patients/%0d%0aX: y",
        "/dicom-web/studies/1.2.3.",
        "/dicom-web/studies/" + "1" * 65,
        "/dicom-web/studies/1%2f2",
    ],
)
def test_smuggled_addresses_do_not_exist(radiologist: FlaskClient, path: str) -> None:
    answer = radiologist.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("language", "title"), [("zh-CN,zh;q=0.9", "没有找到"), ("en", "Not found"), ("fr", "没有找到")]
)
@pytest.mark.parametrize("path", ["/nowhere", "/dicom-web/studies/1.2.3", "/api/v1/nowhere"])
def test_errors_speak_the_askers_language_and_carry_their_number(
    radiologist: FlaskClient, path: str, language: str, title: str
) -> None:
    answer = radiologist.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 404
    assert title in answer.get_data(as_text=True)
    assert answer.headers["X-Request-Id"] in answer.get_data(as_text=True)


def test_machines_get_errors_as_json_and_people_as_a_page(radiologist: FlaskClient) -> None:
    assert radiologist.get("/dicom-web/nowhere").is_json
    assert radiologist.get("/nowhere").mimetype == "text/html"


def test_a_body_beyond_the_cap_is_refused_unread(radiologist: FlaskClient, region: Region) -> None:
    url = f"/api/v1/studies/{region.ct.study}/links"
    answer = radiologist.post(url, data=b"x" * (2 << 20), content_type="application/json")
    assert answer.status_code == 413
    lied = radiologist.post(url, environ_overrides={"CONTENT_LENGTH": str(4 << 30)})
    assert lied.status_code == 413


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Forwarded"])
def test_addresses_given_out_do_not_repeat_what_the_asker_claims(
    region: Region, radiologist: FlaskClient, name: str
) -> None:
    for claim in ("evil.example", "evil.example:99", "[", "a b", "localhost@evil.example"):
        answer = radiologist.get(f"{region.ct.study_url}/series", headers={name: claim})
        assert "evil" not in answer.get_data(as_text=True)
        assert answer.status_code in {200, 400}


@pytest.mark.parametrize("path", ["/dicom-web//studies?limit=1", "//dicom-web/studies?limit=1"])
def test_doubled_slashes_lead_to_the_same_path_here_whatever_host_is_claimed(
    radiologist: FlaskClient, path: str
) -> None:
    answer = radiologist.get(path, base_url="http://evil.example/")
    assert b"evil" not in answer.data + repr(list(answer.headers)).encode()
    assert answer.headers.get("Location", "/dicom-web/studies?limit=1") == (
        "/dicom-web/studies?limit=1"
    )
    assert radiologist.get("/dicom-web//studies?limit=1", follow_redirects=True).json


def test_the_configured_public_address_is_the_one_given_out(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    from dataclasses import replace

    from viewer_api.app import create_app

    settings: Settings = region.hub.settings.model_copy(
        update={"web": WebSettings(public_url="https://eir.example/")}
    )
    services = replace(region.app.extensions["eirhub"], settings=settings)
    client = create_app(services).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = machine(Role.RADIOLOGIST).environ_base[
        "HTTP_AUTHORIZATION"
    ]
    answer = client.get(f"{region.ct.study_url}/series")
    assert answer.json is not None
    assert answer.json[0]["00081190"]["Value"] == [f"https://eir.example{region.ct.series_url}"]
    # A proxy in front may ask from this machine for anybody, so numbers need a right as well.
    assert client.get("/metrics").status_code == 404


def test_a_fault_inside_answers_without_telling_what_it_was(
    region: Region, radiologist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret of 王小东")

    monkeypatch.setattr(type(region.hub.index), "find", fail)
    answer = radiologist.get("/dicom-web/studies", headers={"Accept-Language": "en"})
    assert answer.status_code == 500
    text = answer.get_data(as_text=True)
    assert "secret" not in text
    assert "RuntimeError" not in text
    assert answer.headers["X-Request-Id"] in text


def test_without_its_database_the_hub_still_answers_and_says_not_ready(
    region: Region, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT secret", None, Exception("disk"))

    monkeypatch.setattr(type(region.hub.database), "read", fail)
    page = signed_in.get("/patients", headers={"Accept-Language": "en"})
    assert page.status_code == 500
    assert "Something failed here" in page.get_data(as_text=True)
    assert "secret" not in page.get_data(as_text=True)
    assert signed_in.get("/readyz").status_code == 503
    assert signed_in.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer guessed",
        "Bearer ",
        "Basic ZWRnZTpsb25n",
        "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoicmFkaW9sb2dpc3QifQ.",
    ],
)
def test_tokens_that_nobody_gave_out_open_nothing(anybody: FlaskClient, authorization: str) -> None:
    answer = anybody.get("/dicom-web/studies", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_bearer_token_is_not_made_good_by_a_session(signed_in: FlaskClient) -> None:
    assert signed_in.get("/api/v1/me").status_code == 200
    answer = signed_in.get("/api/v1/me", headers={"Authorization": "Bearer guessed"})
    assert answer.status_code == 401
