"""Every route × every kind of reader: nothing that may not be seen is ever answered with 200.

The routes are taken from the application itself, so a new one is tested on the day it appears;
an address part this file does not know makes it fail until somebody says what belongs there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery, AuditRecord
from access_control.model import Action, Purpose, Role, Subject, SubjectKind
from access_control.policy import decide
from access_control.shared_links import ShareRequest
from tests.viewer_api.region import Region, Shown, emergency
from viewer_api.security.resources import study_resource

# What answers without sign-in, one by one; nothing of a patient may be in these answers.
OPEN_TO_EVERYONE = {
    "static",
    "assets.send",
    "sign_in.page",
    "sign_in.enter",
    "sign_in.leave",
    "shared.door",
    "shared.enter",
    "shared.exam",
    "shared.picture",
    "health_links.manifest",
    "health_links.file",
    "access_log.by_link",
    "operations.healthz",
    "operations.readyz",
    "operations.metrics",
    "api_description.openapi",
}
# Who runs the hub follows instances by their UIDs here, and sees nothing of the person.
OF_WHO_RUNS_THE_HUB = {
    "api_studies.ledger",
    "api_ledger.one_instance",
    "ledger.study_page",
    "ledger.instance_page",
}
# What a link opens and nothing else does.
OF_A_LINK = {"shared.exam", "shared.picture", "access_log.by_link"}
_PASSWORD = "Correct-horse-7-battery"
PICTURES = {"image/jpeg", "image/png", "multipart/related", "application/octet-stream"}


@dataclass(frozen=True)
class Target:
    """A study, its person, and the words that would give them away."""

    shown: Shown
    global_id: str
    words: tuple[bytes, ...]
    entry_id: str


@pytest.fixture(scope="module")
def target(region: Region) -> Target:
    return target_in(region)


def target_in(region: Region) -> Target:
    """Return the CT of 王小东, what would give him away, and his manifest."""
    study = region.hub.index.study(region.ct.study)
    assert study is not None
    global_id = region.hub.patients.resolve(study.patient)
    assert global_id is not None
    words = ("XiaoDong", '小东"', region.ct.series, region.ct.instance, "A-1", global_id)
    manifest = region.hub.registry.manifest_of(region.ct.study)
    assert manifest is not None
    entry_id = manifest.entry_uuid.removeprefix("urn:uuid:")
    return Target(region.ct, global_id, tuple(word.encode() for word in words), entry_id)


def values_of(target: Target, picture_id: str) -> dict[str, str | int]:
    shown = target.shown
    return {
        "study": shown.study,
        "study_uid": shown.study,
        "series": shown.series,
        "instance": shown.instance,
        "frame": 1,
        "frame_list": "1",
        "tag_path": "7FE00010",
        "global_id": target.global_id,
        "report_id": "00000000-0000-0000-0000-000000000000",
        "link_id": "00000000-0000-0000-0000-000000000000",
        "picture_id": picture_id,
        "token": "guessed",
        "ticket": "guessed",
        "digest": "0",
        "name": "hub.css",
        "filename": "hub.css",
        "review_id": 1,
        "decision_id": 1,
        "message_id": 1,
        "refusal_id": 1,
        "glass_id": 1,
        "destination": "nowhere",
        "row_id": 1,
        "act": "retry",
        "entry_id": target.entry_id,
        "site_id": "sijing",
        "case_key": "0" * 64,
        "case_id": "00000000-0000-0000-0000-000000000000",
    }


def requests_of(
    region: Region, target: Target
) -> Iterator[tuple[Rule, str, Callable[[FlaskClient], TestResponse]]]:
    """Yield every rule × method with the address that aims at `target`, and what sends it."""
    version = region.hub.eir.version(target.shown.study, "public")
    picture_id = version.key_pictures[0].picture_id if version and version.key_pictures else "0"
    values = values_of(target, picture_id)
    adapter = region.app.url_map.bind("localhost")
    for rule in region.app.url_map.iter_rules():
        unknown = rule.arguments - values.keys()
        assert not unknown, f"{rule.rule}: say in values_of what belongs at {unknown}"
        arguments = {name: values[name] for name in rule.arguments}
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            url = adapter.build(rule.endpoint, arguments, method=method)
            yield rule, f"{method} {url}", _sender(method, url)


def _sender(method: str, url: str) -> Callable[[FlaskClient], TestResponse]:
    def send(client: FlaskClient) -> TestResponse:
        return client.open(url, method=method, query_string={"q": "wang"}, buffered=True)

    return send


def assert_nothing_shown(answer: TestResponse, what: str, target: Target) -> None:
    # What the asker has said may be repeated: a redirect to the door names the address asked for.
    shown = [word for word in target.words if word in answer.data and word not in what.encode()]
    assert not shown, f"{what} gave away {shown[0]!r}"
    if answer.status_code < 300:
        assert answer.mimetype not in PICTURES or b"assets" in what.encode(), what


def test_without_sign_in_every_route_leads_to_the_door(
    region: Region, target: Target, anybody: FlaskClient
) -> None:
    for rule, what, send in requests_of(region, target):
        answer = send(anybody)
        assert_nothing_shown(answer, what, target)
        if rule.endpoint in OPEN_TO_EVERYONE:
            continue
        if answer.status_code == 303:
            assert answer.headers["Location"].startswith("/sign-in"), what
        else:
            assert answer.status_code == 401, what


def test_a_link_opens_its_study_in_public_form_and_no_other_route(
    region: Region, target: Target
) -> None:
    client = region.client()
    client.set_cookie("eirhub_link", _grant(region, target))
    exam_opened = False
    for rule, what, send in requests_of(region, target):
        answer = send(client)
        exam_opened |= rule.endpoint == "shared.exam" and answer.status_code == 200
        if rule.endpoint not in OF_A_LINK:
            assert_nothing_shown(answer, what, target)
        if rule.endpoint not in OPEN_TO_EVERYONE:
            assert answer.status_code in {303, 401}, what
    assert exam_opened


def _grant(region: Region, target: Target) -> str:
    links = region.hub.access.links
    link = links.create(
        ShareRequest(
            study_instance_uid=target.shown.study,
            global_id=target.global_id,
            created_by="test",
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
    )
    return links.open(link.token, link.passcode, "127.0.0.1").grant_token


# An auditor's right cannot be narrowed to a site, so there is no auditor out of scope.
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.AUDITOR])
def test_out_of_scope_nobody_sees_anything_of_the_person(
    region: Region, target: Target, machine: Callable[..., FlaskClient], role: Role
) -> None:
    client = machine(role, sites=("central",))
    for rule, what, send in requests_of(region, target):
        answer = send(client)
        assert_nothing_shown(answer, what, target)
        if rule.arguments & {"study", "study_uid", "series", "instance", "global_id"}:
            assert answer.status_code == 404, f"{what} answered {answer.status_code}"


@pytest.mark.parametrize("role", list(Role))
def test_in_scope_a_role_sees_only_what_the_policy_grants(
    region: Region, target: Target, machine: Callable[..., FlaskClient], role: Role
) -> None:
    sites = None if role is Role.AUDITOR else ("sijing",)
    client = machine(role, sites=sites)
    readable = _may_read(region, target, role, sites)
    opened = 0
    for rule, what, send in requests_of(region, target):
        if rule.methods and "GET" not in rule.methods:
            continue
        answer = send(client)
        if rule.arguments & {"study", "study_uid", "series", "instance"} and not readable:
            followed = rule.endpoint in OF_WHO_RUNS_THE_HUB
            assert_nothing_shown(answer, what, _person_of(target) if followed else target)
            assert answer.status_code == 404 or followed, what
        opened += answer.status_code == 200
    # The control: a walk that opens nothing would prove nothing.
    assert opened >= (20 if role in {Role.RADIOLOGIST, Role.CLINICIAN} else 3)


@pytest.fixture(scope="module")
def outsider(region: Region) -> FlaskClient:
    """A radiologist, signed in, of the central hospital, where 王小东 is not known."""
    accounts = region.hub.access.accounts
    accounts.add_user("outsider", _PASSWORD, [Role.RADIOLOGIST], ("central",), "outsider")
    client = region.client()
    subject = accounts.authenticate("outsider", _PASSWORD, "127.0.0.1")
    client.set_cookie("eirhub_session", region.hub.access.sessions.start(subject))
    return client


def test_an_emergency_about_somebody_else_shows_nothing_of_the_person(
    region: Region, target: Target, outsider: FlaskClient
) -> None:
    with emergency(region, "outsider", region.us_colour):
        for rule, what, send in requests_of(region, target):
            answer = send(outsider)
            assert_nothing_shown(answer, what, target)
            if rule.arguments & {"study", "study_uid", "series", "instance", "global_id"}:
                # What would change something lacks the form's token.
                assert answer.status_code == (404 if what.startswith("GET") else 403), what


def test_an_emergency_shows_what_may_be_looked_at_and_shares_nothing(
    region: Region, target: Target, outsider: FlaskClient
) -> None:
    opened = set()
    with emergency(region, "outsider", region.ct):
        for rule, what, send in requests_of(region, target):
            if what.startswith("GET") and send(outsider).status_code == 200:
                opened.add(rule.endpoint)
    assert {"record.page", "study.clinical", "dicomweb_metadata.study_metadata"} <= opened
    assert not [one for one in opened if one.startswith(("sharing.", "api_links.", "consents."))]


def _person_of(target: Target) -> Target:
    """The target without the UIDs that who runs the hub may know."""
    uids = {target.shown.series.encode(), target.shown.instance.encode()}
    return replace(target, words=tuple(word for word in target.words if word not in uids))


def _may_read(region: Region, target: Target, role: Role, sites: tuple[str, ...] | None) -> bool:
    study = region.hub.index.study(target.shown.study)
    assert study is not None
    subject = Subject(
        SubjectKind.MACHINE,
        "m",
        "m",
        frozenset({role}),
        None if sites is None else frozenset(sites),
    )
    with region.app.test_request_context():
        resource = study_resource(study)
    views = (Action.VIEW_DIAGNOSTIC, Action.VIEW_CLINICAL, Action.VIEW_RECORD)
    return any(
        decide(subject, action, resource, purpose).allowed
        for action in views
        for purpose in Purpose
    )


@pytest.mark.parametrize("url", ["{study}", "{study}/metadata", "{study}/thumbnail"])
def test_the_forbidden_and_the_absent_answer_alike_and_are_on_record(
    region: Region, target: Target, machine: Callable[..., FlaskClient], url: str
) -> None:
    client = machine(Role.RADIOLOGIST, sites=("central",))
    before = region.hub.access.audit.head().sequence
    answers = [
        client.get("/dicom-web/studies/" + url.format(study=uid))
        for uid in (target.shown.study, "1.2.3.4.5")
    ]
    bodies = [answer.get_json() for answer in answers]
    for body in bodies:
        body["error"].pop("request_id")
    assert bodies[0] == bodies[1]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert len([one for one in _refusals(region) if one.sequence > before]) == 2


def _refusals(region: Region) -> list[AuditRecord]:
    found = region.hub.access.audit.search(AuditQuery(outcome="refused", limit=500))
    return list(found.records)


def test_many_requests_for_one_study_are_one_access_on_record(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    client = machine(Role.RADIOLOGIST, sites=("sijing", "central"))
    for _ in range(5):
        assert client.get(f"{region.us_colour.url}/frames/1").status_code == 200
    query = AuditQuery(action="view_diagnostic", resource_ids=frozenset({region.us_colour.study}))
    records = region.hub.access.audit.search(query).records
    assert len([one for one in records if one.subject_id == _subject_of(region, client)]) == 1
    assert region.hub.access.audit.verify(lambda *_: None).ok


def _subject_of(region: Region, client: FlaskClient) -> str:
    answer = client.get("/api/v1/me")
    assert answer.json is not None
    return str(answer.json["subject_id"])
