"""Find a person: characters, pinyin, initials, numbers; namesakes; nobody beyond the reader's."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from bs4 import BeautifulSoup

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import RESIDENT_ID, Region


def names(page: BeautifulSoup) -> list[str]:
    return [row.get_text() for row in page.select("a.person .person-name > bdi")]


def asked(browser: Browser, text: str) -> BeautifulSoup:
    return browser.page(f"/patients?q={quote(text)}")


@pytest.mark.parametrize("typed", ["王小东", "wang xiao dong", "WangXiaoDong", "wxd", "王晓"])
def test_characters_pinyin_and_initials_find_people(
    signed_in: Callable[..., Browser], typed: str
) -> None:
    found = names(asked(signed_in("doctor"), typed))
    assert ("王晓东" if typed == "王晓" else "王小东") in found


@pytest.mark.parametrize("number", ["L0427", "J77", RESIDENT_ID, "A20261120001"])
def test_any_number_finds_its_one_person(
    signed_in: Callable[..., Browser], region: Region, number: str
) -> None:
    page = asked(signed_in("doctor"), number)
    rows = page.select("a.person")
    assert [row["href"] for row in rows] == [f"/patients/{region.person}"]


def test_namesakes_are_told_apart_by_birth_date_sex_and_sites(
    signed_in: Callable[..., Browser],
) -> None:
    rows = asked(signed_in("doctor"), "wangxiaodong").select("a.person")
    assert len(rows) == 2
    texts = {row.get_text(" ", strip=True) for row in rows}
    assert any("April 27, 1970" in text and "Male" in text and "Jiuting" in text for text in texts)
    assert any("January 2, 1958" in text and "Female" in text for text in texts)


def test_nobody_known_only_elsewhere_is_found(signed_in: Callable[..., Browser]) -> None:
    assert names(asked(signed_in("doctor"), "赵敏")) == []
    assert names(asked(signed_in("stranger"), "赵敏")) == ["赵敏"]
    assert names(asked(signed_in("stranger"), "A20261120001")) == []
    assert "赵敏" in names(asked(signed_in("reader"), "zm"))


@pytest.mark.parametrize("typed", ["' OR 1=1 --", "%", "_", "*", "{{7*7}}zz", "<b>", "\\"])
def test_syntax_of_other_languages_is_only_text(
    signed_in: Callable[..., Browser], typed: str
) -> None:
    page = asked(signed_in("doctor"), typed)
    assert page.select_one("input[name=q]")["value"] == typed
    assert len(page.select("a.person")) <= 1
    assert "49" not in page.get_text()


def test_the_rows_for_the_script_are_the_rows_of_the_page(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("doctor")
    rows = browser.page("/patients/results?q=wxd").select("a.person")
    assert [str(row) for row in rows] == [
        str(row) for row in asked(browser, "wxd").select("a.person")
    ]


def test_the_empty_and_the_fruitless_state_say_what_to_do(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("doctor")
    assert "Whose pictures" in browser.page("/patients").get_text()
    nobody = browser.page("/patients?q=qqqq").get_text()
    assert "Nobody found" in nobody
    assert "Try the pinyin" in nobody


@pytest.mark.parametrize("username", ["tech", "engineer", "auditor", "boss"])
def test_readers_without_the_right_find_nothing_there(
    signed_in: Callable[..., Browser], username: str
) -> None:
    answer = signed_in(username).get("/patients?q=wxd")
    assert answer.status_code == 404
    assert "王小东" not in answer.get_data(as_text=True)
