"""One person's record: every site on one axis of time, with real thumbnails."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from sqlalchemy import event

from hub_kernel.tasks import deliver_all_due
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import (
    CHEST_CT,
    EVIL_NAME,
    EVIL_TEXT,
    REPORT,
    SPINE_MR,
    Examination,
    Region,
    archive,
)

MOST_QUERIES = 13


def years(page: BeautifulSoup) -> list[str]:
    return [heading.get_text(strip=True) for heading in page.select(".year > h2")]


def studies(page: BeautifulSoup) -> list[str]:
    return [card["href"].rsplit("/", 1)[1] for card in page.select("a.exam-card")]


def test_studies_of_all_sites_stand_on_one_axis_newest_first(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    page = signed_in("doctor").page(f"/patients/{region.person}")
    assert years(page) == ["2026", "2025", "2024"]
    assert studies(page) == [CHEST_CT, REPORT, SPINE_MR]
    card = page.select_one("a.exam-card").get_text(" ", strip=True)
    for said in ("CT scan", "Chest", "胸部平扫", "Sijing", "6 pictures", "Complete", "Nov 20"):
        assert said in card
    banner = page.select_one(".banner").get_text(" ", strip=True)
    for said in ("王小东", "Male", "born April 27, 1970", region.person, "Jiuting", "Sijing"):
        assert said in banner


def test_the_chinese_page_speaks_chinese(signed_in: Callable[..., Browser], region: Region) -> None:
    page = signed_in("doctor", "zh").page(f"/patients/{region.person}")
    text = page.get_text(" ", strip=True)
    for said in ("胸部", "11月20日", "泗泾镇社区卫生服务中心", "已收齐", "1970年4月27日出生", "岁"):
        assert said in text


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("site=jiuting", [SPINE_MR]),
        ("discipline=radiology", [CHEST_CT, SPINE_MR]),
        ("discipline=radiology&site=sijing", [CHEST_CT]),
        ("site=nowhere", []),
    ],
)
def test_filters_narrow_the_axis(
    signed_in: Callable[..., Browser], region: Region, query: str, left: list[str]
) -> None:
    page = signed_in("doctor").page(f"/patients/{region.person}?{query}")
    assert studies(page) == left
    assert "of 3 examinations" in page.get_text()
    if not left:
        assert page.select_one(".empty a")["href"] == f"/patients/{region.person}"


def test_thumbnails_are_pictures_of_something(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    browser = signed_in("doctor")
    page = browser.page(f"/patients/{region.person}")
    pictures = [image["src"] for image in page.select("a.exam-card img")]
    shown = [browser.get(pictures[0]), browser.get(pictures[2])]
    for answer in shown:
        low, high = Image.open(io.BytesIO(answer.data)).convert("L").getextrema()
        assert high - low > 50


@contextmanager
def counted(region: Region) -> Iterator[list[str]]:
    statements: list[str] = []
    asking = threading.get_ident()

    def note(_connection, _cursor, statement: str, *_rest: object) -> None:  # type: ignore[no-untyped-def]
        # The sites are read again when a second has passed, and a session is seen once a minute,
        # whatever is asked; what the hub's other threads ask meanwhile is not the page's.
        if threading.get_ident() != asking or "FROM site" in statement:
            return
        if not statement.startswith(("BEGIN", "UPDATE user_session")):
            statements.append(statement)

    event.listen(region.database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(region.database.engine, "before_cursor_execute", note)


def test_the_number_of_queries_does_not_grow_with_the_record(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    browser, person, namesake = signed_in("doctor"), region.person, region.namesake
    for somebody in (person, namesake):
        browser.page(f"/patients/{somebody}")
    with counted(region) as long_record:
        browser.page(f"/patients/{person}")
    with counted(region) as short_record:
        browser.page(f"/patients/{namesake}")
    assert len(long_record) <= len(short_record)
    assert 0 < len(long_record) <= MOST_QUERIES, "\n".join(long_record)


@pytest.mark.parametrize(
    ("file", "patient", "english", "chinese"),
    [
        ("examples_ybr_color.dcm", "C901", "1 clip (30 pictures)", "1 段动态影像（30 幅）"),
        ("emri_small.dcm", "C902", "10 pictures", "10 幅"),
        ("reportsi.dcm", "C903", "1 object", "1 个对象"),
    ],
)
def test_a_card_says_how_many_pictures_there_are_to_look_at(
    signed_in: Callable[..., Browser],
    region: Region,
    file: str,
    patient: str,
    english: str,
    chinese: str,
) -> None:
    study = f"2.25.{patient[1:]}.1"
    name = f"Zhang^{patient}"
    archive(region.hub, Examination("central", patient, name, "F", "19400101", "", file, study))
    deliver_all_due(region.database, region.hub.base.outbox)
    for language, said in (("en", english), ("zh", chinese)):
        browser = signed_in("reader", language)
        record = browser.page(f"/patients/{region.person_of(study)}")
        assert said in [one.get_text(strip=True) for one in record.select(".exam-meta > span")]
        facts = browser.page(f"/studies/{study}/diagnostic").select("dl.facts dd")
        assert f"1 · {said}" in [one.get_text(strip=True) for one in facts]


def test_a_long_record_stays_a_small_page_and_goes_on_by_a_link(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    for number in range(103):
        archive(
            region.hub,
            Examination(
                "central",
                "C900",
                "Lao^RenJia=老^人家",
                "F",
                "19400101",
                f"{1980 + number % 40}0101",
                "MR_small.dcm",
                f"2.25.900.{number}",
            ),
        )
    deliver_all_due(region.database, region.hub.base.outbox)
    browser = signed_in("reader")
    person = region.person_of("2.25.900.0")
    answer = browser.get(f"/patients/{person}")
    assert len(answer.data) < 150_000
    page = soup(answer)
    assert len(studies(page)) == 100
    assert "103 examinations" in page.get_text()
    older = browser.page(page.find("a", string="Older examinations")["href"])
    assert len(studies(older)) == 3
    assert not set(studies(older)) & set(studies(page))
    assert "Still arriving" in older.get_text()


@pytest.mark.parametrize("username", ["stranger", "tech", "engineer", "auditor"])
def test_a_record_that_may_not_be_seen_answers_like_one_that_does_not_exist(
    signed_in: Callable[..., Browser], region: Region, username: str
) -> None:
    browser = signed_in(username)
    forbidden = browser.get(f"/patients/{region.person}")
    absent = browser.get("/patients/NOBODY")
    assert forbidden.status_code == absent.status_code == 404
    assert "王小东" not in forbidden.get_data(as_text=True)


def test_html_and_templates_in_names_show_as_text(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    page = signed_in("doctor").page(f"/patients/{region.evil}")
    assert page.select_one("h1 bdi").get_text() == EVIL_NAME.replace("^", " ")
    assert EVIL_TEXT in page.select_one("a.exam-card").get_text()
    assert not page.find_all("img", src="x")
    assert all(script.get("src", "").startswith("/assets/") for script in page.find_all("script"))


def test_opening_a_record_is_on_the_audit_trail(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    signed_in("doctor").page(f"/patients/{region.namesake}")
    record = region.hub.access.audit.search(_about(region.namesake)).records[0]
    assert (record.action, record.outcome, record.display) == ("view_record", "success", "陈医师")


def _about(resource_id: str):  # type: ignore[no-untyped-def]
    from access_control.audit import AuditQuery

    return AuditQuery(resource_ids=frozenset({resource_id}))
