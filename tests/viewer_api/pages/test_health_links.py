"""A SMART Health Link as an app opens it: asked and decrypted by the text of the guide alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fhir.resources.R4B.bundle import Bundle
from werkzeug.test import Client, TestResponse

from access_control.audit import AuditQuery
from access_control.shared_links import NewLink, ShareRequest
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import CHEST_CT, Region
from viewer_api.health_links.payload import two_doors

WRONG = "000000"
DISCLAIMER = "软件提供的信息不作为医生诊断和治疗的依据"


def b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class App:
    """What an app makes of a link it was shown: steps of "Receiving Application processes"."""

    client: Client
    payload: dict[str, Any]

    @classmethod
    def reading(cls, region: Region, address: str) -> App:
        """Scan an address: what stands behind shlink:/ is base64url of minified JSON."""
        assert "#shlink:/" in address
        payload = json.loads(b64url(address.partition("shlink:/")[2]))
        return cls(Client(region.application), payload)

    @property
    def path(self) -> str:
        return "/" + self.payload["url"].split("/", 3)[3]

    def ask(self, passcode: str, **more: Any) -> TestResponse:
        """Post the manifest request as another site's page would: no form token, an Origin."""
        body = {"recipient": "Dr. 张 Clinic", "passcode": passcode} | more
        return self.client.post(
            self.path,
            json={name: value for name, value in body.items() if value is not None},
            headers={"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"},
            environ_base={"REMOTE_ADDR": "203.0.113.9"},
        )

    def open(self, passcode: str, **more: Any) -> dict[str, Any]:
        """Return the one resource behind the link."""
        answer = self.ask(passcode, **more)
        assert answer.status_code == 200, answer.data
        (entry,) = answer.get_json()["files"]
        if "location" in entry:
            got = self.client.get("/" + entry["location"].split("/", 3)[3])
            assert got.mimetype == "application/jose"
            return self.decrypted(got.get_data(as_text=True))
        return self.decrypted(entry["embedded"])

    def decrypted(self, jwe: str, key: str = "") -> dict[str, Any]:
        """RFC 7516 compact by hand: dir, A256GCM, the header as additional data."""
        head, no_key, nonce, sealed, tag = jwe.split(".")
        header = json.loads(b64url(head))
        assert (header["alg"], header["enc"]) == ("dir", "A256GCM")
        assert header["cty"] == "application/fhir+json"
        assert no_key == ""
        plain = AESGCM(b64url(key or self.payload["key"])).decrypt(
            b64url(nonce), b64url(sealed) + b64url(tag), head.encode()
        )
        found: dict[str, Any] = json.loads(plain)
        return found


@dataclass(frozen=True)
class Made:
    """A link to the chest CT, and the app that was shown its code."""

    link: NewLink
    app: App


@pytest.fixture
def make(region: Region) -> Callable[..., Made]:
    def make(*, days: float = 7, max_views: int | None = None) -> Made:
        ends = region.hub.base.clock.now() + timedelta(days=days)
        link = region.hub.access.links.create(
            ShareRequest(CHEST_CT, region.person, "x", ends, max_views=max_views)
        )
        with region.application.app.test_request_context():  # type: ignore[attr-defined]
            address = two_doors(link.token, ends, once=max_views is not None)
        return Made(link, App.reading(region, address))

    return make


@pytest.fixture
def made(make: Callable[..., Made]) -> Made:
    return make()


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [one["resource"] for one in bundle["entry"]]
    return [one for one in found if one["resourceType"] == kind]


