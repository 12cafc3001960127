"""QIDO-RS from outside (PS3.18 10.6)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_control.model import Role
from tests.support.statements import hearing
from tests.viewer_api.region import Region, machines_of, opened_region

STUDIES = "/dicom-web/studies"
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """Give a region of its own: what other tests store would be found here."""
    with opened_region(tmp_path_factory.mktemp("search")) as opened:
        yield opened


@pytest.fixture(scope="module")
def machine(region: Region) -> Callable[..., FlaskClient]:
    return machines_of(region)


def found(answer: TestResponse, tag: str = STUDY_UID) -> set[str]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json is not None
    return {match[tag]["Value"][0] for match in answer.json}


@contextmanager
def statements(region: Region) -> Iterator[list[str]]:
    """Collect the SQL sent while the block runs, without what begins and ends transactions.

    The sites are left out: they are read again when a second has passed, whatever is asked.
    """
    sent: list[str] = []

    def note(statement: str) -> None:
        asks = statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))
        if asks and "FROM site" not in statement:
            sent.append(statement)

    with hearing(region.hub.database.engine, note):
        yield sent


def test_who_may_see_the_region_finds_every_study(region: Region, radiologist: FlaskClient) -> None:
    answer = radiologist.get(STUDIES)
    assert answer.content_type == "application/dicom+json; charset=utf-8"
    assert found(answer) == {region.ct.study, region.mr_multiframe.study, region.us_colour.study}


def test_an_answer_holds_what_a_viewer_lists(region: Region, radiologist: FlaskClient) -> None:
    answer = radiologist.get(f"{STUDIES}?StudyInstanceUID={region.ct.study}")
    assert answer.json is not None
    (study,) = answer.json
    assert study["00100010"]["Value"] == [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]
    assert study["00100020"] == {"vr": "LO", "Value": ["S001"]}
    assert study["00100021"]["Value"] == ["SIJING"]
    assert study["00080061"] == {"vr": "CS", "Value": ["CT"]}
    assert study["00201208"] == {"vr": "IS", "Value": [1]}
    assert study["00080005"]["Value"] == ["ISO_IR 192"]
    assert study["00081190"]["Value"] == [f"http://localhost{region.ct.study_url}"]


@pytest.mark.parametrize(
    "query",
    [
        "PatientName=王^小东",
        "PatientName=Wang*",
        "PatientName=wang^xiaodong",
        "PatientName=wxd",
        "00100010=Wang*",
        "PatientName=xiaodong&fuzzymatching=true",
    ],
)
def test_a_name_is_found_as_hanzi_as_pinyin_and_by_initials(
    region: Region, radiologist: FlaskClient, query: str
) -> None:
    name, _, value = query.partition("=")
    value, _, rest = value.partition("&")
    answer = radiologist.get(f"{STUDIES}?{name}={quote(value)}&{rest}")
    assert found(answer) == {region.ct.study, region.mr_multiframe.study}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("AccessionNumber=A-1", {"ct"}),
        ("PatientID=S001", {"ct", "us_colour"}),
        ("PatientID=S001&IssuerOfPatientID=SIJING", {"ct"}),
        ("ModalitiesInStudy=MR", {"mr_multiframe"}),
        ("StudyDate=20040119", {"ct"}),
        ("StudyDate=20040101-20041231", {"ct"}),
        ("00080020=-19991231", set()),
    ],
)
def test_keys_match_by_keyword_tag_and_range(
    region: Region, radiologist: FlaskClient, query: str, expected: set[str]
) -> None:
    wanted = {getattr(region, name).study for name in expected}
    assert found(radiologist.get(f"{STUDIES}?{query}")) == wanted


@pytest.mark.parametrize(
    "hostile",
    [
        "' OR 1=1 --",
        '" OR ""="',
        "%",
        "_",
        "S00_",
        "S%",
        "'; DROP TABLE study; --",
        "a\\b",
        "{{7*7}}",
    ],
)
@pytest.mark.parametrize("key", ["PatientID", "PatientName", "AccessionNumber", "StudyID"])
def test_sql_is_text_that_matches_nothing(radiologist: FlaskClient, key: str, hostile: str) -> None:
    answer = radiologist.get(f"{STUDIES}?{key}={quote(hostile)}")
    assert found(answer) == set()


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=1000000000", "offset=-1", "NoSuchKey=1", "StudyDate=today"]
)
def test_a_query_that_makes_no_sense_is_refused_and_says_which_key(
    radiologist: FlaskClient, query: str
) -> None:
    answer = radiologist.get(f"{STUDIES}?{query}")
    assert answer.status_code == 400
    assert answer.json is not None
    assert query.partition("=")[0] in answer.json["error"]["detail"] or "NoSuch" in query


def test_pages_of_answers_join_without_gap_or_repetition(radiologist: FlaskClient) -> None:
    pages = [radiologist.get(f"{STUDIES}?limit=1&offset={offset}") for offset in range(4)]
    assert [len(page.json or []) for page in pages] == [1, 1, 1, 0]
    assert len(set.union(*(found(page) for page in pages))) == 3
    assert ["Warning" in page.headers for page in pages] == [True, True, False, False]


def test_series_and_instances_are_found_with_and_without_their_study(
    region: Region, radiologist: FlaskClient
) -> None:
    ct = region.ct
    assert found(radiologist.get(f"{ct.study_url}/series"), SERIES_UID) == {ct.series}
    assert found(radiologist.get(f"{ct.study_url}/instances"), INSTANCE_UID) == {ct.instance}
    assert found(radiologist.get(f"{ct.series_url}/instances"), INSTANCE_UID) == {ct.instance}
    assert found(radiologist.get("/dicom-web/series?Modality=CT"), SERIES_UID) == {ct.series}
    by_uid = f"/dicom-web/instances?SOPInstanceUID={ct.instance}"
    assert found(radiologist.get(by_uid), STUDY_UID) == {ct.study}


def test_what_the_path_names_is_repeated_only_when_asked_for(
    region: Region, radiologist: FlaskClient
) -> None:
    plain = radiologist.get(f"{region.ct.study_url}/series").json
    asked = radiologist.get(f"{region.ct.study_url}/series?includefield=PatientName").json
    everything = radiologist.get(f"{region.ct.study_url}/series?includefield=all").json
    assert plain is not None and asked is not None and everything is not None  # noqa: PT018
    assert "00100010" not in plain[0]
    assert "00100010" in asked[0]
    assert "00080061" in everything[0]


def test_a_reader_of_one_site_sees_the_whole_record_of_people_known_there_and_nobody_else(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    one_person = {region.ct.study, region.mr_multiframe.study}
    assert found(machine(Role.RADIOLOGIST, sites=("sijing",)).get(STUDIES)) == one_person
    assert found(machine(Role.CLINICIAN, sites=("jiuting",)).get(STUDIES)) == one_person
    at_central = machine(Role.RADIOLOGIST, sites=("central",))
    assert found(at_central.get(STUDIES)) == {region.us_colour.study}
    assert found(at_central.get(f"{STUDIES}?PatientID=S001")) == {region.us_colour.study}
    assert found(at_central.get(f"{STUDIES}?PatientName=*")) == {region.us_colour.study}
    series = at_central.get("/dicom-web/series")
    assert found(series, STUDY_UID) == {region.us_colour.study}
    instances = at_central.get("/dicom-web/instances")
    assert found(instances, STUDY_UID) == {region.us_colour.study}


def test_a_narrowed_search_pages_over_what_may_be_seen(
    machine: Callable[..., FlaskClient],
) -> None:
    client = machine(Role.RADIOLOGIST, sites=("sijing",))
    pages = [client.get(f"{STUDIES}?limit=1&offset={offset}") for offset in range(3)]
    assert [len(page.json or []) for page in pages] == [1, 1, 0]
    assert found(pages[0]) != found(pages[1])


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.MANAGER, Role.ENGINEER, Role.AUDITOR])
def test_who_reads_no_images_may_not_search(
    machine: Callable[..., FlaskClient], role: Role
) -> None:
    assert machine(role).get(STUDIES).status_code == 404


@pytest.mark.parametrize(
    ("sites", "queries"),
    [
        # the token, the matches, and the audit record: read the head of the chain, move it on,
        # add a row
        (None, 6),
        # and which of the people found are known at the reader's site
        (("sijing",), 7),
    ],
)
def test_a_search_costs_a_fixed_number_of_queries(
    region: Region,
    machine: Callable[..., FlaskClient],
    sites: tuple[str, ...] | None,
    queries: int,
) -> None:
    client = machine(Role.RADIOLOGIST, sites=sites)
    client.get(STUDIES)
    with statements(region) as sent:
        client.get(f"{STUDIES}?PatientName=Wang*")
    # The directory of sites is read again whenever a second has passed, whatever is asked.
    own = [one for one in sent if not re.search(r"FROM (site|machine_certificate)\b", one)]
    assert len(own) == queries, "\n".join(sent)
