"""Consent written down at the desk holds on every route at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_control.consent import EVERYONE, SHARING, ConsentKind, site_scope
from access_control.model import Role
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.identity.desk import Desk
from tests.viewer_api.pages.region import CHEST_CT, FOREIGN, SPINE_MR

# Of 王小东: his name, his numbers, his pictures; a namesake is spelled the same in letters.
NAMED = tuple(word.encode() for word in ("王小东", "王^小东", "L0427", "J77", "A20261120001"))
WORDS = (*NAMED, f"{CHEST_CT}.1".encode())
# The ledger of a site counts every instance, whoever refuses what; it names nobody.
LEDGERS = ("/ledger/", "/api/v1/ledger/")
EXAMPLE = "王小东 · wangxiaodong · wxd"  # how the box for searching says what may be typed
PICTURES = {"image/jpeg", "image/png", "multipart/related", "application/octet-stream"}
# The registrar looks after identity and consent whatever is refused; so does who supervises.
BEYOND_CONSENT = {Role.REGISTRAR, Role.AUDITOR}
READERS = [role for role in Role if role not in BEYOND_CONSENT]
# Who sees something of a person who refuses nothing, and at how many addresses at least.
SEEN = {Role.RADIOLOGIST: 15, Role.CLINICIAN: 15, Role.TECHNICIAN: 1}
NOTHING_ASKED: tuple[dict[str, str], ...] = ({},)
SEARCHES = (*NOTHING_ASKED, {"q": "wang"}, {"q": "L0427"}, {"PatientName": "Wang*"})
# What names the person or the study already: a search could only narrow what is shown there.
NAMING = {"study", "study_uid", "series", "instance", "global_id", "entry_id"}


@dataclass(frozen=True)
class Walk:
    """Every address about one person, and how to ask for it."""

    desk: Desk
    app: Flask

    def values(self) -> dict[str, str | int]:
        version = self.desk.hub.eir.version(CHEST_CT, "public")
        assert version is not None
        manifest = self.desk.hub.registry.manifest_of(CHEST_CT)
        assert manifest is not None
        return {
            "study": CHEST_CT,
            "study_uid": CHEST_CT,
            "series": f"{CHEST_CT}.1",
            "instance": f"{CHEST_CT}.1.1",
            "frame": 1,
            "frame_list": "1",
            "tag_path": "7FE00010",
            "global_id": self.desk.region.person,
            "report_id": "00000000-0000-0000-0000-000000000000",
            "link_id": "00000000-0000-0000-0000-000000000000",
            "picture_id": version.key_pictures[0].picture_id,
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
            "site_id": "sijing",
            "destination": "nowhere",
            "row_id": 1,
            "act": "retry",
            "case_key": "0" * 32,
            "case_id": "00000000-0000-0000-0000-000000000000",
            "entry_id": manifest.entry_uuid.removeprefix("urn:uuid:"),
        }

    def addresses(self) -> Iterator[tuple[str, bool]]:
        """Every address that is read, and whether it names the person."""
        adapter, values = self.app.url_map.bind("localhost"), self.values()
        for rule in self.app.url_map.iter_rules():
            unknown = rule.arguments - values.keys()
            assert not unknown, f"{rule.rule}: say in values what belongs at {unknown}"
            if rule.methods and "GET" in rule.methods:
                arguments = {name: values[name] for name in rule.arguments}
                url = adapter.build(rule.endpoint, arguments, method="GET")
                yield url, bool(rule.arguments & NAMING)

    def shown(self, client: FlaskClient, searches: Sequence[dict[str, str]] = SEARCHES) -> set[str]:
        """The addresses that gave something of the person away."""
        found = set()
        for url, named in self.addresses():
            for query in NOTHING_ASKED if named else searches:
                answer = client.get(url, query_string=query, buffered=True)
                # What was asked may be repeated, as the links that change the language do.
                if gives_away(answer, url + "".join(query.values())):
                    found.add(url)
        return found


def stands_in(body: bytes, word: bytes) -> bool:
    """Whether `word` is there by itself: three letters turn up in a random token now and then."""
    return re.search(rb"(?<![\w+/-])" + re.escape(word) + rb"(?![\w+/=-])", body) is not None


def gives_away(answer: TestResponse, asked: str) -> bool:
    body = answer.data.replace(EXAMPLE.encode(), b"")
    words = NAMED if asked.startswith(LEDGERS) else WORDS
    named = any(stands_in(body, word) for word in words if word not in asked.encode())
    pictures = answer.status_code < 300 and answer.mimetype in PICTURES and "assets" not in asked
    return named or pictures


@pytest.fixture(scope="module")
def walk(desk: Desk) -> Walk:
    app = desk.application
    assert isinstance(app, Flask)
    return Walk(desk, app)


@pytest.fixture(scope="module")
def client(desk: Desk, walk: Walk) -> Callable[..., FlaskClient]:
    """A machine with one role at these sites; None is the whole region."""

    def make(role: Role, sites: tuple[str, ...] | None) -> FlaskClient:
        token = desk.hub.access.tokens.create(
            f"{role} {sites} {datetime.now(UTC).timestamp()}",
            {role},
            frozenset(sites) if sites else None,
            datetime.now(UTC) + timedelta(days=1),
        )
        made = walk.app.test_client()
        made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return made

    return make


@pytest.fixture
def says(desk: Desk) -> Iterator[Callable[[ConsentKind, str], None]]:
    """Let 王小东 say something; whatever he has refused is taken back afterwards."""
    person = desk.region.person

    def say(kind: ConsentKind, scope: str) -> None:
        desk.consents.record(person, kind, scope, by="registrar", reason="at the desk")

    yield say
    for entry in desk.consents.current(person):
        if entry.kind is ConsentKind.REFUSE:
            say(ConsentKind.GRANT, entry.scope)


def refuse(says: Callable[[ConsentKind, str], None], scope: str) -> None:
    says(ConsentKind.REFUSE, scope)


@pytest.mark.parametrize("sites", [("sijing",), None], ids=["site", "region"])
@pytest.mark.parametrize("role", READERS)
def test_no_route_shows_anything_of_who_refuses_everyone(
    walk: Walk,
    client: Callable[..., FlaskClient],
    says: Callable[[ConsentKind, str], None],
    role: Role,
    sites: tuple[str, ...] | None,
) -> None:
    asking = client(role, sites)
    if role in SEEN:
        # The control: a walk on which nothing was to be seen before would prove nothing.
        assert len(walk.shown(asking, NOTHING_ASKED)) >= SEEN[role]
    refuse(says, EVERYONE)
    assert walk.shown(asking) == set()


def test_after_a_change_of_mind_everything_is_as_before(
    walk: Walk, client: Callable[..., FlaskClient], says: Callable[[ConsentKind, str], None]
) -> None:
    asking = client(Role.CLINICIAN, ("sijing",))
    before = walk.shown(asking)
    refuse(says, EVERYONE)
    says(ConsentKind.GRANT, EVERYONE)
    assert walk.shown(asking) == before


@pytest.mark.parametrize(
    ("sites", "refused", "shown"),
    [
        (("sijing",), "sijing", False),
        (("sijing",), "jiuting", True),
        (("sijing", "jiuting"), "sijing", True),
        (None, "sijing", True),
    ],
)
def test_who_refuses_a_site_is_hidden_from_those_who_work_there_alone(
    walk: Walk,
    client: Callable[..., FlaskClient],
    says: Callable[[ConsentKind, str], None],
    sites: tuple[str, ...] | None,
    refused: str,
    *,
    shown: bool,
) -> None:
    asking = client(Role.RADIOLOGIST, sites)
    refuse(says, site_scope(refused))
    assert bool(walk.shown(asking)) is shown


def test_a_refusal_hides_the_person_and_nobody_else(
    client: Callable[..., FlaskClient], says: Callable[[ConsentKind, str], None]
) -> None:
    asking = client(Role.RADIOLOGIST, None)
    refuse(says, EVERYONE)
    answer = asking.get("/dicom-web/studies", query_string={"limit": 100})
    assert answer.json is not None
    studies = {match["0020000D"]["Value"][0] for match in answer.json}
    assert FOREIGN in studies
    assert not {CHEST_CT, SPINE_MR} & studies


def test_pages_of_a_search_are_full_although_somebody_in_it_refuses(
    client: Callable[..., FlaskClient], says: Callable[[ConsentKind, str], None]
) -> None:
    asking = client(Role.RADIOLOGIST, None)

    def studies(**query: int) -> list[str]:
        answer = asking.get("/dicom-web/studies", query_string=query)
        assert answer.json is not None
        return [match["0020000D"]["Value"][0] for match in answer.json]

    refuse(says, EVERYONE)
    everything = studies(limit=100)
    paged = [uid for offset in range(len(everything)) for uid in studies(limit=1, offset=offset)]
    assert paged == everything


@pytest.mark.parametrize("scope", [EVERYONE, SHARING])
def test_an_open_link_closes_at_the_refusal_and_reads_like_one_that_never_was(
    desk: Desk, says: Callable[[ConsentKind, str], None], link: tuple[str, str], scope: str
) -> None:
    token, passcode = link
    phone = Browser(desk.region)
    assert phone.send(f"/share/{token}", passcode=passcode).status_code == 303
    exam = phone.page("/share/exam")
    picture = exam.select_one(".pictures img")["src"]
    refuse(says, scope)
    never = Browser(desk.region).get("/share/exam")
    for url in ("/share/exam", "/share/exam/accesses", picture):
        answer = phone.get(url)
        assert answer.status_code == 404
        assert _same(answer) == _same(never)


def test_a_link_does_not_open_while_sharing_is_refused_and_answers_like_a_guessed_one(
    desk: Desk, says: Callable[[ConsentKind, str], None], link: tuple[str, str]
) -> None:
    token, passcode = link
    refuse(says, SHARING)
    answers = [
        Browser(desk.region).send(f"/share/{one}", passcode=passcode) for one in (token, "guessed")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert _same(answers[0]) == _same(answers[1])
    assert not [name for name in answers[0].headers.getlist("Set-Cookie") if "link" in name]


def test_an_app_gets_nothing_by_a_link_while_sharing_is_refused(
    desk: Desk, says: Callable[[ConsentKind, str], None], link: tuple[str, str]
) -> None:
    token, passcode = link
    asked = {"recipient": "an app", "passcode": passcode, "embeddedLengthMax": 0}
    app = Browser(desk.region).json
    opened = app(f"/shl/{token}", **asked)
    fetched = "/" + opened.get_json()["files"][0]["location"].split("/", 3)[3]
    assert Browser(desk.region).get(fetched).status_code == 200
    refuse(says, SHARING)
    assert app(f"/shl/{token}", **asked).status_code == 404
    assert Browser(desk.region).get(fetched).status_code == 404


def _same(answer: TestResponse) -> str:
    """The answer without what differs every time."""
    text = answer.get_data(as_text=True)
    text = re.sub(r'name="csrf_token" value="[^"]*"', "", text)
    return re.sub(r"[0-9a-f]{32}", "", text)


def test_while_sharing_is_refused_a_doctor_sees_the_study_and_cannot_share_it(
    signed_in: Callable[..., Browser], says: Callable[[ConsentKind, str], None]
) -> None:
    doctor = signed_in("doctor")
    refuse(says, SHARING)
    assert doctor.get(f"/studies/{CHEST_CT}/clinical").status_code == 200
    assert not doctor.page(f"/studies/{CHEST_CT}/clinical").select("a[href$=share]")
    assert doctor.get(f"/studies/{CHEST_CT}/share").status_code == 404


def test_the_technician_still_sees_that_it_arrived_and_not_whose_it_is(
    signed_in: Callable[..., Browser], says: Callable[[ConsentKind, str], None]
) -> None:
    refuse(says, EVERYONE)
    page = signed_in("tech").page("/arrivals")
    assert "the person refuses" in page.get_text()
    assert "王小东" not in page.get_text()


def test_the_registrar_writes_a_refusal_down_and_takes_it_back(
    desk: Desk, registrar: Browser, says: Callable[[ConsentKind, str], None]
) -> None:
    person = desk.region.person
    page = f"/identity/people/{person}/consents"
    assert "Nothing is refused" in registrar.page(page).get_text()
    why = "in person, form signed"
    answer = registrar.send(page, kind="refuse", scope="site", site="central", reason=why)
    assert answer.status_code == 303
    refused = registrar.page(page).select_one("[aria-labelledby=stands]").get_text()
    assert "District Central Hospital" in refused
    assert why in refused
    assert desk.consents.refusals_of(person).site_ids == {"central"}
    registrar.send(page, kind="grant", scope=site_scope("central"), reason="changed my mind")
    assert "Nothing is refused" in registrar.page(page).get_text()
    said = registrar.page(page).select_one("[aria-labelledby=said]")
    assert len(said.select("li")) >= 2
    assert "钱登记" in said.get_text()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "refuse", "scope": "all", "reason": " "},
        {"kind": "refuse", "scope": "site", "site": "nowhere", "reason": "said so"},
        {"kind": "refuse", "scope": "", "reason": "said so"},
        {"kind": "maybe", "scope": "all", "reason": "said so"},
    ],
)
def test_what_cannot_be_honoured_is_not_written_down(
    desk: Desk, registrar: Browser, fields: dict[str, str]
) -> None:
    page = f"/identity/people/{desk.region.person}/consents"
    before = desk.consents.history(desk.region.person)
    answer = registrar.send(page, **fields)
    assert answer.status_code == 400
    assert soup(answer).select("[role=alert]")
    assert desk.consents.history(desk.region.person) == before


@pytest.mark.parametrize("username", ["doctor", "reader", "tech", "engineer", "auditor", "far"])
@pytest.mark.parametrize("page", ["consents", "accesses"])
def test_consent_and_accesses_are_closed_to_everybody_else(
    desk: Desk, signed_in: Callable[..., Browser], username: str, page: str
) -> None:
    url = f"/identity/people/{desk.region.person}/{page}"
    assert signed_in(username).get(url).status_code == 404
