"""Every address of the gateways' door × every kind of credential: who is heard, who sees nothing.

Addresses are taken from the door itself, so a new one is tested on the day it appears.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import update

from access_control.model import Role
from access_control.tables import MachineTokenRow
from edge_gateway.wsgi import ROUTES
from tests.dicom_router.instances import ct
from tests.edge_gateway.region import Line, Region, offer_of, open_region

NOT_PROVEN, NOT_THERE = 401, 404
EXPECTED = {
    "none": NOT_PROVEN,
    "made up": NOT_PROVEN,
    "expired": NOT_PROVEN,
    "revoked": NOT_PROVEN,
    "an edge's of another site": NOT_THERE,
    "an edge's of no site": NOT_THERE,
    "a clinician's of the site": NOT_THERE,
    "a manager's of the site": NOT_THERE,
    "a document source's of the site": NOT_THERE,
}

GIVEN: dict[str, tuple[str | None, Role]] = {
    "an edge's of another site": ("jiuting", Role.EDGE),
    "an edge's of no site": (None, Role.EDGE),
    "a clinician's of the site": ("sijing", Role.CLINICIAN),
    "a manager's of the site": ("sijing", Role.MANAGER),
    "a document source's of the site": ("sijing", Role.DOCUMENT_SOURCE),
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    folder: Path = tmp_path_factory.mktemp("door")
    with open_region(folder) as opened:
        offer, dataset = offer_of(ct())
        opened.client().upload(offer, dataset, Line())
        yield opened


def requests_to_the_door() -> Iterator[tuple[str, str]]:
    """Every method and address, of the site whose study is archived."""
    for rule in ROUTES.iter_rules():
        path = rule.rule.replace("<site>", "sijing").replace("<name>", "0" * 32)
        for method in sorted(rule.methods or ()):
            yield method, f"/edge{path}"


@pytest.mark.parametrize("credential", EXPECTED)
def test_only_a_machine_of_the_very_site_is_heard(region: Region, credential: str) -> None:
    token = _token(region, credential)
    for method, address in requests_to_the_door():
        answer = _ask(region, method, address, token)
        assert answer.status_code == EXPECTED[credential], (method, address)
        assert str(ct().StudyInstanceUID) not in answer.text
        assert not any(name.lower().startswith(("upload-", "eir-")) for name in answer.headers)


def test_the_sites_own_edge_is_heard_everywhere(region: Region) -> None:
    """The control: what is refused above is there for who may ask."""
    for method, address in requests_to_the_door():
        answer = _ask(region, method, address, region.token("sijing"))
        assert answer.status_code not in {NOT_PROVEN, 403, NOT_THERE}, (method, address)


@pytest.mark.parametrize("uid", ["%00", "1.2%00", "x", "1" * 65])
def test_a_study_is_asked_for_by_a_uid(region: Region, uid: str) -> None:
    answer = _ask(region, "GET", f"/edge/sijing/studies?uid={uid}", region.token("sijing"))
    assert answer.status_code == 400


def _ask(region: Region, method: str, address: str, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, region.url + address, headers=headers, timeout=10)


def _token(region: Region, credential: str) -> str:
    tokens = region.hub.access.tokens
    if credential in GIVEN:
        return region.token(*GIVEN[credential])
    if credential in {"none", "made up"}:
        return {"none": "", "made up": "eirhub_" + "x" * 43}[credential]
    token = tokens.create(
        credential, {Role.EDGE}, {"sijing"}, datetime.now(UTC) + timedelta(days=1)
    )
    made = next(one for one in tokens.all() if one.name == credential)
    if credential == "revoked":
        tokens.revoke(made.token_id)
    else:
        with region.hub.database.unit_of_work() as work:
            work.session.execute(
                update(MachineTokenRow)
                .where(MachineTokenRow.token_id == made.token_id)
                .values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
            )
    return token
