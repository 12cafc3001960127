"""One region with a review desk, shared by the tests beside it; each uses numbers of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from access_control.shared_links import ShareRequest
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk, open_desk
from tests.viewer_api.pages.region import CHEST_CT, Region


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture(scope="session")
def region(desk: Desk) -> Region:
    return desk.region


@pytest.fixture(scope="session")
def signed_in(desk: Desk) -> Callable[..., Browser]:
    """A browser in which the named user is signed in; proving a password is slow by intention."""

    @functools.cache
    def enter(username: str, language: str = "en") -> Browser:
        opened = Browser(desk.region, language)
        assert opened.sign_in(username).status_code == 303
        return opened

    return enter


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers nobody else uses; each makes another pair of people."""
    return count(1)


@pytest.fixture
def registrar(signed_in: Callable[..., Browser]) -> Browser:
    return signed_in("registrar")


@pytest.fixture
def link(desk: Desk) -> tuple[str, str]:
    made = desk.hub.access.links.create(
        ShareRequest(
            study_instance_uid=CHEST_CT,
            global_id=desk.region.person,
            created_by="test",
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
    )
    return made.token, made.passcode
