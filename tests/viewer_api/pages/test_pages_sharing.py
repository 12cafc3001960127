"""Sharing with the patient, and what the patient sees on a phone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from PIL import Image

from access_control.shared_links import ShareRequest
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import CHEST_CT, FOREIGN, NAMESAKE_CT, PASSWORD, Region

DISCLAIMER = "软件提供的信息不作为医生诊断和治疗的依据"


@dataclass(frozen=True)
class Shared:
    path: str
    passcode: str


@pytest.fixture
def shared(signed_in: Callable[..., Browser]) -> Shared:
    """A link as a ward doctor makes it on the page."""
    return share(signed_in("doctor"))


def share(doctor: Browser) -> Shared:
    page = soup(doctor.send(f"/studies/{CHEST_CT}/share", days="7"))
    url = page.select_one("#link").get_text(strip=True)
    return Shared("/share/" + url.rsplit("/share/", 1)[1], page.select_one("#passcode").get_text())


def plain(text: str) -> str:
    """A page without what differs by browser: the token of its form."""
    return re.sub(r'name="csrf_token" value="[^"]+"', "", text)


def test_link_passcode_and_code_are_shown_once(signed_in: Callable[..., Browser]) -> None:
    doctor = signed_in("doctor")
    made = soup(doctor.send(f"/studies/{CHEST_CT}/share", days="1"))
    passcode = made.select_one("#passcode").get_text()
    token = made.select_one("#link").get_text().rsplit("/", 1)[1]
    assert re.fullmatch(r"[0-9]{6}", passcode)
    assert len(token) >= 43
    assert made.select_one(".qr svg path")
    later = doctor.get(f"/studies/{CHEST_CT}/share").get_data(as_text=True)
    assert token not in later
    assert passcode not in later


def test_the_citizen_sees_which_examination_when_where_and_who_opened_it(
    browser: Browser, shared: Shared
) -> None:
    opened = browser.send(shared.path, passcode=shared.passcode)
    assert opened.headers["Location"] == "/share/exam"
    page = browser.page("/share/exam")
    text = page.get_text(" ", strip=True)
    for said in ("CT scan · Chest", "November 20, 2026", "Sijing Community", DISCLAIMER, "127.0."):
        assert said in text
    for hidden in ("王小东", "L0427", "A20261120001", "胸部平扫", CHEST_CT, shared.path[7:]):
        assert hidden not in str(page)
    picture = browser.get(page.select_one(".pictures img")["src"])
    low, high = Image.open(io.BytesIO(picture.data)).convert("L").getextrema()
    assert high - low > 50


def test_guessed_expired_withdrawn_and_locked_links_read_alike(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    doctor, links = signed_in("doctor"), region.hub.access.links
    withdrawn, locked = share(doctor), share(doctor)
    for status in links.links_of(CHEST_CT)[:1]:
        locked_id = status.link_id
    ids = {status.link_id for status in links.links_of(CHEST_CT)}
    withdrawn_id = links.links_of(CHEST_CT)[1].link_id
    doctor.send(
        f"/studies/{CHEST_CT}/share", to=f"/studies/{CHEST_CT}/share/{withdrawn_id}/withdraw"
    )
    assert locked_id in ids
    guesser = Browser(region)
    for _ in range(10):
        guesser.send(locked.path, passcode="000000")
    expired = _expired(region)
    answers = [
        Browser(region).send(path, passcode=passcode)
        for path, passcode in (
            ("/share/" + "g" * 43, "123456"),
            (expired.path, expired.passcode),
            (withdrawn.path, withdrawn.passcode),
            (locked.path, locked.passcode),
            (share(doctor).path, "999999"),
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({plain(answer.get_data(as_text=True)) for answer in answers}) == 1
    assert DISCLAIMER not in answers[0].get_data(as_text=True)


def test_the_door_of_a_guessed_link_looks_like_that_of_a_real_one(
    region: Region, shared: Shared
) -> None:
    real, guessed = Browser(region).get(shared.path), Browser(region).get("/share/" + "x" * 43)
    assert real.status_code == guessed.status_code == 200
    assert plain(real.get_data(as_text=True)) == plain(guessed.get_data(as_text=True))
    assert shared.path[7:] not in real.get_data(as_text=True)


@pytest.mark.parametrize("path", ["door", "/share/exam"])
def test_answers_are_kept_nowhere_and_send_no_referrer(
    browser: Browser, shared: Shared, path: str
) -> None:
    browser.send(shared.path, passcode=shared.passcode)
    answer = browser.get(shared.path if path == "door" else path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]


def test_withdrawing_closes_the_page_that_is_open(
    browser: Browser, signed_in: Callable[..., Browser], region: Region, shared: Shared
) -> None:
    browser.send(shared.path, passcode=shared.passcode)
    picture = browser.page("/share/exam").select_one(".pictures img")["src"]
    doctor = signed_in("doctor")
    link_id = region.hub.access.links.links_of(CHEST_CT)[0].link_id
    doctor.send(f"/studies/{CHEST_CT}/share", to=f"/studies/{CHEST_CT}/share/{link_id}/withdraw")
    assert browser.get("/share/exam").status_code == 404
    assert browser.get(picture).status_code == 404
    assert "closed" in browser.get("/share/exam").get_data(as_text=True)


def test_a_link_opens_its_own_study_and_nothing_else(browser: Browser, shared: Shared) -> None:
    browser.send(shared.path, passcode=shared.passcode)
    for path in (
        f"/studies/{CHEST_CT}/clinical",
        f"/studies/{NAMESAKE_CT}/clinical",
        "/patients?q=wxd",
        f"/dicom-web/studies/{CHEST_CT}/metadata",
    ):
        assert browser.get(path).status_code in {303, 401, 404}
    assert browser.get("/share/exam/pictures/someone-elses").status_code == 404


def test_a_signed_in_doctor_who_opens_the_link_lands_on_the_study(
    signed_in: Callable[..., Browser], shared: Shared
) -> None:
    answer = signed_in("reader").get(shared.path)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/studies/{CHEST_CT}"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_doctor_who_scans_the_code_signs_in_first_and_lands_on_the_study(
    browser: Browser, shared: Shared
) -> None:
    to_sign_in = browser.send(shared.path, door="doctor").headers["Location"]
    form = browser.page(to_sign_in)
    wanted = form.select_one("input[name=next]")["value"]
    entered = browser.send(to_sign_in, username="reader", password=PASSWORD, next=wanted)
    assert browser.get(entered.headers["Location"]).headers["Location"] == f"/studies/{CHEST_CT}"


def test_a_doctor_without_the_right_gets_the_citizens_door(
    signed_in: Callable[..., Browser], shared: Shared
) -> None:
    answer = signed_in("stranger").get(shared.path)
    assert answer.status_code == 200
    assert soup(answer).select_one("input[name=passcode]")


def test_a_doctor_may_not_share_or_withdraw_beyond_the_own_sites(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    doctor = signed_in("doctor")
    share_page = f"/studies/{CHEST_CT}/share"
    assert doctor.send(share_page, to=f"/studies/{FOREIGN}/share").status_code == 404
    foreign = region.hub.access.links.create(
        ShareRequest(FOREIGN, region.foreign, "x", region.hub.base.clock.now() + timedelta(1))
    )
    to = f"/studies/{CHEST_CT}/share/{foreign.link_id}/withdraw"
    assert doctor.send(share_page, to=to).status_code == 404
    assert region.hub.access.links.behind(foreign.token)


def test_the_token_of_a_link_never_reaches_the_log_or_the_audit_trail(
    browser: Browser, region: Region, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    browser.send(shared.path, passcode="000000")
    browser.send(shared.path, passcode=shared.passcode)
    browser.page("/share/exam")
    from access_control.audit import AuditQuery

    trail = region.hub.access.audit.search(AuditQuery(limit=50)).records
    token = shared.path[7:]
    assert all(token not in record.line() for record in trail)
    assert {"open_link", "view_public"} <= {record.action for record in trail}
    assert token not in caplog.text


def _expired(region: Region) -> Shared:
    clock = region.hub.base.clock
    expires_at = clock.now() + timedelta(milliseconds=600)
    link = region.hub.access.links.create(
        ShareRequest(CHEST_CT, region.person, "x", expires_at=expires_at)
    )
    while clock.now() <= expires_at:
        region.hub.access.links.behind(link.token)
    return Shared(f"/share/{link.token}", link.passcode)
