"""The viewer's origin: what its token opens, for whom, how long, and that it opens nothing else."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from access_control.viewer_grants import ViewerGrants
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from tests.support.clock import FixedClock
from tests.viewer_api.region import Region, Shown, emergency
from viewer_api.viewer_origin import ViewerFiles, create_viewer_app, installed_viewer
from viewer_api.viewer_origin.files import VIEWER_VERSION, content_policy
from viewer_api.viewer_origin.lean_metadata import without_unread

OHIF = json.loads((Path(__file__).parent / "ohif_requests.json").read_text(encoding="utf-8"))
PASSWORD = "Correct-horse-7-battery"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ViewerFiles:
    root = tmp_path_factory.mktemp("viewer") / VIEWER_VERSION
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<html><script>window.PUBLIC_URL='/'</script></html>")
    (root / "app.bundle.0123456789abcdef.js").write_text("hello()")
    (root / "app.bundle.0123456789abcdef.js.gz").write_bytes(b"squeezed")
    (root / "89.bundle.fedcba9876543210.js").write_text("first()")
    (root / "7777.bundle.fedcba9876543210.js").write_text("perhaps()")
    (root / "assets" / "mark.svg").write_text("<svg/>")
    found = installed_viewer(root.parent)
    assert found is not None
    return found


class Browser(FlaskClient):
    """A client that reads every answer to its end."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return super().open(*args, **{"buffered": True, **kwargs})


@pytest.fixture(scope="module")
def viewer(region: Region, files: ViewerFiles) -> Iterator[FlaskClient]:
    region.hub.address.viewer_port = 8081
    app = create_viewer_app(region.hub.viewer_services(), files)
    app.test_client_class = Browser
    yield app.test_client()
    region.hub.address.viewer_port = 0


@pytest.fixture(scope="module")
def reader(region: Region) -> FlaskClient:
    """A radiologist of sijing, where 王小东 is known, signed in at the hub."""
    return signed_in(region, "viewer-reader", ("sijing",))


def signed_in(region: Region, name: str, sites: tuple[str, ...] | None) -> FlaskClient:
    region.hub.access.accounts.add_user(name, PASSWORD, [Role.RADIOLOGIST], sites, name)
    subject = region.hub.access.accounts.authenticate(name, PASSWORD, "127.0.0.1")
    client = region.client()
    client.set_cookie("eirhub_session", region.hub.access.sessions.start(subject))
    return client


def opened(reader: FlaskClient, viewer: FlaskClient, shown: Shown) -> str:
    """Click on the study's page and follow to the viewer; return where its DICOMweb is."""
    answer = reader.get(f"/studies/{shown.study}/viewer")
    assert answer.status_code == 303
    address = urlsplit(answer.headers["Location"])
    assert (address.netloc, address.path, address.query) == ("localhost:8081", "/open", "")
    (token,) = parse_qs(address.fragment)["token"]
    taken = viewer.post("/grants", data=token)
    assert taken.status_code == 200
    cookie = taken.headers["Set-Cookie"]
    grant = taken.get_json()["grant"]
    assert f"Path=/g/{grant}/" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return f"/g/{grant}/dicom-web"


@pytest.fixture(scope="module")
def root(reader: FlaskClient, viewer: FlaskClient, region: Region) -> str:
    return opened(reader, viewer, region.ct)


def filled(path: str, shown: Shown) -> str:
    return path.format(
        study=shown.study,
        series=shown.series,
        instance=shown.instance,
        patient=shown.dataset.PatientID,
    )


@pytest.mark.parametrize("asked", OHIF, ids=[one["path"].partition("?")[0] for one in OHIF])
def test_what_ohif_asks_is_answered(
    viewer: FlaskClient, root: str, region: Region, asked: dict[str, str]
) -> None:
    for shown in (region.ct, region.mr_multiframe):
        path = root + filled(asked["path"], shown)
        answer = viewer.get(path, headers={"Accept": asked["accept"]})
        assert answer.status_code == 200, path
        wanted = asked["accept"].partition(";")[0]
        assert wanted in {"*/*", answer.mimetype}


def test_addresses_in_answers_stay_at_the_viewers_origin(
    viewer: FlaskClient, root: str, region: Region
) -> None:
    (found,) = viewer.get(f"{root}/studies/{region.ct.study}/metadata").get_json()
    pixels = found["7FE00010"]["BulkDataURI"]
    assert pixels.startswith(f"http://localhost{root}/studies/")
    assert viewer.get(pixels).data.count(region.ct.dataset.PixelData) == 1


