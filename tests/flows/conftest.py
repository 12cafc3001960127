"""What tests in a real browser share; their module's `region` says what there is to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from hub_runtime.http_server import HttpServer
from tests.support.browser import chromium_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
