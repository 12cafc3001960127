"""The quick viewer in a real browser: papers, presentation states, PET in SUV, a slide's overview.

Whatever is on the stage is compared with what the hub's pipeline renders, pixel by pixel.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from eir_versions.jobs import PNG
from eir_versions.model import RenderRequest
from eir_versions.pixels import Window, WindowFunction
from tests.flows.browser_hands import (
    PIXELS,
    at_frame,
    clinical,
    on_stage,
    rendered,
)
from tests.support.waiting import eventually
from tests.viewer_api.pages import quick_viewer_region as studies
from tests.viewer_api.pages.region import Region, open_region

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("papers"), ()) as opened:
        instances = (*studies.papers(), *studies.pet(), studies.slide())
        studies.store(opened.hub, opened.hub.access.sites.get("sijing"), iter(instances))
        yield opened


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (2, ("诊断报告", "右肺上叶见结节<b>6mm</b>", "已审核", "第 2 幅")),
        (4, ("关键影像", "第 2 幅")),
        (5, ("显示状态", "LUNG", "第 2 幅")),
    ],
)
def test_what_is_no_picture_appears_as_what_it_is(
    open_page: Callable[..., Page], series: int, words: tuple[str, ...]
) -> None:
    uid = f"{studies.PAPERS}.{series}"
    page = open_page(clinical(studies.PAPERS, series=uid), locale="zh-CN")
    text = page.inner_text("article.object")
    assert [word for word in words if word not in text] == []
    page.click(".pointed a")
    at_frame(page, 2)


def test_a_presentation_state_shows_the_picture_as_its_reader_left_it(
    open_page: Callable[..., Page], region: Region
) -> None:
    page = open_page(f"/studies/{studies.PAPERS}/diagnostic?series={studies.PAPERS}.5", "reader")
    page.click(".pointed a")
    at_frame(page, 2)
    state = f"{studies.PAPERS}.5.1"
    assert page.inner_text("[data-part=window]") == "LUNG"
    assert page.get_attribute(".viewer-stage", "data-window") == f"state:{state}"
    shown = on_stage(page)
    asked = RenderRequest(f"{studies.PAPERS}.1.2", media_type=PNG, presentation_state_uid=state)
    picture = region.hub.eir.rendered(asked).data
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(picture)).convert("L")))
    assert not np.array_equal(shown, rendered(region, f"{studies.PAPERS}.1.2"))
    # The state names this picture alone.
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".viewer-stage[data-state=failed]")
    assert "not for this picture" in page.inner_text("[data-part=said]")
    page.keyboard.press("1")
    at_frame(page, 3)


def test_a_presentation_state_is_chosen_by_key_and_from_the_list(
    open_page: Callable[..., Page],
) -> None:
    state = f"state:{studies.PAPERS}.5.1"
    page = open_page(clinical(studies.PAPERS, frame=2))
    at_frame(page, 2)
    page.keyboard.press("p")
    page.wait_for_selector(f".viewer-stage[data-window='{state}'][data-state=shown]")
    assert page.inner_text("[data-part=window]") == "LUNG"
    assert page.locator("[data-part=states]").input_value() == state
    eventually(lambda: "state=2.25" in page.evaluate("location.href"))
    page.reload()
    page.wait_for_selector(f".viewer-stage[data-window='{state}'][data-state=shown]")
    page.focus("[data-part=states]")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".viewer-stage[data-window=''][data-state=shown]")
    assert page.inner_text("[data-part=window]") == "As stored"
    eventually(lambda: "state=" not in page.evaluate("location.href"))


def test_a_pet_is_shown_in_suv_and_in_colour_as_the_pipeline_renders_it(
    open_page: Callable[..., Page], region: Region
) -> None:
    page = open_page(f"/studies/{studies.PET}/diagnostic?frame=1", "reader", locale="zh-CN")
    at_frame(page, 1)
    page.keyboard.press("2")
    page.wait_for_selector(".viewer-stage[data-window^='suv:2.5'][data-state=shown]")
    page.keyboard.press("c")
    page.wait_for_selector(".viewer-stage[data-palette=hotiron][data-state=shown]")
    assert page.inner_text("[data-part=window]") == "SUV 0–5"
    assert page.inner_text("[data-part=palette-word]") == "热铁"
    wide, high, colours = page.locator("canvas").evaluate(
        PIXELS.replace("data.filter((_, place) => place % 4 === 0)", "data")
    )
    shown = np.array(colours, np.uint8).reshape(high, wide, 4)[..., :3]
    asked = RenderRequest(
        f"{studies.PET}.1.1",
        window=Window(2.5, 5, WindowFunction.LINEAR_EXACT),
        in_suv=True,
        palette="hotiron",
        media_type=PNG,
    )
    picture = Image.open(io.BytesIO(region.hub.eir.rendered(asked).data)).convert("RGB")
    assert np.array_equal(shown, np.asarray(picture))
    assert shown.max(axis=(0, 1)).tolist() != shown.min(axis=(0, 1)).tolist()
    page.keyboard.press("1")
    page.wait_for_selector(".viewer-stage[data-window=''][data-palette=hotiron][data-state=shown]")


def test_an_enclosed_pdf_is_framed_on_the_page(open_page: Callable[..., Page]) -> None:
    page = open_page(clinical(studies.PAPERS, series=f"{studies.PAPERS}.3"))
    source = page.get_attribute("iframe.paper-frame", "src")
    assert source
    answer = page.context.request.get(source)
    assert answer.body() == studies.PDF
    assert answer.headers["content-type"] == "application/pdf"


def test_a_slide_shows_its_overview_and_says_where_its_cells_are(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(clinical(studies.SLIDE))
    at_frame(page, 1)
    assert "overviews of the slide" in page.inner_text(".viewport")
    assert page.locator("main >> text=Open the slide").count() == 2