def test_one_code_is_a_page_for_a_browser_and_a_link_for_an_app(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    page = soup(signed_in("doctor").send(f"/studies/{CHEST_CT}/share", days="1"))
    address = page.select_one("#health-link").get_text(strip=True)
    assert address.partition("#")[0] == page.select_one("#link").get_text(strip=True)
    app = App.reading(region, address)
    payload = app.payload
    assert set(payload) == {"url", "flag", "key", "exp", "label"}
    assert payload["flag"] == "LP"
    assert len(payload["url"]) <= 128
    assert len(payload["label"]) <= 80
    assert len(payload["key"]) == 43
    assert len(b64url(payload["key"])) == 32
    passcode = page.select_one("#passcode").get_text()
    assert of_kind(app.open(passcode), "ImagingStudy")
    door = Browser(region)
    assert door.send("/" + address.partition("#")[0].split("/", 3)[3], passcode=passcode)
    assert door.get("/share/exam").status_code == 200


def test_a_link_that_counts_its_openings_is_not_for_polling(make: Callable[..., Made]) -> None:
    assert make(max_views=1).app.payload["flag"] == "P"


def test_an_app_gets_what_the_page_shows_and_nothing_else(made: Made, region: Region) -> None:
    bundle = made.app.open(made.link.passcode)
    Bundle.model_validate(bundle)
    kinds = [one["resource"]["resourceType"] for one in bundle["entry"]]
    assert kinds[:2] == ["Patient", "ImagingStudy"]
    (patient,), (study,) = of_kind(bundle, "Patient"), of_kind(bundle, "ImagingStudy")
    assert set(patient) == {"resourceType", "meta"}
    assert study["started"] == "2026-11-20"
    assert study["modality"][0]["code"] == "CT"
    assert DISCLAIMER in study["note"][0]["text"]
    version = region.hub.eir.version(CHEST_CT, "public")
    assert version
    pictures = of_kind(bundle, "DocumentReference")
    assert len(pictures) == len(version.key_pictures) > 0
    for shown, stored in zip(pictures, version.key_pictures, strict=True):
        attachment = shown["content"][0]["attachment"]
        data = base64.b64decode(attachment["data"])
        assert hashlib.sha256(data).hexdigest() == stored.sha256
        assert attachment["contentType"] == "image/jpeg"
    (page,) = of_kind(bundle, "Endpoint")
    assert page["address"].endswith(f"/share/{made.link.token}")
    said = json.dumps(bundle, ensure_ascii=False)
    for hidden in ("王", "Wang", "L0427", "A20261120001", "胸部平扫", CHEST_CT, region.person):
        assert hidden not in said
    again = made.app.open(made.link.passcode)
    assert [one["fullUrl"] for one in again["entry"]] == [o["fullUrl"] for o in bundle["entry"]]


def test_every_file_has_a_nonce_of_its_own_and_only_its_key_opens_it(
    made: Made, make: Callable[..., Made]
) -> None:
    first, second = (
        made.app.ask(made.link.passcode).get_json()["files"][0]["embedded"] for _ in range(2)
    )
    assert first.split(".")[2] != second.split(".")[2]
    with pytest.raises(InvalidTag):
        made.app.decrypted(first, key=make().app.payload["key"])
    head, rest = first.split(".", 1)
    other = base64.urlsafe_b64encode(b64url(head).replace(b"fhir", b"fhix")).decode().rstrip("=")
    with pytest.raises((InvalidTag, AssertionError)):
        made.app.decrypted(f"{other}.{rest}")


@pytest.mark.parametrize("longest", [0, 100])
def test_a_file_longer_than_asked_for_is_fetched_by_a_ticket(made: Made, longest: int) -> None:
    answer = made.app.ask(made.link.passcode, embeddedLengthMax=longest)
    (entry,) = answer.get_json()["files"]
    assert "embedded" not in entry
    assert of_kind(made.app.open(made.link.passcode, embeddedLengthMax=longest), "Endpoint")
    large = made.app.ask(made.link.passcode, embeddedLengthMax=50_000_000).get_json()["files"][0]
    assert "location" not in large


def test_a_ticket_opens_its_own_link_only_and_dies_with_it(
    made: Made, make: Callable[..., Made], region: Region
) -> None:
    asked = made.app.ask(made.link.passcode, embeddedLengthMax=0)
    path = "/" + asked.get_json()["files"][0]["location"].split("/", 3)[3]
    ticket = path.rpartition("/")[2]
    get = made.app.client.get
    assert get(path).status_code == 200
    assert get(f"/shl/{make().link.token}/{ticket}").status_code == 404
    ends, _, mac = ticket.partition("-")
    for forged in (f"{int(ends) + 60}-{mac}", f"{ends}-{'0' * 64}", mac, "-", f"{ends}-", "x-é"):
        assert get(f"/shl/{made.link.token}/{forged}").status_code == 404, forged
    region.hub.access.links.revoke(made.link.link_id)
    assert get(path).status_code == 404


def test_a_wrong_passcode_says_how_many_are_left_and_then_the_link_is_dead(
    made: Made, region: Region
) -> None:
    left = []
    for _ in range(10):
        answer = made.app.ask(WRONG)
        assert answer.status_code == 401
        assert answer.mimetype == "application/json"
        left.append(answer.get_json()["remainingAttempts"])
    assert left == list(range(9, -1, -1))
    for passcode in (WRONG, made.link.passcode):
        assert made.app.ask(passcode).status_code == 404
    # Both doors have one lock.
    browser = Browser(region)
    assert browser.send(f"/share/{made.link.token}", passcode=made.link.passcode).status_code == 404


def test_wrong_passcodes_at_the_page_count_for_apps(made: Made, region: Region) -> None:
    browser = Browser(region)
    for _ in range(4):
        browser.send(f"/share/{made.link.token}", passcode=WRONG)
    assert made.app.ask(WRONG).get_json() == {"remainingAttempts": 5}


def test_over_revoked_used_up_and_guessed_links_are_not_found_alike(
    make: Callable[..., Made], region: Region
) -> None:
    revoked, used = make(), make(max_views=1)
    region.hub.access.links.revoke(revoked.link.link_id)
    assert used.app.ask(used.link.passcode).status_code == 200
    over = make(days=0.7 / 86_400)
    while region.hub.access.links.behind(over.link.token):
        pass
    guessed = App(revoked.app.client, {"url": f"http://localhost/shl/{'g' * 43}"})
    answers = [
        app.ask(passcode)
        for app, passcode in (
            (revoked.app, revoked.link.passcode),
            (used.app, used.link.passcode),
            (over.app, over.link.passcode),
            (revoked.app, WRONG),
            (guessed, WRONG),
        )
    ]
    assert [one.status_code for one in answers] == [404] * 5
    assert (
        len({one.data.replace(one.headers["X-Request-Id"].encode(), b"") for one in answers}) == 1
    )


def test_who_opened_it_reads_that_an_app_did_and_for_whom(made: Made, region: Region) -> None:
    browser = Browser(region)
    browser.send(f"/share/{made.link.token}", passcode=made.link.passcode)
    made.app.ask(made.link.passcode, recipient="Dr. 张\u202e <b>Clinic</b>")
    page = browser.get("/share/exam").get_data(as_text=True)
    app, own = (one.get_text(" ") for one in browser.page("/share/exam").select(".visits li"))
    assert "this visit" in own
    assert "this visit" not in app
    assert "Dr. 张\\u202e &lt;b&gt;Clinic&lt;/b&gt;" in page
    assert "203.0.113.9" in page
    records = region.hub.access.audit.search(AuditQuery(action="open_link")).records
    assert sum(one.subject_id == made.link.link_id for one in records) == 2


def test_an_app_that_does_not_keep_to_the_form_is_told_so_and_costs_no_attempt(made: Made) -> None:
    ask, post = made.app.ask, made.app.client.post
    for more in (
        {"recipient": None},
        {"recipient": " "},
        {"recipient": 7},
        {"embeddedLengthMax": -1},
        {"embeddedLengthMax": True},
        {"embeddedLengthMax": "9"},
    ):
        assert ask(WRONG, **more).status_code == 400, more
    for body in (b"", b"[]", b"[" * 3000, b"\xff", b'{"recipient":"a","recipient":"b"}'):
        assert post(made.app.path, data=body, content_type="application/json").status_code == 400
    assert post(made.app.path, data=b"{}", content_type="text/plain").status_code == 415
    assert ask(WRONG, note="x" * 5_000).status_code == 413
    assert ask(WRONG).get_json() == {"remainingAttempts": 9}


def test_apps_on_any_site_may_ask_and_no_cookie_counts(
    made: Made, signed_in: Callable[..., Browser]
) -> None:
    before = made.app.client.options(
        made.app.path,
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"},
    )
    for answer in (before, made.app.ask(WRONG), made.app.ask(made.link.passcode)):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
    assert before.status_code == 200
    doctor = signed_in("doctor")
    assert doctor.get(f"{made.app.path}/1-{'0' * 64}").status_code == 404
    assert doctor.post(made.app.path, recipient="x").status_code == 415


def test_the_token_and_the_key_reach_neither_database_nor_log(
    made: Made, region: Region, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    made.app.open(made.link.passcode, embeddedLengthMax=0)
    made.app.ask(WRONG)
    key = made.app.payload["key"]
    with region.database.read() as session:
        connection = session.connection().connection.dbapi_connection
        assert connection
        dump = "\n".join(connection.iterdump())
    assert made.link.link_id in dump
    for secret in (made.link.token, key, b64url(key).hex(), made.link.passcode + "'"):
        assert secret not in dump, "a secret is in the database"
        assert secret not in caplog.text
