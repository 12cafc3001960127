"""The pages through the real application on a real hub; nothing of our own is replaced."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

import pytest
from bs4 import BeautifulSoup
from werkzeug.test import Client, TestResponse

from tests.viewer_api.pages.region import PASSWORD, Region, open_region

_LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("region")) as opened:
        yield opened


class Browser:
    """A reader's browser without script: it keeps cookies and sends forms as they stand."""

    def __init__(self, region: Region, language: str = "en") -> None:
        self._client = Client(region.application)
        self._language = language

    def get(self, url: str, **headers: str) -> TestResponse:
        return self._client.get(url, headers=self._headers(headers), environ_base=_LOOPBACK)

    def page(self, url: str) -> BeautifulSoup:
        answer = self.follow(url)
        assert answer.status_code == 200, f"{url} answered {answer.status}"
        return soup(answer)

    def follow(self, url: str) -> TestResponse:
        return self._client.get(
            url, headers=self._headers({}), environ_base=_LOOPBACK, follow_redirects=True
        )

    def send(self, url: str, to: str | None = None, **fields: str) -> TestResponse:
        """Fetch the page at `url` and send its form, with its token, to `to` or back to it."""
        page = self.get(url).get_data(as_text=True)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token, f"{url} has no form"
        return self.post(to or url, csrf_token=token[1], **fields)

    def post(self, url: str, **fields: str) -> TestResponse:
        return self._client.post(
            url, data=fields, headers=self._headers({}), environ_base=_LOOPBACK
        )

    def json(self, url: str, **fields: object) -> TestResponse:
        return self._client.post(
            url, json=fields, headers=self._headers({}), environ_base=_LOOPBACK
        )

    def sign_in(self, username: str, password: str = PASSWORD) -> TestResponse:
        return self.send("/sign-in", username=username, password=password)

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Accept-Language": self._language} | {
            name.replace("_", "-"): value for name, value in more.items()
        }


def soup(answer: TestResponse) -> BeautifulSoup:
    return BeautifulSoup(answer.get_data(as_text=True), "html.parser")


@pytest.fixture
def browser(region: Region) -> Browser:
    return Browser(region)


@pytest.fixture(scope="session")
def signed_in(region: Region) -> Callable[..., Browser]:
    """A browser in which the named user is signed in; proving a password is slow by intention."""

    @functools.cache
    def enter(username: str, language: str = "en") -> Browser:
        opened = Browser(region, language)
        assert opened.sign_in(username).status_code == 303
        return opened

    return enter
