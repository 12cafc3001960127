"""What tests in a real browser share; their module's `region` says what there is to see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hub_runtime.http_server import HttpServer
from tests.flows.browser_hands import DESK, sign_in
from tests.support.browser import chromium_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.viewer_api.pages.region import Region


@pytest.fixture(scope="module")
def base(region: Region) -> Iterator[str]:
    """The address of the region's pages; by name, so that a browser takes it for a safe origin."""
    server = HttpServer(region.application, region.hub.settings.web)
    address = server.start()
    yield address.replace("127.0.0.1", "localhost")
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for a module's tests."""
    with chromium_browser("--disable-gpu") as browser:
        yield browser


@pytest.fixture(scope="module")
def states(chromium: Browser, base: str) -> Callable[[str], Any]:
    """The cookies of a signed-in reader: proving a password is slow by intention."""
    kept: dict[str, Any] = {}

    def state(username: str) -> Any:
        if username not in kept:
            context = chromium.new_context(base_url=base)
            sign_in(context.new_page(), username)
            kept[username] = context.storage_state()
            context.close()
        return kept[username]

    return state


@pytest.fixture
def open_page(
    chromium: Browser, base: str, states: Callable[[str], Any]
) -> Iterator[Callable[..., Page]]:
    """Open a page as a reader; the test fails when script or policy complained."""
    contexts, complaints = [], []

    def open_at(
        path: str, who: str = "doctor", size: dict[str, int] = DESK, **options: Any
    ) -> Page:
        context = chromium.new_context(
            base_url=base,
            viewport=size,
            locale=options.pop("locale", "en-US"),
            storage_state=states(who),
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda told: complaints.append(told.text) if told.type == "error" else None,
        )
        page.goto(path)
        return page

    yield open_at
    for context in contexts:
        context.close()
    # A refusal is an answer, not a fault of the page.
    assert not [text for text in complaints if "Failed to load resource" not in text]


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[..., None]:
    folder = Path(os.environ.get("EIRHUB_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str, *, whole: bool = False) -> None:
        page.mouse.move(0, 0)
        page.screenshot(path=folder / f"{name}.png", full_page=whole)

    return take


@pytest.fixture
def window(chromium: Browser, base: str) -> Iterator[Callable[..., Page]]:
    """Open a window; the test fails when a page of it reports an error of policy or script."""
    contexts, complaints = [], []

    def open_window(size: dict[str, int], locale: str = "zh-CN", **options: Any) -> Page:
        context = chromium.new_context(
            base_url=base, viewport=size, locale=locale, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        return page

    yield open_window
    for context in contexts:
        context.close()
    # A refusal is an answer, not a fault of the page.
    faults = [text for text in complaints if "404" not in text and "401" not in text]
    assert not faults
