"""One hub with real studies of three sites, shared by the tests of the web; nobody changes it."""

import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from tests.viewer_api.region import (
    Region,
    link_one_person,
    new_hub,
    sample,
    settle,
    store,
    web_app,
)


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = new_hub(tmp_path_factory.mktemp("hub"))
        chinese = {"SpecificCharacterSet": "GB18030", "PatientName": "Wang^XiaoDong=王^小东"}
        ct = store(
            hub,
            "sijing",
            sample("CT_small.dcm", PatientID="S001", AccessionNumber="A-1", StudyID="1", **chinese),
        )
        mr = store(
            hub,
            "jiuting",
            sample("emri_small_jpeg_2k_lossless.dcm", PatientID="J900", **chinese),
        )
        us = store(
            hub, "central", sample("examples_ybr_color.dcm", PatientID="S001", PatientName="Li^Si")
        )
        settle(hub, studies=3)
        issuers = {s.site_id: s.assigning_authority for s in hub.access.sites.all()}
        link_one_person(
            hub,
            PatientIdentifier("S001", issuers["sijing"]),
            PatientIdentifier("J900", issuers["jiuting"]),
        )
    yield Region(hub, web_app(hub), ct, mr, us)
    hub.close()


@pytest.fixture(scope="session")
def machine(region: Region) -> Callable[..., FlaskClient]:
    """Make a client whose token has these roles at these sites (None: the whole region)."""
    tokens: dict[object, str] = {}

    def make(*roles: Role, sites: tuple[str, ...] | None = None) -> FlaskClient:
        key = (frozenset(roles), sites)
        if key not in tokens:
            tokens[key] = region.hub.access.tokens.create(
                f"machine {len(tokens)}",
                roles,
                sites,
                region.hub.base.clock.now() + timedelta(days=30),
            )
        return region.client(tokens[key])

    return make


@pytest.fixture
def anybody(region: Region) -> FlaskClient:
    return region.client()


@pytest.fixture
def radiologist(machine: Callable[..., FlaskClient]) -> FlaskClient:
    """A radiologist of the whole region."""
    return machine(Role.RADIOLOGIST)
