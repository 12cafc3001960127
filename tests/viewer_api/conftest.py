"""One hub with real studies of three sites, shared by the tests of the web."""

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from access_control.model import Role
from tests.viewer_api.region import Region, machines_of, opened_region


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with opened_region(tmp_path_factory.mktemp("hub")) as opened:
        yield opened


@pytest.fixture(scope="session")
def machine(region: Region) -> Callable[..., FlaskClient]:
    """Make a client whose token has these roles at these sites (None: the whole region)."""
    return machines_of(region)


@pytest.fixture
def anybody(region: Region) -> FlaskClient:
    return region.client()


@pytest.fixture
def radiologist(machine: Callable[..., FlaskClient]) -> FlaskClient:
    """A radiologist of the whole region."""
    return machine(Role.RADIOLOGIST)
