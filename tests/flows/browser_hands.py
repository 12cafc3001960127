"""What a test does at a page in a real browser: sign in, wait, look."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from eir_versions.jobs import PNG
from eir_versions.model import RenderRequest
from tests.viewer_api.pages.region import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from eir_versions.pixels import Window
    from tests.viewer_api.pages.region import Region

DESK = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
# The canvas as the reader's browser holds it: its size and its grey values.
PIXELS = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.width, canvas.height, Array.from(data.filter((_, place) => place % 4 === 0))];
}"""


def sign_in(page: Page, username: str) -> None:
    page.goto("/sign-in")
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url(re.compile(r"/(patients|arrivals|region|audit)$"))


def fits(page: Page) -> bool:
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def frame(page: Page) -> int:
    page.wait_for_selector(".viewer-stage[data-state=shown]")
    return int(page.get_attribute(".viewer-stage", "data-frame") or 0)


def playwright_error() -> type[Exception]:
    from playwright.sync_api import Error

    return Error


def clinical(study: str, **arguments: str | int) -> str:
    query = "&".join(f"{name}={value}" for name, value in arguments.items())
    return f"/studies/{study}/clinical?{query}"


def at_frame(page: Page, number: int, slot: str = "now") -> None:
    page.wait_for_selector(
        f"[data-slot={slot}] .viewer-stage[data-frame='{number}'][data-state=shown]"
    )


def on_stage(page: Page, slot: str = "now") -> np.ndarray:
    wide, high, values = page.locator(f"[data-slot={slot}] canvas").evaluate(PIXELS)
    return np.array(values, np.uint8).reshape(high, wide)


def number_in(pixels: np.ndarray) -> int:
    """Read the slice number that is painted at the top of a slice."""
    return sum(1 << bit for bit in range(10) if pixels[5, 8 + 12 * bit] > 200)


def rendered(region: Region, uid: str, window: Window | None = None) -> np.ndarray:
    """What the hub's pipeline makes of an instance's first frame."""
    picture = region.hub.eir.rendered(RenderRequest(uid, 1, window, media_type=PNG))
    return np.asarray(Image.open(io.BytesIO(picture.data)).convert("L"))
