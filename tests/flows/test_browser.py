"""A reader's evening in a real browser: from the sign-in to the citizen's phone.

Screenshots go to a temporary folder, or to the one that EIRHUB_SCREENSHOTS names:
`EIRHUB_SCREENSHOTS=docs/screenshots .venv/bin/pytest tests/flows/test_browser.py`
refreshes those of the README.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.browser_hands import DESK, PHONE, fits, frame, sign_in
from tests.support.waiting import eventually
from tests.viewer_api.pages.region import (
    RESIDENT_ID,
    Examination,
    Region,
    open_region,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

DISCLAIMER = "软件提供的信息不作为医生诊断和治疗的依据"

CHEST_XRAY, HEART_CINE, HEAD_CT, EARLIER_XRAY = (f"2.25.20{n}" for n in range(4))
WANG: dict[str, Any] = {
    "name": "Wang^XiaoDong=王^小东",
    "sex": "M",
    "born": "19700427",
    "resident_id": RESIDENT_ID,
}
# Real pictures worth looking at, of the same person at two sites.
SHOWN = (
    Examination(
        "sijing",
        "L0999",
        "Wang^XiaoDong=王^晓东",
        "F",
        "19580102",
        "20261119",
        "RG3_UNCR.dcm",
        "2.25.209",
        body_part="WRIST",
        description="腕关节正侧位",
    ),
    Examination(
        "sijing",
        "L0427",
        day="20241102",
        file="MR2_UNCR.dcm",
        uid="2.25.208",
        body_part="SHOULDER",
        description="肩关节平扫",
        **WANG,
    ),
    Examination(
        "sijing",
        "L0427",
        day="20261121",
        file="RG1_UNCR.dcm",
        uid=CHEST_XRAY,
        description="胸部正位",
        accession="SJ26112101",
        **WANG,
    ),
    Examination(
        "sijing",
        "L0427",
        day="20250312",
        file="RG1_J2KI.dcm",
        uid=EARLIER_XRAY,
        description="胸部正位",
        **WANG,
    ),
    Examination(
        "jiuting",
        "J77",
        day="20260603",
        file="color3d_jpeg_baseline.dcm",
        uid=HEART_CINE,
        body_part="HEART",
        description="心脏超声",
        **WANG,
    ),
    Examination(
        "jiuting",
        "J77",
        day="20250910",
        file="693_UNCR.dcm",
        uid=HEAD_CT,
        body_part="HEAD",
        description="头颅平扫",
        **WANG,
    ),
)

# True when the picture on the page has loaded and is not of one colour.
IS_A_PICTURE = """image => {
  if (image.tagName === "IMG" && (!image.complete || image.naturalWidth === 0)) return false;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 64, 64);
  const values = context.getImageData(0, 0, 64, 64).data.filter((_, place) => place % 4 === 0);
  return Math.max(...values) - Math.min(...values) > 40;
}"""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("browser"), SHOWN) as opened:
        # As delivered; nothing listens there, and nothing here goes there.
        opened.hub.address.dicom_port, opened.hub.address.viewer_port = 11112, 8081
        yield opened


def shown(page: Page, selector: str) -> int:
    """Wait until every picture of `selector` has loaded, check them, return how many there are."""
    page.locator(selector).first.wait_for()
    for image in page.locator(selector).all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate(IS_A_PICTURE), f"{image.get_attribute('src')} shows nothing"
    page.evaluate("scrollTo(0, 0)")
    return page.locator(selector).count()


def share(page: Page, study_uid: str) -> tuple[str, str]:
    page.goto(f"/studies/{study_uid}/share")
    page.click("section.card form button[type=submit]")
    page.wait_for_selector("#passcode")
    return page.inner_text("#link"), page.inner_text("#passcode")


def test_a_ward_doctor_finds_a_person_and_looks_at_the_pictures(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(DESK)
    page.goto("/sign-in")
    screenshot(page, "sign-in")
    sign_in(page, "doctor")
    # A crowded machine asks on the way as well: the last answer is the one that stays.
    with page.expect_response(lambda answer: answer.url.endswith("?q=wangxiaodong")):
        page.locator("#q").press_sequentially("wangxiaodong", delay=20)
    page.wait_for_selector("body:not(.busy) a.person >> text=王小东")
    assert page.locator("a.person").count() == 2
    screenshot(page, "find")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter") if page.locator("a.person:focus >> text=王小东").count() else (
        page.click("a.person >> text=王小东")
    )
    page.wait_for_selector("a.exam-card")
    assert [heading.inner_text() for heading in page.locator(".year > h2").all()] == [
        "2026",
        "2025",
        "2024",
    ]
    page.wait_for_load_state("networkidle")
    assert shown(page, ".exam-card .picture img") >= 4
    screenshot(page, "record", whole=True)
    page.click("a.exam-card >> text=心脏")
    page.wait_for_selector("text=仅供临床参考，不作为首诊依据")
    start = frame(page)
    page.hover(".viewer-stage")
    page.mouse.wheel(0, 400)
    eventually(lambda: frame(page) > start)
    page.focus(".viewer-stage")
    page.keyboard.press("Home")
    page.wait_for_selector(".viewer-stage[data-frame='1'][data-state=shown]")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".viewer-stage[data-frame='2'][data-state=shown]")
    assert page.locator(".viewer-stage > canvas").evaluate(IS_A_PICTURE)
    assert page.inner_text("[data-position]") == "2 / 120"
    screenshot(page, "clinical")


def test_a_ward_doctor_puts_last_years_chest_beside_todays(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(DESK)
    sign_in(page, "doctor")
    page.goto(f"/studies/{CHEST_XRAY}/clinical")
    offered = page.locator("#prior option").all_inner_texts()
    assert "2025年3月12日" in offered[1]
    page.select_option("#prior", EARLIER_XRAY)
    page.wait_for_selector("[data-slot=prior] .viewer-stage[data-state=shown]")
    assert page.locator("[data-slot=prior] canvas").evaluate(IS_A_PICTURE)
    assert fits(page)
    page.wait_for_load_state("networkidle")
    screenshot(page, "compare")


def test_a_radiologist_changes_the_window_and_zooms(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(DESK)
    sign_in(page, "reader")
    page.goto(f"/studies/{HEAD_CT}")
    page.wait_for_url("**/diagnostic")
    assert frame(page) == 1
    before = page.get_attribute(".viewer-stage", "data-digest")
    page.focus(".viewer-stage")
    page.keyboard.press("2")
    page.wait_for_selector(".viewer-stage[data-window='40,400,linear'][data-state=shown]")
    assert page.get_attribute(".viewer-stage", "data-digest") != before
    assert page.locator(".viewer-stage > canvas").evaluate(IS_A_PICTURE)
    page.keyboard.press("+")
    assert page.inner_text("[data-zoom-text]") == "125 %"
    page.keyboard.press("0")
    assert page.inner_text("[data-zoom-text]") == "100 %"
    page.wait_for_load_state("networkidle")
    screenshot(page, "diagnostic")


def test_a_citizen_opens_the_link_on_a_phone(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    doctor = window(DESK)
    sign_in(doctor, "doctor")
    link, passcode = share(doctor, CHEST_XRAY)
    screenshot(doctor, "share-made")
    phone = window(PHONE, has_touch=True, is_mobile=True)
    phone.goto(link)
    screenshot(phone, "share-door")
    wrong = "000001" if passcode != "000001" else "000002"
    phone.fill("#passcode", wrong)
    phone.press("#passcode", "Enter")
    phone.wait_for_selector("[role=alert]")
    phone.fill("#passcode", passcode)
    phone.press("#passcode", "Enter")
    phone.wait_for_url("**/share/exam")
    assert DISCLAIMER in phone.inner_text("main")
    assert shown(phone, ".pictures img") >= 1
    assert fits(phone)
    screenshot(phone, "share")
    doctor.goto(link)
    doctor.wait_for_url(f"**/studies/{CHEST_XRAY}/clinical")


def test_the_stack_is_scrolled_with_a_finger(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(PHONE, has_touch=True, is_mobile=True)
    sign_in(page, "doctor")
    page.goto(f"/studies/{HEART_CINE}/clinical?frame=10")
    assert frame(page) == 10
    touch = page.context.new_cdp_session(page)
    box = page.locator(".viewer-stage").bounding_box()
    assert box
    across, down = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3

    def finger(kind: str, *places: float) -> None:
        points = [{"x": across, "y": place} for place in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", down)
    for step in range(1, 6):
        finger("touchMove", down + 15 * step)
    finger("touchEnd")
    eventually(lambda: frame(page) > 12)
    assert fits(page)
    page.wait_for_load_state("networkidle")
    screenshot(page, "clinical-phone")


@pytest.mark.parametrize(
    ("username", "path", "name"),
    [("tech", "/arrivals", "arrivals"), ("engineer", "/region", "region")],
)
def test_the_pages_of_those_who_run_the_region(
    window: Callable[..., Page],
    screenshot: Callable[..., None],
    username: str,
    path: str,
    name: str,
) -> None:
    page = window(DESK)
    sign_in(page, username)
    page.wait_for_url(f"**{path}")
    assert fits(page)
    screenshot(page, name)


def test_the_auditor_in_the_dark_and_in_english(
    window: Callable[..., Page], screenshot: Callable[..., None]
) -> None:
    page = window(DESK, locale="en-US", color_scheme="dark")
    sign_in(page, "auditor")
    page.wait_for_selector("text=Chain verified")
    red, *_ = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert red < 40
    assert page.locator("html").get_attribute("lang") == "en"
    screenshot(page, "audit-dark-en")


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_every_page_of_a_doctor_fits_a_phone(window: Callable[..., Page], locale: str) -> None:
    page = window(PHONE, locale=locale, has_touch=True, is_mobile=True)
    sign_in(page, "doctor")
    for path in (
        "/patients?q=wxd",
        f"/studies/{CHEST_XRAY}/clinical",
        f"/studies/{CHEST_XRAY}/diagnostic",
        f"/studies/{CHEST_XRAY}/share",
    ):
        page.goto(path)
        assert fits(page), path
    page.goto("/patients?q=wxd")
    page.click("a.person >> nth=0")
    page.wait_for_selector(".banner")
    assert fits(page)


def test_the_page_works_by_keyboard_alone_with_visible_focus(window: Callable[..., Page]) -> None:
    page = window(DESK)
    sign_in(page, "doctor")
    page.goto("/patients?q=wxd")
    page.evaluate("document.activeElement.blur()")
    seen: list[str] = []
    while "BODY" not in seen and len(seen) < 30:
        page.keyboard.press("Tab")
        here = "document.activeElement"
        seen.append(page.evaluate(f"{here}.className.split(' ')[0] || {here}.tagName"))
        if seen[-1] != "BODY":
            assert page.evaluate(f"getComputedStyle({here}).outlineStyle") != "none", seen
    assert "person" in seen


def test_a_search_that_does_not_get_through_says_so_and_can_be_repeated(
    window: Callable[..., Page],
) -> None:
    page = window(DESK)
    page.route("**/patients/results*", lambda route: route.fulfill(status=404))
    sign_in(page, "doctor")
    page.fill("#q", "wxd")
    page.wait_for_selector("#results [role=alert]")
    page.unroute("**/patients/results*")
    page.click("[data-again]")
    page.wait_for_selector("a.person")


def test_a_picture_that_cannot_be_loaded_says_so_and_can_be_asked_for_again(
    window: Callable[..., Page],
) -> None:
    page = window(DESK)
    sign_in(page, "doctor")
    page.route("**/pictures/**", lambda route: route.fulfill(status=404))
    page.goto(f"/studies/{HEART_CINE}/clinical")
    page.wait_for_selector(".viewer-stage[data-state=failed]")
    assert page.locator("[data-part=again]").is_visible()
    page.unroute("**/pictures/**")
    page.click("[data-part=again]")
    assert frame(page) == 60
