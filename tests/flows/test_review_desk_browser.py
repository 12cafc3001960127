"""A registrar in a real browser: the desk by keyboard alone, every page on a phone, in print."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.flows.browser_hands import DESK, PHONE, fits
from tests.viewer_api.pages.identity.desk import Desk, open_desk
from tests.viewer_api.pages.region import PASSWORD, Region

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as opened:
        for number in range(1, 4):
            opened.asks_about_a_borrowed_card(number)
        yield opened


@pytest.fixture(scope="module")
def region(desk: Desk) -> Region:
    return desk.region


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.fill("#username", "registrar")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/identity")


def case(page: Page) -> int:
    page.wait_for_selector(".verdicts")
    found = re.search(r"/reviews/(\d+)", page.url)
    assert found
    return int(found[1])


def test_the_desk_is_worked_by_keyboard_alone_and_a_decision_is_undone(
    desk: Desk, window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(DESK)
    sign_in(page)
    page.keyboard.press("Enter")
    page.wait_for_url("**/reviews/*")
    first = case(page)
    screenshot(page, "review-desk")
    page.keyboard.press("n")
    page.keyboard.type("link")
    assert page.input_value("#reason") == "link", "keys rest while something is typed"
    assert case(page) == first
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.wait_for_url(f"**done={first}**")
    assert case(page) != first
    page.keyboard.press("u")
    page.wait_for_url(f"**/reviews/{first}?did=take-back")
    page.keyboard.press("l")
    page.wait_for_url(f"**done={first}**")
    with desk.database.read() as session:
        from patient_index import desk as review_desk

        asked = review_desk.review(session, first)
    assert desk.patients.resolve(asked.identifier) == desk.patients.resolve(asked.candidate)


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_every_page_of_a_registrar_fits_a_phone_and_prints(
    desk: Desk, window: Callable[..., Page], screenshot: Callable[..., None], locale: str
) -> None:
    page = window(PHONE, locale=locale, has_touch=True, is_mobile=True)
    sign_in(page)
    person = desk.region.person
    for path in (
        "/identity",
        "/identity/reviews/1",
        "/identity/people?q=wang",
        f"/identity/people/{person}",
        f"/identity/people/{person}/consents",
        f"/identity/people/{person}/accesses",
        "/identity/messages",
        "/identity/drift",
    ):
        page.goto(path)
        assert fits(page), path
    page.goto(f"/identity/people/{person}/accesses")
    page.emulate_media(media="print")
    assert not page.locator("[data-print]").is_visible()
    assert page.locator(".access-list").first.is_visible()
    screenshot(page, f"who-looked-{locale}", whole=True)
