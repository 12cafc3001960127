"""Every route × state of a shared link × who holds it; and other people's UIDs under one's own.

What a living link opens is in `test_security_matrix.py`, from which routes and targets are taken.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from access_control.audit import AuditQuery
from access_control.model import Role
from access_control.shared_links import NewLink, ShareRequest
from access_control.tables import SharedLinkAttemptRow, SharedLinkRow
from tests.support.statements import asked_here
from tests.viewer_api.region import Region
from tests.viewer_api.test_security_edge import CSRF
from tests.viewer_api.test_security_matrix import (
    OF_A_LINK,
    OPEN_TO_EVERYONE,
    Target,
    assert_nothing_shown,
    requests_of,
    target_in,
    values_of,
)

# A search below one's own study finds nothing of another's there: an empty list is the answer.
SEARCHES = {"dicomweb_search.instances_of_series"}
# The roles that `make test` walks for; `make test-long` walks for all.
OFTEN = {Role.RADIOLOGIST, Role.TECHNICIAN}


@pytest.fixture(scope="module")
def target(region: Region) -> Target:
    return target_in(region)


def made(region: Region, target: Target, global_id: str = "") -> NewLink:
    return region.hub.access.links.create(
        ShareRequest(
            study_instance_uid=target.shown.study,
            global_id=global_id or target.global_id,
            created_by="test",
            expires_at=region.hub.base.clock.now() + timedelta(days=1),
        )
    )


def opened(region: Region, link: NewLink) -> str:
    return region.hub.access.links.open(link.token, link.passcode, "127.0.0.1").grant_token


def _revoked(region: Region, target: Target) -> str:
    link = made(region, target)
    grant = opened(region, link)
    region.hub.access.links.revoke(link.link_id)
    return grant


def _expired(region: Region, target: Target) -> str:
    link = made(region, target)
    grant = opened(region, link)
    with region.hub.database.unit_of_work() as work:
        ago = region.hub.base.clock.now() - timedelta(seconds=1)
        row = update(SharedLinkRow).where(SharedLinkRow.link_id == link.link_id)
        work.session.execute(row.values(expires_at=ago))
    return grant


def _of_another_person(region: Region, target: Target) -> str:
    study = region.hub.index.study(region.us_colour.study)
    assert study is not None
    other = region.hub.patients.resolve(study.patient)
    assert other
    return opened(region, made(region, target, other))


def _guessed(_region: Region, _target: Target) -> str:
    return "g" * 43


STATES: dict[str, Callable[[Region, Target], str]] = {
    "revoked": _revoked,
    "expired": _expired,
    "for another person": _of_another_person,
    "guessed": _guessed,
}


@pytest.mark.parametrize("state", STATES)
def test_a_link_that_is_over_opens_no_route(region: Region, target: Target, state: str) -> None:
    client = region.client()
    client.set_cookie("eirhub_link", STATES[state](region, target))
    ended = 0
    for rule, what, send in requests_of(region, target):
        answer = send(client)
        assert_nothing_shown(answer, what, target)
        if rule.endpoint in OF_A_LINK:
            assert answer.status_code == 404, what
            ended += 1
        elif rule.endpoint not in OPEN_TO_EVERYONE:
            assert answer.status_code in {303, 401}, what
    assert ended == len(OF_A_LINK)


def test_every_refused_passcode_is_the_same_work_and_the_same_answer(
    region: Region, target: Target
) -> None:
    client, links = region.client(), region.hub.access.links
    form = CSRF.search(client.get("/share/guessed").get_data(as_text=True))
    assert form

    def entered(token: str, passcode: str) -> tuple[list[str], int, str]:
        sent = {"passcode": passcode, "csrf_token": form[1]}
        with asked_here(region.hub.database.engine) as work:
            answer = client.post(f"/share/{token}", data=sent)
        page = answer.get_data(as_text=True).replace(token, "TOKEN")
        return work, answer.status_code, page

    entered("g" * 43, "000000")
    guessed = entered("h" * 43, "000000")
    assert guessed[1] == 404
    assert len(guessed[0]) > 3
    mistyped, expired, revoked, locked = (made(region, target) for _ in range(4))
    with region.hub.database.unit_of_work() as work:
        row = update(SharedLinkRow).where(SharedLinkRow.link_id == expired.link_id)
        work.session.execute(row.values(expires_at=region.hub.base.clock.now()))
        row = update(SharedLinkAttemptRow).where(SharedLinkAttemptRow.link_id == locked.link_id)
        work.session.execute(row.values(failures=10))
    links.revoke(revoked.link_id)
    assert entered(mistyped.token, "000000") == guessed
    for link in (expired, revoked, locked):
        assert entered(link.token, link.passcode) == guessed
    # The control: who is let in costs more.
    assert entered(mistyped.token, mistyped.passcode)[0] != guessed[0]


# An auditor's right cannot be narrowed to a site, so there is no auditor out of scope.
ROLES = [
    role if role in OFTEN else pytest.param(role, marks=pytest.mark.long)
    for role in Role
    if role is not Role.AUDITOR
]


@pytest.mark.parametrize("role", ROLES)
def test_a_link_adds_its_own_pages_to_a_role_and_nothing_else(
    region: Region, target: Target, machine: Callable[..., FlaskClient], role: Role
) -> None:
    client = machine(role, sites=("central",))
    client.set_cookie("eirhub_link", opened(region, made(region, target)))
    shown = set()
    for rule, what, send in requests_of(region, target):
        if not rule.endpoint.startswith(("shared.", "access_log.by_link")) and not (
            rule.arguments & {"study", "study_uid", "series", "instance", "global_id"}
        ):
            continue
        answer = send(client)
        if rule.endpoint in OF_A_LINK:
            shown.add(rule.endpoint) if answer.status_code == 200 else None
            continue
        assert_nothing_shown(answer, what, target)
        if rule.endpoint not in OPEN_TO_EVERYONE:
            assert answer.status_code == 404, f"{what} answered {answer.status_code}"
    assert "shared.exam" in shown


def test_another_persons_uids_below_an_own_study_answer_404_on_record(
    region: Region, target: Target, machine: Callable[..., FlaskClient]
) -> None:
    """By page, frame, picture, thumbnail, metadata, bulk data: the address is half one's own."""
    other = region.us_colour
    client = machine(Role.RADIOLOGIST, sites=("sijing",))
    values = values_of(target, "0") | {"series": other.series, "instance": other.instance}
    adapter = region.app.url_map.bind("localhost")
    tried = 0
    for rule in region.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or "series" not in rule.arguments:
            continue
        url = adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        before = region.hub.access.audit.head().sequence
        answer = client.get(url, buffered=True)
        if rule.endpoint in SEARCHES:
            assert answer.get_json(force=True) == [], url
            continue
        assert answer.status_code == 404, url
        page = region.hub.access.audit.search(AuditQuery(outcome="refused", limit=3))
        refused = [one.resource_id for one in page.records if one.sequence > before]
        assert refused == [other.study], url
        tried += 1
    assert tried > 15