def unread(found: dict[str, Any]) -> set[str]:
    read = {"0019100C", "00431039", "20011003", "70531000", "70531009", "0009100D"}
    private = {tag for tag in found if int(tag[:4], 16) % 2 and tag[4:6] != "00"}
    return private - read


def test_metadata_leaves_out_private_attributes_that_the_viewer_never_reads(
    viewer: FlaskClient, reader: FlaskClient, root: str, region: Region
) -> None:
    path = f"/studies/{region.ct.study}/series/{region.ct.series}/metadata"
    (whole,) = reader.get(f"/dicom-web{path}").get_json()
    (lean,) = viewer.get(root + path).get_json()
    assert len(unread(whole)) > 100
    assert lean.keys() == whole.keys() - unread(whole)
    addressed = {tag for tag, element in lean.items() if element["vr"] == "UR"}
    addressed |= {tag for tag, element in lean.items() if "BulkDataURI" in element}
    assert all(lean[tag] == whole[tag] for tag in lean.keys() - addressed)
    squeezed = viewer.get(root + path, headers={"Accept-Encoding": "gzip"})
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(squeezed.data)) == [lean]
    assert "Content-Encoding" not in viewer.get(root + path).headers


TEXT = {"vr": "LT", "Value": ['a "b" }{ \\', ',"00091001":{"vr":"LO"},']}
ITEMS = {"vr": "SQ", "Value": [{"00291010": TEXT, "00100020": TEXT}]}


@pytest.mark.parametrize(
    ("tag", "element", "stays"),
    [
        ("00091001", TEXT, False),
        ("7FE1FFFF", {"vr": "OB", "InlineBinary": "AA=="}, False),
        ("00291001", {"vr": "UN"}, False),
        ("00090010", TEXT, True),
        ("0019100C", TEXT, True),
        ("00081001", TEXT, True),
        ("00291001", {"vr": "SQ", "Value": [{"00100020": TEXT}]}, True),
    ],
)
def test_only_whole_private_elements_go(tag: str, element: dict[str, Any], *, stays: bool) -> None:
    around = {"00080005": TEXT, "00081115": ITEMS}
    body = json.dumps([{"00020001": TEXT, tag: element, **around}] * 2, separators=(",", ":"))
    kept: dict[str, Any] = {"00020001": TEXT, **({tag: element} if stays else {}), **around}
    kept["00081115"] = {"vr": "SQ", "Value": [{"00100020": TEXT}]}
    assert json.loads(without_unread(body.encode())) == [kept] * 2


def test_priors_of_every_site_are_found_by_any_number_of_the_person(
    viewer: FlaskClient, root: str, region: Region
) -> None:
    for patient_id in ("S001", "J900"):
        found = viewer.get(f"{root}/studies?00100020={patient_id}").get_json()
        studies = {one["0020000D"]["Value"][0] for one in found}
        assert studies == {region.ct.study, region.mr_multiframe.study}


@pytest.mark.parametrize(
    "query", ["", "?00100020=S001", "?PatientID=S001&IssuerOfPatientID=CENTRAL", "?PatientName=Li*"]
)
def test_nobody_elses_study_is_found_whatever_is_asked(
    viewer: FlaskClient, region: Region, query: str
) -> None:
    everywhere = signed_in(region, f"all-{abs(hash(query))}", None)
    root = opened(everywhere, viewer, region.ct)
    # The control: this reader may see the other person, and does, at the hub's own address.
    assert region.us_colour.study in everywhere.get("/dicom-web/studies").text
    for level in ("studies", "series", "instances"):
        assert region.us_colour.study not in viewer.get(f"{root}/{level}{query}").text


def routes_of(viewer: FlaskClient, shown: Shown) -> list[str]:
    """The address of every route of DICOMweb, aimed at `shown`; a new one is walked by itself."""
    values: dict[str, object] = {
        "study": shown.study,
        "series": shown.series,
        "instance": shown.instance,
        "frame": 1,
        "frame_list": "1",
        "tag_path": "7FE00010",
    }
    adapter = viewer.application.url_map.bind("localhost")
    rules = [
        rule
        for rule in viewer.application.url_map.iter_rules()
        if rule.endpoint.startswith("dicomweb_") and "study" in rule.arguments
    ]
    assert all(rule.arguments <= values.keys() for rule in rules)
    return [
        adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        for rule in rules
    ]


