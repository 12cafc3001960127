"""Rows 88 to 93, 96 and 99 of the table of bad inputs, on every route the application has.

The routes come from the application itself, so a new page stands here on the day it appears. How
slow or doubled requests (97, 98) end is settled before any route is known: `test_http_server.py`.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.viewer_api.region import Region
from tests.viewer_api.test_security_edge import PASSWORD, session_token, sign_in
from tests.viewer_api.test_security_matrix import (
    OPEN_TO_EVERYONE,
    Target,
    assert_nothing_shown,
    target_in,
    values_of,
)

SAFE = {"GET", "HEAD", "OPTIONS"}
# An app anywhere may send this one: no cookie counts there, what opens a link is in the request.
WITHOUT_FORM_TOKEN = {"health_links.manifest"}
# What they are sent is DICOM; they read no form.
TAKES_LARGE_BODIES = {"dicomweb_storing.store", "dicomweb_storing.store_in_study"}
# What a browser shows inside one of the hub's own pages: a PDF, and the pages that frame one.
FRAMED_BY_OURSELVES = {"frame-ancestors 'self'"}
SMUGGLED = ("..%2f..%2fetc%2fpasswd", "1.2%00", "%252e%252e%252f")


@dataclass(frozen=True)
class Route:
    """One rule and method, and the address that aims it at the target."""

    rule: Rule
    method: str
    url: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.rule.rule}"


@pytest.fixture(scope="module")
def target(region: Region) -> Target:
    return target_in(region)


@pytest.fixture(scope="module")
def routes(region: Region, target: Target) -> list[Route]:
    version = region.hub.eir.version(target.shown.study, "public")
    pictures = version.key_pictures if version else ()
    values = values_of(target, pictures[0].picture_id if pictures else "0")
    adapter = region.app.url_map.bind("localhost")
    found = []
    for rule in region.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            arguments = {name: values[name] for name in rule.arguments}
            found.append(
                Route(rule, method, adapter.build(rule.endpoint, arguments, method=method))
            )
    assert len(found) > 100
    return found


@pytest.fixture(scope="module")
def reader(region: Region) -> FlaskClient:
    """A browser of somebody with every right there is."""
    region.hub.access.accounts.add_user("walker", PASSWORD, list(Role), None, "Walker")
    client = region.client()
    assert sign_in(client, "walker").status_code == 303
    return client


def send(client: FlaskClient, route: Route, **how: object) -> TestResponse:
    return client.open(route.url, method=route.method, buffered=True, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": "{right}", "Origin": "https://evil.example"},
        {"X-CSRF-Token": "{right}", "Origin": "null"},
        {"X-CSRF-Token": "{right}", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=["no token", "other origin", "no origin at all", "another site's page"],
)
def test_88_and_92_no_route_changes_anything_for_another_sites_page(
    region: Region, reader: FlaskClient, routes: list[Route], headers: dict[str, str]
) -> None:
    right = region.hub.access.sessions.csrf(session_token(reader))
    sent = {name: value.replace("{right}", right) for name, value in headers.items()}
    unsafe = [one for one in routes if one.method not in SAFE]
    assert len(unsafe) > 20
    for route in unsafe:
        answer = send(reader, route, headers=sent)
        if route.rule.endpoint not in WITHOUT_FORM_TOKEN:
            assert answer.status_code == 403, route.name
            continue
        # There the session is worth nothing, with its token and without it.
        assert answer.status_code == 415, route.name


def test_the_control_of_88_the_hubs_own_page_gets_further(
    region: Region, reader: FlaskClient, routes: list[Route]
) -> None:
    right = region.hub.access.sessions.csrf(session_token(reader))
    own = {"X-CSRF-Token": right, "Origin": "http://localhost"}
    asked = [one for one in routes if one.method != "GET" and "guessed" in one.url]
    answers = [send(reader, one, headers=own).status_code for one in asked]
    assert answers
    assert 403 not in answers


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_no_route_sees_a_null_character_that_the_address_or_a_form_holds(
    region: Region, reader: FlaskClient, routes: list[Route], kind: str
) -> None:
    right = region.hub.access.sessions.csrf(session_token(reader))
    for route in routes:
        answer = send(reader, route, query_string={"q": "wang\0"})
        assert answer.status_code == 400, route.name
        if route.method in SAFE or route.rule.endpoint in TAKES_LARGE_BODIES:
            continue
        answer = send(
            reader, route, data={"reason": "wang\0", "csrf_token": right}, content_type=kind
        )
        assert answer.status_code == 400, route.name
        # The control: it is for that character alone.
        answer = send(reader, route, query_string={"q": "wang"}, data={"reason": "wang"})
        assert answer.status_code == 403 or route.rule.endpoint in WITHOUT_FORM_TOKEN, route.name


def planted(region: Region, _reader: FlaskClient) -> FlaskClient:
    client = region.client()
    client.set_cookie("eirhub_session", "planted-by-somebody")
    client.set_cookie("eirhub_link", "planted-by-somebody")
    return client


def signed_out(region: Region, _reader: FlaskClient) -> FlaskClient:
    """A browser that kept its cookie after its reader had signed out."""
    left, thief = region.client(), region.client()
    assert sign_in(left, "walker").status_code == 303
    thief.set_cookie("eirhub_session", session_token(left))
    assert thief.get("/api/v1/me").status_code == 200
    token = region.hub.access.sessions.csrf(session_token(left))
    assert left.post("/sign-out", data={"csrf_token": token}).status_code == 303
    return thief


def bearing(algorithm: str, **more: str) -> Callable[[Region, FlaskClient], FlaskClient]:
    """A JWT by which a stranger says to be a radiologist, signed by nobody."""
    header, claims = {"alg": algorithm, **more}, {"roles": ["radiologist"], "role": "radiologist"}
    said = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in (header, claims)]
    token = b".".join([*said, b""]).replace(b"=", b"").decode()

    def make(region: Region, _reader: FlaskClient) -> FlaskClient:
        client = region.client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    return make


@pytest.mark.parametrize(
    "client_of",
    [
        planted,
        signed_out,
        bearing("none"),
        bearing("HS256", kid="../../dev/null"),
    ],
    ids=["planted", "after signing out", "alg none", "kid"],
)
def test_89_and_90_what_was_not_given_out_or_is_over_opens_nothing(
    region: Region,
    reader: FlaskClient,
    routes: list[Route],
    target: Target,
    client_of: Callable[[Region, FlaskClient], FlaskClient],
) -> None:
    client = client_of(region, reader)
    for route in routes:
        if route.method not in SAFE or route.rule.endpoint in OPEN_TO_EVERYONE:
            continue
        answer = send(client, route)
        assert_nothing_shown(answer, route.url, target)
        if answer.status_code == 303:
            assert answer.headers["Location"].startswith("/sign-in?"), route.name
        else:
            assert answer.status_code == 401, route.name


def test_90_and_91_nobody_gives_themselves_a_role_or_an_emergency(
    region: Region,
    routes: list[Route],
    target: Target,
    machine: Callable[..., FlaskClient],
) -> None:
    client = machine(Role.TECHNICIAN, sites=("central",))
    links = region.hub.access.links.links_of(target.shown.study)
    asked = {
        "role": "radiologist",
        "roles": "radiologist",
        "sites": "sijing",
        "purpose": "break_glass",
        "reason": "emergency",
        "break_glass": "1",
    }
    headers = {"X-Role": "radiologist", "X-User": "reader", "X-Purpose": "BTG"}
    for route in routes:
        sent = {"json": asked} if route.method not in SAFE else {"query_string": asked}
        answer = send(client, route, headers=headers, **sent)
        assert_nothing_shown(answer, route.url, target)
        if route.rule.arguments & {"study", "study_uid", "series", "instance", "global_id"}:
            assert answer.status_code in {400, 404, 415}, f"{route.name}: {answer.status_code}"
    me = client.get("/api/v1/me", query_string=asked, headers=headers).get_json()
    assert me["roles"] == ["technician"]
    assert region.hub.access.links.links_of(target.shown.study) == links


def test_92_93_and_96_no_answer_is_framed_believes_a_claim_or_leads_away(
    region: Region, routes: list[Route], machine: Callable[..., FlaskClient]
) -> None:
    # A token and no cookie: a browser would not send the cookie of this hub to another name.
    client = machine(*Role)
    before = region.hub.access.audit.head().sequence
    claims = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6;host=evil.example;proto=https",
        "X-Original-URL": "/patients",
    }
    away = {"next": "//away.example", "back": "//away.example", "url": "https://away.example/x"}
    pages = 0
    for route in routes:
        if route.method not in SAFE:
            continue
        answer = send(client, route, headers=claims, query_string=away)
        assert answer.status_code != 500, route.name
        seen = answer.data + repr(list(answer.headers)).encode()
        assert b"evil.example" not in seen, route.name
        assert b"6.6.6.6" not in seen, route.name
        leads = answer.headers.get("Location", "")
        assert "away.example" not in urlsplit(leads).netloc, route.name
        assert not leads.startswith(("//", "/\\")), route.name
        policy = answer.headers["Content-Security-Policy"]
        framing = re.findall(r"frame-ancestors [^;]+", policy)
        assert framing == ["frame-ancestors 'none'"] or set(framing) == FRAMED_BY_OURSELVES
        pages += answer.mimetype == "text/html" and answer.status_code == 200
    assert pages > 20
    query = AuditQuery(limit=500)
    records = [r for r in region.hub.access.audit.search(query).records if r.sequence > before]
    assert records
    assert {one.address for one in records} <= {"127.0.0.1", ""}


def test_99_no_argument_of_any_route_leads_out_of_it(
    routes: list[Route], machine: Callable[..., FlaskClient]
) -> None:
    client = machine(Role.RADIOLOGIST)
    tried = 0
    for route, url in _smuggling(routes):
        answer = client.open(url, method=route.method, buffered=True)
        assert answer.status_code == 404, f"{route.method} {url}: {answer.status_code}"
        assert b"root:" not in answer.data
        tried += 1
    assert tried > 200


def _smuggling(routes: list[Route]) -> Iterator[tuple[Route, str]]:
    """Every address with one argument replaced by something that would lead elsewhere."""
    for route in {one.rule.rule: one for one in routes}.values():
        parts = re.findall(r"<[^>]+>", route.rule.rule)
        for place in parts:
            for smuggled in SMUGGLED:
                url = route.rule.rule.replace(place, smuggled)
                yield route, re.sub(r"<[^>]+>", "1", url)
