"""The registrar's pages are what every page must be: small, strict, named, translated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup

from patient_index.hl7v2.exchange import Peer
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk
from tests.viewer_api.pages.identity.test_pages_identity_messages import message
from tests.viewer_api.pages.test_pages_frame import (
    test_a_page_has_its_landmarks_names_and_one_heading,
    test_a_page_obeys_the_strict_policy_and_fetches_nothing_from_elsewhere,
    test_a_page_without_its_pictures_is_small,
)

__all__ = [
    "test_a_page_has_its_landmarks_names_and_one_heading",
    "test_a_page_obeys_the_strict_policy_and_fetches_nothing_from_elsewhere",
    "test_a_page_without_its_pictures_is_small",
]

PAGES = (
    "/identity",
    "/identity?state=asked",
    "/identity?state=decided",
    "/identity/reviews/{review}",
    "/identity/people",
    "/identity/people?q=wang",
    "/identity/people/{person}",
    "/identity/people/{person}/merge?other={other}",
    "/identity/people/{person}/consents",
    "/identity/people/{person}/accesses",
    "/identity/messages",
    "/identity/messages/{message}",
    "/submissions/refused",
    "/identity/drift",
)


@pytest.fixture(scope="module")
def addresses(desk: Desk) -> dict[str, str]:
    review = desk.asks_about_a_borrowed_card(9001)
    desk.hl7.answer(message(9001).encode(), Peer("127.0.0.1"))
    values = {
        "review": review,
        "person": desk.person("sijing", "S9001"),
        "other": desk.person("jiuting", "J9001"),
        "message": desk.hl7.refused.open()[0].refusal_id,
    }
    return {path: path.format(**values) for path in PAGES}


@pytest.fixture(params=PAGES)
def opened(
    request: pytest.FixtureRequest, addresses: dict[str, str], registrar: Browser
) -> tuple[Browser, str, BeautifulSoup]:
    answer = registrar.get(addresses[request.param])
    assert answer.status_code == 200
    body = answer.get_data(as_text=True)
    return registrar, body, BeautifulSoup(body, "html.parser")


ENGLISH = {"Review desk", "People", "Drift", "Consent", "Who looked", "Print", "Why", "Numbers"}


@pytest.mark.parametrize("path", PAGES)
def test_no_page_in_chinese_falls_back_to_english(
    path: str, addresses: dict[str, str], signed_in: Callable[..., Browser]
) -> None:
    page = signed_in("registrar", "zh").page(addresses[path])
    assert not ENGLISH & {text.strip() for text in page.find_all(string=True)}
    assert page.html["lang"] == "zh-Hans"


def test_a_registrar_lands_on_the_desk(registrar: Browser) -> None:
    assert registrar.get("/").headers["Location"] == "/identity"