def test_another_persons_uids_answer_404_on_record(
    viewer: FlaskClient, root: str, region: Region
) -> None:
    mount = root.removesuffix("/dicom-web")
    everywhere = signed_in(region, "walks-everywhere", None)
    own = opened(everywhere, viewer, region.ct).removesuffix("/dicom-web")
    other, person = routes_of(viewer, region.us_colour), routes_of(viewer, region.ct)
    assert len(other) > 15
    for path, allowed in zip(other, person, strict=True):
        before = region.hub.access.audit.head().sequence
        # Who may see both people at the hub sees one in the viewer; so does who may see one alone.
        for base in (own, mount):
            assert viewer.get(base + path).status_code == 404, path
        page = region.hub.access.audit.search(AuditQuery(outcome="refused", limit=5))
        refused = [one.resource_id for one in page.records if one.sequence > before]
        assert refused == [region.us_colour.study] * 2, path
        assert viewer.get(f"/g/{'0' * 32}{path}").status_code == 401, path
        # The control: the same address of the person on the screen.
        assert viewer.get(own + allowed).status_code in {200, 206, 406}, allowed
    assert everywhere.get(region.us_colour.study_url, buffered=True).status_code == 200


def test_the_token_opens_its_own_path_alone(viewer: FlaskClient, root: str, region: Region) -> None:
    path = f"/studies/{region.ct.study}/metadata"
    elsewhere = f"/g/{'0' * 32}/dicom-web{path}"
    assert viewer.get(elsewhere).status_code == 401
    assert viewer.get(f"/dicom-web{path}").status_code == 401
    cookie = next(one for one in viewer._cookies.values() if root.startswith(one.path))
    viewer.set_cookie("eirhub_viewer", cookie.value, path="/")
    assert viewer.get(elsewhere).status_code == 401
    assert viewer.get(f"{root}{path}").status_code == 200
    viewer.delete_cookie("eirhub_viewer", path="/")


def test_the_hubs_session_opens_nothing_at_the_viewers_origin(
    viewer: FlaskClient, reader: FlaskClient, region: Region, files: ViewerFiles
) -> None:
    stranger = create_viewer_app(region.hub.viewer_services(), files).test_client()
    session = next(iter(reader._cookies.values())).value
    stranger.set_cookie("eirhub_session", session)
    answer = stranger.get(f"/g/{'1' * 32}/dicom-web/studies")
    assert answer.status_code == 401
    assert answer.is_json


@pytest.mark.parametrize(
    "path", ["/sign-in", "/patients", "/api/v1/me", "/metrics", "/xds/registry"]
)
def test_there_are_no_pages_and_nothing_to_change(
    viewer: FlaskClient, root: str, path: str
) -> None:
    mount = root.removesuffix("/dicom-web")
    assert viewer.get(f"{mount}{path}").status_code in {401, 404}
    assert viewer.post(f"{root}/studies").status_code == 405


def test_signing_out_closes_the_viewer(viewer: FlaskClient, region: Region) -> None:
    leaving = signed_in(region, "leaver", None)
    root = opened(leaving, viewer, region.ct)
    path = f"{root}/studies/{region.ct.study}/metadata"
    assert viewer.get(path).status_code == 200
    region.hub.access.sessions.end(next(iter(leaving._cookies.values())).value)
    assert viewer.get(path).status_code == 401


