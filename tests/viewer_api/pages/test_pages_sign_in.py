"""Signing in and out, and where each role lands."""

from __future__ import annotations

import pytest

from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import Region


@pytest.mark.parametrize(
    ("username", "menu"),
    [
        ("doctor", ["/patients", "/emergency"]),
        ("reader", ["/patients", "/emergency"]),
        ("tech", ["/arrivals"]),
        ("engineer", ["/region", "/conflicts"]),
        ("boss", ["/region"]),
        ("auditor", ["/audit", "/audit/emergencies"]),
    ],
)
def test_each_role_lands_on_its_page_and_its_menu_holds_nothing_else(
    browser: Browser, username: str, menu: list[str]
) -> None:
    lands_on = menu[0]
    assert browser.sign_in(username).headers["Location"] == lands_on
    page = browser.page(lands_on)
    assert [link["href"] for link in page.select("nav.menu a")] == menu
    assert page.select_one("nav.menu a")["aria-current"] == "page"


def test_an_unknown_name_and_a_wrong_password_read_the_same(browser: Browser) -> None:
    unknown = browser.sign_in("nobody-of-that-name")
    wrong = browser.sign_in("doctor", "wrong")
    assert unknown.status_code == wrong.status_code == 401
    text = soup(wrong).select_one("[role=alert]").get_text(" ", strip=True)
    assert soup(unknown).select_one("[role=alert]").get_text(" ", strip=True) == text
    assert "not right" in text


def test_a_locked_name_is_told_when_to_try_again(browser: Browser) -> None:
    for _ in range(6):
        answer = browser.sign_in("locked-out", "wrong")
    assert answer.status_code == 429
    assert "locked" in soup(answer).select_one("[role=alert]").get_text()
    assert "Try again after" in soup(answer).get_text()


def test_signing_in_leads_back_to_the_wanted_page_but_never_to_another_host(
    browser: Browser, region: Region
) -> None:
    turned_away = browser.get(f"/patients/{region.person}")
    assert turned_away.status_code == 303
    form = browser.page(turned_away.headers["Location"])
    wanted = form.select_one("input[name=next]")["value"]
    assert wanted == f"/patients/{region.person}"
    for evil in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = browser.send("/sign-in", username="doctor", password="wrong", next=evil)
        assert soup(answer).select_one("input[name=next]")["value"] == "/"


def test_after_signing_out_the_page_is_closed(browser: Browser) -> None:
    browser.sign_in("doctor")
    assert browser.send("/patients", to="/sign-out").status_code == 303
    assert browser.get("/patients").status_code == 303


def test_a_form_without_its_token_is_refused(browser: Browser) -> None:
    assert browser.post("/sign-in", username="doctor", password="x").status_code == 403


def test_the_language_switch_is_kept_and_the_page_says_its_language(browser: Browser) -> None:
    assert browser.page("/sign-in").html["lang"] == "en"
    chinese = browser.page("/sign-in?lang=zh")
    assert chinese.html["lang"] == "zh-Hans"
    assert "登录" in chinese.get_text()
    assert browser.page("/sign-in").html["lang"] == "zh-Hans"


def test_without_a_wish_the_page_is_chinese(region: Region) -> None:
    assert Browser(region, language="").page("/sign-in").html["lang"] == "zh-Hans"


def test_the_theme_is_kept(browser: Browser) -> None:
    assert browser.page("/sign-in").html["data-theme"] == "auto"
    browser.get("/sign-in?theme=dark")
    assert browser.page("/sign-in").html["data-theme"] == "dark"
    browser.get("/sign-in?theme=%22%3E")
    assert browser.page("/sign-in").html["data-theme"] == "dark"
