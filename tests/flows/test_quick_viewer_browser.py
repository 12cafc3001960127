"""The quick viewer in a real browser: scroll, windows, comparison, cine, phone, languages.

Whatever is on the stage is compared with what the hub's pipeline renders, byte by byte or pixel by
pixel: the browser must add nothing of its own.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from eir_versions.pixels import Window
from tests.flows.browser_hands import (
    DESK,
    PHONE,
    at_frame,
    clinical,
    fits,
    frame,
    number_in,
    on_stage,
    playwright_error,
    rendered,
)
from tests.support.waiting import eventually
from tests.viewer_api.pages import quick_viewer_region as studies
from tests.viewer_api.pages.region import Region, open_region

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLICES = studies.SLICES


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("quick"), ()) as opened:
        studies.store(opened.hub, opened.hub.access.sites.get("sijing"), studies.everything())
        yield opened


def test_three_hundred_slices_are_scrolled_and_every_picture_is_what_stands_beside_it(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=1))
    at_frame(page, 1)
    box = page.locator(".viewer-stage").bounding_box()
    assert box
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    seen = set()

    def turn(wheel: int) -> int:
        """Turn the wheel and look, in one moment; return how many pictures have been seen."""
        page.mouse.wheel(0, wheel)
        shown = page.evaluate(
            """() => { const stage = document.querySelector(".viewer-stage");
            const canvas = stage.querySelector("canvas");
            const data = canvas.getContext("2d").getImageData(0, 5, 128, 1).data;
            let told = 0;
            for (let bit = 0; bit < 10; bit += 1) {
              if (data[4 * (8 + 12 * bit)] > 200) told += 2 ** bit;
            }
            return [told, Number(stage.dataset.frame), stage.dataset.state,
              document.querySelector("[data-position]").textContent]; }"""
        )
        painted, frame_number, _, label = shown
        assert painted == frame_number
        assert label == f"{frame_number} / {SLICES}"
        seen.add(frame_number)
        return len(seen)

    for _ in range(60):
        turn(200)
    eventually(lambda: frame(page) == SLICES)
    assert number_in(on_stage(page)) == SLICES
    # Back again, where a crowded machine has shown few of them on the way.
    eventually(lambda: turn(-40) > 10)


def test_every_key_of_the_list_does_what_the_list_says(open_page: Callable[..., Page]) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=100))
    at_frame(page, 100)
    for key, number in (
        ("ArrowDown", 101),
        ("ArrowUp", 100),
        ("PageDown", 110),
        ("PageUp", 100),
        ("Home", 1),
        ("ArrowUp", 1),
        ("End", SLICES),
    ):
        page.keyboard.press(key)
        at_frame(page, number)
    page.keyboard.press("+")
    assert page.inner_text("[data-zoom-text]") == "125 %"
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert page.inner_text("[data-zoom-text]") == "100 %"
    page.keyboard.press("f")
    assert page.locator(".viewers.full").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".viewers.full").count() == 0
    page.keyboard.press("?")
    assert page.locator("#viewer-help").is_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer-help").is_visible()
    at_frame(page, SLICES)


def test_a_window_preset_shows_the_pixels_of_the_pipeline(
    open_page: Callable[..., Page], region: Region
) -> None:
    page = open_page(f"/studies/{studies.SCROLL_CT}/diagnostic?frame=77", "reader")
    at_frame(page, 77)
    uid = f"{studies.SCROLL_CT}.1.77"
    assert np.array_equal(on_stage(page), rendered(region, uid))
    assert "Nothing lost" in page.inner_text("[data-part=loss]")
    page.keyboard.press("3")
    page.wait_for_selector(".viewer-stage[data-window='-600,1500,linear'][data-state=shown]")
    lung = rendered(region, uid, Window(-600, 1500))
    assert np.array_equal(on_stage(page), lung)
    assert not np.array_equal(lung, rendered(region, uid))
    assert page.inner_text("[data-part=window]") == "Lung"
    assert page.get_attribute("button[data-window^='-600']", "aria-pressed") == "true"
    address = f"/studies/{studies.SCROLL_CT}/series/{studies.SCROLL_CT}.1/pictures/{uid}/1.png"
    answer = page.context.request.get(address, params={"window": "-600,1500,linear"})
    digest = hashlib.sha256(answer.body()).hexdigest()
    assert page.get_attribute(".viewer-stage", "data-digest") == digest


def test_a_late_answer_under_another_window_is_dropped(open_page: Callable[..., Page]) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=10))
    held: list[Any] = []
    page.route("**/pictures/**window=-600*", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks its handlers
    page.reload()  # a page that is loaded already may ask once more past the route
    at_frame(page, 10)
    page.keyboard.press("3")
    eventually(lambda: page.evaluate("1") == 1 and bool(held))
    page.keyboard.press("1")
    page.wait_for_selector(".viewer-stage[data-window=''][data-state=shown]")
    for route in held:
        # The page has given this request up, as it should.
        with suppress(playwright_error()):
            route.continue_()
    page.wait_for_load_state("networkidle")
    assert page.get_attribute(".viewer-stage", "data-window") == ""
    assert page.inner_text("[data-part=window]") == "As stored"


def test_two_examinations_scroll_together_by_distance_and_apart(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=101, prior=studies.PRIOR_CT, prior_frame=10))
    at_frame(page, 101)
    at_frame(page, 10, "prior")
    page.wait_for_selector("#link-said >> text=same distance")
    for _ in range(3):
        page.keyboard.press("PageDown")
    at_frame(page, 131)
    # 30 slices of 2 mm are 60 mm: 20 slices of 3 mm.
    at_frame(page, 30, "prior")
    assert number_in(on_stage(page, "prior")) == 30
    assert page.inner_text("[data-slot=now] [data-part=place]") == "+162.0 mm"
    page.keyboard.press("3")
    page.wait_for_selector("[data-slot=prior] .viewer-stage[data-window='-600,1500,linear']")
    page.keyboard.press("+")
    assert page.inner_text("[data-slot=prior] [data-zoom-text]") == "125 %"
    page.keyboard.press("l")
    page.keyboard.press("ArrowDown")
    at_frame(page, 132)
    at_frame(page, 30, "prior")
    tops = page.locator(".viewer-top").all_inner_texts()
    assert ["沈逸" in text for text in tops] == [True, True]
    assert "November 20, 2026" in tops[0]
    assert "March 2, 2024" in tops[1]


def test_another_person_is_never_put_beside(open_page: Callable[..., Page]) -> None:
    page = open_page(clinical(studies.SCROLL_CT, prior=studies.OTHER_PERSON))
    assert page.locator("[data-viewer]").count() == 0
    assert "Not found" in page.inner_text("main")


def test_the_sides_of_the_body_and_the_compression_stand_beside_the_picture(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=5))
    at_frame(page, 5)
    page.wait_for_selector("[data-side=right]:not(:empty)")
    sides = [page.inner_text(f"[data-side={side}]") for side in ("left", "right", "top", "bottom")]
    assert sides == ["R", "L", "A", "P"]
    ratio = re.fullmatch(r"JPEG ([0-9.]+) : 1|Nothing lost", page.inner_text("[data-part=loss]"))
    assert ratio
    # The recipe's ceiling for CT.
    assert ratio[1] is None or float(ratio[1]) <= 8


def test_a_cine_plays_at_its_speed_and_stops(open_page: Callable[..., Page]) -> None:
    page = open_page(clinical(studies.CINE, frame=1))
    at_frame(page, 1)
    page.keyboard.press("Space")
    assert page.get_attribute("[data-part=play]", "aria-pressed") == "true"
    eventually(lambda: frame(page) > 5)
    page.keyboard.press("Space")
    assert page.inner_text("[data-part=play]") == "Play"
    page.wait_for_load_state("networkidle")
    stopped = frame(page)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert frame(page) == stopped


def test_a_picture_that_cannot_be_decoded_says_why_and_what_to_do(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(clinical(studies.BROKEN), locale="zh-CN")
    page.wait_for_selector(".viewer-stage[data-state=failed]")
    assert "请检查机构重新发送" in page.inner_text("[data-part=said]")
    assert not page.locator(".viewer-stage canvas").is_visible()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "signed out"), (503, "busy"), (None, "cannot be reached")]
)
def test_what_went_wrong_on_the_way_is_said_and_can_be_tried_again(
    open_page: Callable[..., Page], status: int | None, words: str
) -> None:
    page = open_page(clinical(studies.SCROLL_CT, frame=40))
    page.route(
        f"**/pictures/*.{SLICES}/*",
        lambda route: route.fulfill(status=status) if status else route.abort(),
    )
    page.reload()  # a page that is loaded already may ask once more past the route
    at_frame(page, 40)
    page.keyboard.press("End")
    page.wait_for_selector(".viewer-stage[data-state=failed]")
    assert words in page.inner_text("[data-part=said]")
    assert page.inner_text("[data-position]") == f"{SLICES} / {SLICES}"
    page.unroute(f"**/pictures/*.{SLICES}/*")
    page.click("[data-part=again]")
    at_frame(page, SLICES)


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_a_phone_scrolls_with_a_finger_and_zooms_with_two(
    open_page: Callable[..., Page], locale: str
) -> None:
    page = open_page(
        clinical(studies.SCROLL_CT, frame=100),
        size=PHONE,
        locale=locale,
        has_touch=True,
        is_mobile=True,
    )
    at_frame(page, 100)
    assert fits(page)
    # Not for primary diagnosis: said once, on the picture.
    assert [page.locator(one).is_visible() for one in (".not-primary", ".stamp")] == [False, True]
    box = page.locator(".viewer-stage").bounding_box()
    assert box
    assert box["height"] > PHONE["height"] * 0.4
    middle, top = box["x"] + box["width"] / 2, box["y"] + 30
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (middle, top))
    for step in range(1, 9):
        fingers("touchMove", (middle, top + 20 * step))
    fingers("touchEnd")
    eventually(lambda: frame(page) > 120)
    fingers("touchStart", (middle - 20, top + 60), (middle + 20, top + 60))
    for step in range(1, 5):
        fingers(
            "touchMove", (middle - 20 - 10 * step, top + 60), (middle + 20 + 10 * step, top + 60)
        )
    fingers("touchEnd")
    eventually(lambda: int(page.inner_text("[data-zoom-text]").split()[0]) > 150)


def test_large_type_breaks_nothing_and_everything_is_named_and_reached_by_tab(
    open_page: Callable[..., Page],
) -> None:
    for size in (DESK, PHONE):
        page = open_page(clinical(studies.SCROLL_CT, prior=studies.PRIOR_CT), size=size)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert fits(page)
        unnamed = page.evaluate(
            """() => Array.from(document.querySelectorAll("main :is(button, a, input, select)"))
            .filter((one) => one.type !== "hidden" && !(one.ariaLabel || one.textContent.trim()
              || one.labels?.length)).map((one) => one.outerHTML)"""
        )
        assert unnamed == []
    order: list[str] = []
    page.evaluate("document.querySelector('.viewer-stage').focus()")
    while len(order) < 8:
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "document.activeElement.dataset.do || document.activeElement.dataset.part || ''"
            )
        )
    assert order[:5] == ["previous", "slider", "next", "play", "speed"]


def test_without_script_the_stack_is_stepped_through_by_links(
    chromium: Browser, base: str, states: Callable[[str], Any]
) -> None:
    context = chromium.new_context(
        base_url=base, java_script_enabled=False, storage_state=states("doctor"), locale="en-US"
    )
    page = context.new_page()
    page.goto(clinical(studies.SCROLL_CT, frame=7, prior=studies.PRIOR_CT, prior_frame=3))
    page.click("[data-slot=now] a[data-do=next]")
    page.wait_for_url("**frame=8**", wait_until="load")
    assert "/8 /" not in page.content()
    assert page.inner_text("[data-slot=now] [data-position]") == f"8 / {SLICES}"
    assert page.inner_text("[data-slot=prior] [data-position]") == f"3 / {studies.PRIOR_SLICES}"
    assert page.locator("[data-slot=now] img").first.evaluate("image => image.naturalWidth") == 128
    assert not page.locator("[data-part=play]").first.is_visible()
    context.close()
