"""A slide in a real browser: tiles drawn where they belong, levels, scale bar, keys and fingers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.flows.browser_hands import PHONE, fits
from tests.support.waiting import eventually
from tests.viewer_api.pages import quick_viewer_region as studies
from tests.viewer_api.pages import slide_region as slides
from tests.viewer_api.pages.region import Region, open_region

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("slides"), ()) as opened:
        studies.store(opened.hub, opened.hub.access.sites.get("sijing"), slides.everything())
        yield opened


def on_slide(page: Page, x: float, y: float) -> list[int]:
    """The colour that the stage shows at a place of the slide, in pixels of its finest level."""
    return list(
        page.evaluate(
            """([x, y]) => {
      const stage = document.querySelector("[data-part=stage]");
      const canvas = stage.querySelector("[data-part=canvas]");
      const [scale, cx, cy] = ["scale", "x", "y"].map((name) => Number(stage.dataset[name]));
      const dots = canvas.width / stage.clientWidth;
      const sides = [stage.clientWidth, stage.clientHeight];
      const far = [(x - cx) * scale, (y - cy) * scale];
      const place = far.map((one, axis) => Math.round((one + sides[axis] / 2) * dots));
      return Array.from(canvas.getContext("2d").getImageData(...place, 1, 1).data).slice(0, 3);
    }""",
            [x, y],
        )
    )


def is_like(colour: list[int], painted: tuple[int, int, int]) -> bool:
    """Whether a colour is the one that was painted, but for what two JPEG codings lose."""
    return max(abs(one - other) for one, other in zip(colour, painted, strict=True)) <= 12


def at_level(page: Page, level: int) -> None:
    page.wait_for_selector(f"[data-part=stage][data-level='{level}'][data-state=shown]")


def drag(page: Page, right: float, down: float) -> None:
    box = page.locator("[data-part=stage]").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()
    # What moved is drawn with the next picture of the screen.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_slide_is_opened_from_its_study_and_drawn_where_its_tiles_belong(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(f"/studies/{slides.STUDY}")
    page.click("text=Open the slide")
    at_level(page, 1)
    assert page.url.endswith(f"/series/{slides.SERIES}/slide")
    for (left, top, right, bottom), colour in (
        (slides.PURPLE, slides.PURPLE_COLOUR),
        (slides.GREEN, slides.GREEN_COLOUR),
    ):
        inside = 24
        for x in (left + inside, right - inside):
            for y in (top + inside, bottom - inside):
                assert is_like(on_slide(page, x, y), colour)
        for x, y in ((left - inside, top), (right + inside, bottom), (left, bottom + inside)):
            assert is_like(on_slide(page, x, y), slides.PALE)
    # The last tile of the coarsest level is filled up with black; nothing of it is slide.
    assert is_like(on_slide(page, slides.WIDTH + 40, 700), (244, 244, 242))
    assert page.locator("[data-part=overview]").is_visible()


def test_zooming_a_slide_changes_the_level_and_the_scale_bar_tells_its_size(
    open_page: Callable[..., Page],
) -> None:
    asked: list[str] = []
    page = open_page("/welcome")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/studies/{slides.STUDY}/series/{slides.SERIES}/slide")
    at_level(page, 1)
    assert not [url for url in asked if f"/{slides.SERIES}.2/frames/" in url]
    page.keyboard.press("1")
    at_level(page, 0)
    # The finest level is 8 tiles by 6: only what is on the stage was asked for.
    fine = {url for url in asked if f"/{slides.SERIES}.2/frames/" in url}
    assert 6 <= len(fine) < 48
    assert page.inner_text("[data-part=zoom]") == "20 ×"
    bar = page.locator("[data-part=bar]")
    told = float(bar.get_attribute("data-micrometres") or 0)
    box = bar.bounding_box()
    assert box
    assert abs(box["width"] * slides.MICROMETRES - told) < slides.MICROMETRES * 2
    assert bar.inner_text() == f"{told:g} µm"
    drag(page, -700, 100)
    at_level(page, 0)
    x, y = (slides.PURPLE[0] + slides.PURPLE[2]) / 2, (slides.PURPLE[1] + slides.PURPLE[3]) / 2
    assert is_like(on_slide(page, x, y), slides.PURPLE_COLOUR)
    page.keyboard.press("0")
    at_level(page, 1)
    # The overview is of the coarsest level.
    assert [url for url in asked if f"/{slides.SERIES}.17/frames/1/" in url]
    assert is_like(on_slide(page, x, y), slides.PURPLE_COLOUR)
    page.mouse.move(400, 500)
    page.mouse.wheel(0, -1200)
    page.mouse.wheel(0, -1200)
    at_level(page, 0)


def test_a_slide_is_moved_by_keys_by_the_overview_and_by_fingers(
    open_page: Callable[..., Page],
) -> None:
    address = f"/studies/{slides.STUDY}/series/{slides.SERIES}/slide"
    page = open_page(address, size=PHONE, has_touch=True, is_mobile=True, locale="zh-CN")
    at_level(page, 1)
    assert fits(page)

    def middle() -> tuple[float, float]:
        stage = page.locator("[data-part=stage]")
        x, y = (float(stage.get_attribute(f"data-{name}") or 0) for name in "xy")
        return x, y

    def scale_of() -> float:
        return float(page.get_attribute("[data-part=stage]", "data-scale") or 0)

    page.keyboard.press("1")
    at_level(page, 0)
    before = middle()
    page.keyboard.press("ArrowRight")
    eventually(lambda: middle()[0] > before[0])
    assert middle()[1] == before[1]
    overview = page.locator("[data-part=overview]")
    box = overview.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.125, box["y"] + box["height"] * 0.833)
    eventually(lambda: abs(middle()[0] - 256) < 40 and abs(middle()[1] - 1280) < 40)
    at_level(page, 0)
    assert is_like(on_slide(page, 256, 1280), slides.GREEN_COLOUR)
    page.keyboard.press("o")
    assert not overview.is_visible()
    stage = page.locator("[data-part=stage]").bounding_box()
    assert stage
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: float) -> None:
        points = [{"x": place, "y": y} for place in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scale = scale_of()
    fingers("touchStart", x - 20, x + 20)
    for step in range(1, 5):
        fingers("touchMove", x - 20 - 10 * step, x + 20 + 10 * step)
    fingers("touchEnd")
    eventually(scale_of, lambda now: now > scale * 1.5)


def test_a_slide_that_gives_no_size_has_no_scale_and_a_lost_tile_is_said(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(f"/studies/{slides.STUDY}/series/{slides.UNSCALED}/slide", locale="zh-CN")
    at_level(page, 0)
    assert not page.locator("[data-part=bar]").is_visible()
    assert "无法显示比例尺" in page.inner_text("[data-part=no-scale]")
    page.route("**/frames/**", lambda route: route.fulfill(status=404))
    page.goto(f"/studies/{slides.STUDY}/series/{slides.SERIES}/slide")
    page.wait_for_selector("[data-part=stage][data-state=failed]")
    assert "切片的一部分无法显示" in page.inner_text("[data-part=said]")
    page.unroute("**/frames/**")
    page.click("[data-part=again]")
    at_level(page, 1)
    assert is_like(on_slide(page, 1400, 640), slides.PURPLE_COLOUR)