def test_a_refusal_closes_the_viewer_at_once(
    viewer: FlaskClient, root: str, region: Region
) -> None:
    person = region.hub.patients.resolve(
        PatientIdentifier("J900", region.hub.access.sites.get("jiuting").assigning_authority)
    )
    assert person is not None
    consents = region.hub.access.consents
    path = f"{root}/studies/{region.ct.study}/metadata"
    assert viewer.get(path).status_code == 200
    consents.record(person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk")
    try:
        assert viewer.get(path).status_code == 404
        assert viewer.get(f"{root}/studies").get_json() == []
    finally:
        consents.record(person, ConsentKind.GRANT, EVERYONE, by="clerk", reason="at the desk")
    assert viewer.get(path).status_code == 200


def test_who_may_not_see_the_study_or_has_no_session_is_not_let_in(
    region: Region, viewer: FlaskClient, radiologist: FlaskClient
) -> None:
    stranger = signed_in(region, "viewer-stranger", ("jiuting",))
    assert stranger.get(f"/studies/{region.us_colour.study}/viewer").status_code == 404
    assert radiologist.get(f"/studies/{region.ct.study}/viewer").status_code == 404


def test_in_an_emergency_the_one_person_is_shown_with_every_prior(
    region: Region, viewer: FlaskClient
) -> None:
    outsider = signed_in(region, "viewer-outsider", ("central",))
    assert outsider.get(f"/studies/{region.ct.study}/viewer").status_code == 404
    with emergency(region, "viewer-outsider", region.ct):
        root = opened(outsider, viewer, region.ct)
        found = viewer.get(f"{root}/studies").get_json()
        studies = {one["0020000D"]["Value"][0] for one in found}
        assert studies == {region.ct.study, region.mr_multiframe.study}
    assert viewer.get(f"{root}/studies").get_json() == []


@pytest.mark.parametrize("token", ["", "guessed", "A" * 200, "A" * 5000, "\xff"])
def test_a_forged_token_is_refused(viewer: FlaskClient, token: str) -> None:
    assert viewer.post("/grants", data=token.encode()).status_code in {401, 413}


def test_tokens_of_another_key_and_old_ones_open_nothing(region: Region) -> None:
    clock = FixedClock(region.hub.base.clock.now())
    sessions = region.hub.access.sessions
    grants = ViewerGrants(sessions, clock, b"k" * 32, lifetime_s=100)
    patient = PatientIdentifier("S001", AssigningAuthority("SIJING", "1.2.156.1.1"))
    token = grants.give("session", patient)
    grant = grants.read(token)
    assert grant is not None
    assert grant.patient == patient
    assert ViewerGrants(sessions, clock, b"x" * 32).read(token) is None
    assert grants.renewed(grant) is None
    clock.advance(seconds=60)
    renewed = grants.renewed(grant)
    assert renewed is not None
    clock.advance(seconds=50)
    assert grants.read(token) is None
    assert grants.read(renewed) is not None


@pytest.fixture
def policy(viewer: FlaskClient) -> Iterator[str]:
    answer = viewer.get("/viewer?StudyInstanceUIDs=1.2.3&url=https://evil.example/steal")
    assert answer.status_code == 200
    yield answer.headers["Content-Security-Policy"]


def test_the_page_may_talk_to_its_own_origin_alone(policy: str) -> None:
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self' data: blob:"
    assert "'unsafe-inline'" not in rules["script-src"]
    assert "'unsafe-eval'" not in rules["script-src"]
    assert "'sha256-" in rules["script-src"]
    assert rules["frame-ancestors"] == "'none'"
    assert content_policy("<script>a</script>") != content_policy("<script>b</script>")


@pytest.mark.parametrize("origin", ["http://localhost:8081", "https://hub.cn.evil", "null"])
def test_no_other_origin_may_read_the_hub_or_the_viewer(
    region: Region, reader: FlaskClient, viewer: FlaskClient, root: str, origin: str
) -> None:
    headers = {"Origin": origin}
    for client, path in ((reader, "/dicom-web/studies"), (viewer, f"{root}/studies")):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


def test_files_are_sent_as_what_they_are_and_nothing_beside_them(viewer: FlaskClient) -> None:
    script = viewer.get("/app.bundle.0123456789abcdef.js", headers={"Accept-Encoding": "gzip"})
    assert script.data == b"squeezed"
    assert script.headers["Content-Encoding"] == "gzip"
    assert "immutable" in script.headers["Cache-Control"]
    assert viewer.get("/assets/mark.svg").mimetype == "image/svg+xml"
    assert viewer.get("/app-config.js").data.count(b"eirhub-grant") >= 1
    for path in ("/app.bundle.0123456789abcdef.js.gz", "/missing.js", "/assets/../../x.py", "/%00"):
        assert viewer.get(path).status_code == 404
    for path in ("/..%2f..%2fetc%2fpasswd", "/assets/..%2f..%2findex.html"):
        assert viewer.get(path).status_code == 404
    assert viewer.get("/").headers["Content-Type"] == "text/html; charset=utf-8"
    assert viewer.get("/open").data.count("阅片已结束".encode()) == 1


def test_the_page_says_beforehand_what_its_scripts_will_ask_for(viewer: FlaskClient) -> None:
    said = "</89.bundle.fedcba9876543210.js>; rel=preload; as=script"
    for path in ("/", "/viewer?StudyInstanceUIDs=1.2.3"):
        assert viewer.get(path).headers["Link"] == said
    for path in ("/open", "/app-config.js", "/89.bundle.fedcba9876543210.js"):
        assert "Link" not in viewer.get(path).headers
