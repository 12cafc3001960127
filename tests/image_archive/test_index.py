"""Queries as C-FIND and QIDO-RS put them: what matches, what does not, and what stays literal."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import event

from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.errors import InvalidQueryError
from image_archive.index import ArchiveIndex
from image_archive.query import IndexQuery, Level
from image_archive.service import ArchiveService
from tests.image_archive.datasets import OTHER_TOWNSHIP, TOWNSHIP, Sender, ct_slice
from tests.support.tables import create_tables

STUDIES: dict[str, dict[str, object]] = {
    "1.1": {
        "PatientName": "Wang^XiaoDong=王^小东",
        "PatientID": "12345",
        "StudyDate": "20260101",
        "StudyTime": "080000",
        "AccessionNumber": "A100%",
        "StudyDescription": "CHEST 100%",
    },
    "1.2": {
        "PatientName": "王^小东",
        "PatientID": "P_2",
        "StudyDate": "20260102",
        "StudyTime": "1200",
        "AccessionNumber": "A1001",
        "StudyDescription": "head",
        "Modality": "MR",
        "BodyPartExamined": "HEAD",
    },
    "1.3": {
        "PatientName": "Wangler^Otto",
        "PatientID": "PX2",
        "StudyDate": "20260103",
        "StudyTime": "235959.5",
        "AccessionNumber": "B_7",
        "StudyDescription": "' OR '1'='1",
    },
    "1.4": {
        "PatientName": "O'Neil^Pat_%",
        "PatientID": "x'; DROP TABLE study; --",
        "StudyDate": None,
        "StudyTime": None,
        "AccessionNumber": "BX7",
        "PatientSex": "F",
    },
    "1.5": {"PatientName": "单^雄信", "PatientID": "", "StudyDate": "20260105", "StudyTime": "06"},
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Five studies of five people at one site, a sixth at another site."""
    folder: Path = tmp_path_factory.mktemp("region")
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}")
    create_tables(database)
    archive = ArchiveService(database, FilesystemBackend(folder / "archive"), SystemClock())
    for uid, attributes in STUDIES.items():
        Sender(archive).send(study_slice(uid, 1, **attributes))
    Sender(archive).send(study_slice("1.1", 2, **STUDIES["1.1"]))
    second = {**STUDIES["1.1"], "SeriesInstanceUID": "1.1.8", "Modality": "SR", "SeriesNumber": 2}
    Sender(archive).send(study_slice("1.1", 3, **second))
    Sender(archive, OTHER_TOWNSHIP).send(study_slice("2.1", 1, PatientName="Zhao^Liu"))
    yield database
    database.dispose()


def study_slice(uid: str, number: int, **attributes: object) -> object:
    ids = {
        "SOPInstanceUID": f"{uid}.9.{number}",
        "StudyInstanceUID": uid,
        "SeriesInstanceUID": f"{uid}.9",
    }
    return ct_slice(number, **{**ids, **attributes})


@pytest.fixture
def region_index(region: Database) -> ArchiveIndex:
    return ArchiveIndex(region)


def found(index: ArchiveIndex, level: Level = Level.STUDY, **matches: str) -> list[str]:
    answer = index.find(IndexQuery(level, matches))
    assert not answer.truncated
    return sorted(m.study.study_instance_uid for m in answer.matches if m.study)


ALL = ["1.1", "1.2", "1.3", "1.4", "1.5", "2.1"]
TABLE: list[tuple[str, str, list[str]]] = [
    # universal
    ("PatientName", "", ALL),
    ("PatientName", "*", ALL),
    ("PatientID", "*", ["1.1", "1.2", "1.3", "1.4", "2.1"]),
    ("StudyInstanceUID", "*", ALL),
    # names: one person in Hanzi, letters, pinyin, initials; case does not matter
    ("PatientName", "Wang^XiaoDong", ["1.1", "1.2"]),
    ("PatientName", "WANG^XIAODONG", ["1.1", "1.2"]),
    ("PatientName", "wang xiaodong", ["1.1", "1.2"]),
    ("PatientName", "王^小东", ["1.1", "1.2"]),
    ("PatientName", "王小东", ["1.1", "1.2"]),
    ("PatientName", "Wang^XiaoDong=王^小东", ["1.1", "1.2"]),
    ("PatientName", "wxd", ["1.1", "1.2"]),
    ("PatientName", "WX*", ["1.1", "1.2"]),
    ("PatientName", "王*", ["1.1", "1.2"]),
    ("PatientName", "王^*", ["1.1", "1.2"]),
    ("PatientName", "*小东", ["1.1", "1.2"]),
    ("PatientName", "王?东", ["1.1", "1.2"]),
    ("PatientName", "WANG*", ["1.1", "1.2", "1.3"]),
    ("PatientName", "Wang^*", ["1.1", "1.2"]),
    ("PatientName", "wang^xiao*", ["1.1", "1.2"]),
    ("PatientName", "*^Otto", ["1.3"]),
    ("PatientName", "Wang", []),
    ("PatientName", "Wang?er^Otto", ["1.3"]),
    ("PatientName", "shan*", ["1.5"]),
    ("PatientName", "dan*", []),
    # names: what is typed stays text
    ("PatientName", "O'Neil*", ["1.4"]),
    ("PatientName", "*^Pat_%", ["1.4"]),
    ("PatientName", "*^Pat__", []),
    ("PatientName", "%", []),
    ("PatientName", "%*", []),
    ("PatientName", "_*", []),
    ("PatientName", "' OR '1'='1", []),
    ("PatientName", "*' OR 1=1 --*", []),
    # single values and wildcards of texts
    ("PatientID", "12345", ["1.1", "2.1"]),
    ("PatientID", "1234", []),
    ("PatientID", "P_2", ["1.2"]),
    ("PatientID", "P_*", ["1.2"]),
    ("PatientID", "P?2", ["1.2", "1.3"]),
    ("PatientID", "%", []),
    ("PatientID", "' OR '1'='1", []),
    ("PatientID", "x'; DROP TABLE study; --", ["1.4"]),
    ("PatientID", "NOID-1.5", []),
    ("PatientID", "NOID*", []),
    ("AccessionNumber", "A100%", ["1.1"]),
    ("AccessionNumber", "A100?", ["1.1", "1.2"]),
    ("AccessionNumber", "*100%*", ["1.1"]),
    ("AccessionNumber", "B_7", ["1.3"]),
    ("AccessionNumber", "B?7", ["1.3", "1.4"]),
    ("AccessionNumber", "B_*", ["1.3"]),
    ("AccessionNumber", "A1001\\B_7", ["1.2", "1.3"]),
    ("StudyDescription", "*100%", ["1.1"]),
    ("StudyDescription", "' OR '1'='1", ["1.3"]),
    ("StudyDescription", "* OR *", ["1.3"]),
    ("PatientSex", "F", ["1.4"]),
    ("AccessionNumber", "*?" * 500, []),
    # lists of UIDs
    ("StudyInstanceUID", "1.1", ["1.1"]),
    ("StudyInstanceUID", "1.1\\1.3\\9.9", ["1.1", "1.3"]),
    ("StudyInstanceUID", "1.*", []),
    ("StudyInstanceUID", "' OR 1=1 --", []),
    # ranges
    ("StudyDate", "20260102", ["1.2"]),
    ("StudyDate", "2026.01.02", ["1.2"]),
    ("StudyDate", "20260102-20260103", ["1.2", "1.3"]),
    ("StudyDate", "20260103-", ["1.3", "1.5", "2.1"]),
    ("StudyDate", "-20260102", ["1.1", "1.2"]),
    ("StudyTime", "08", ["1.1"]),
    ("StudyTime", "0800-1200", ["1.1", "1.2", "2.1"]),
    ("StudyTime", "235959.5", ["1.3"]),
    ("StudyTime", "-0659", ["1.5"]),
    ("PatientBirthDate", "19700102", ALL),
    # keys of lower levels
    ("ModalitiesInStudy", "MR", ["1.2"]),
    ("ModalitiesInStudy", "SR", ["1.1"]),
    ("ModalitiesInStudy", "MR\\SR", ["1.1", "1.2"]),
    ("Modality", "SR", ["1.1"]),
    ("BodyPartExamined", "HEAD", ["1.2"]),
    ("SeriesInstanceUID", "1.1.8", ["1.1"]),
    ("SeriesNumber", "2", ["1.1"]),
    ("SOPInstanceUID", "1.1.9.3\\1.2.9.1", ["1.1", "1.2"]),
    ("InstanceNumber", "3", ["1.1"]),
]


@pytest.mark.parametrize(
    ("keyword", "value", "expected"), TABLE, ids=[f"{row[0]}={row[1][:24]!r}" for row in TABLE]
)
def test_matching(
    region_index: ArchiveIndex, keyword: str, value: str, expected: list[str]
) -> None:
    assert found(region_index, **{keyword: value}) == expected


NONSENSE = [
    ("AccessionNumber", "*?" * 10_000),
    ("StudyDate", "2026010"),
    ("StudyDate", "20261399"),
    ("StudyDate", "-"),
    ("StudyTime", "noon"),
    ("SeriesNumber", "two"),
    ("PatientID", "\0"),
    ("StudyInstanceUID", "\\".join(["1.1"] * 100_000)),
]


@pytest.mark.parametrize(
    ("keyword", "value"), NONSENSE, ids=[f"{row[0]}={row[1][:12]!r}" for row in NONSENSE]
)
def test_a_value_without_meaning_is_refused_by_name(
    region_index: ArchiveIndex, keyword: str, value: str
) -> None:
    with pytest.raises(InvalidQueryError, match=keyword):
        region_index.find(IndexQuery(Level.STUDY, {keyword: value}))


def test_all_keys_must_match(region_index: ArchiveIndex) -> None:
    assert found(region_index, PatientName="WANG*", StudyDate="20260102-") == ["1.2", "1.3"]
    assert found(region_index, Modality="SR", SOPInstanceUID="1.1.9.3") == ["1.1"]
    assert found(region_index, Modality="MR", SOPInstanceUID="1.1.9.3") == []


def test_fuzzy_names_match_anywhere(region_index: ArchiveIndex) -> None:
    def fuzzy(name: str) -> list[str]:
        answer = region_index.find(IndexQuery(Level.STUDY, {"PatientName": name}, fuzzy=True))
        return sorted(m.study.study_instance_uid for m in answer.matches if m.study)

    assert fuzzy("xiao") == ["1.1", "1.2"]
    assert fuzzy("小东") == ["1.1", "1.2"]
    assert fuzzy("otto") == ["1.3"]
    assert fuzzy("%") == []


def test_date_and_time_ranges_can_be_one_range(region_index: ArchiveIndex) -> None:
    matches = {"StudyDate": "20260101-20260103", "StudyTime": "1000-1300"}
    apart = region_index.find(IndexQuery(Level.STUDY, matches))
    together = region_index.find(IndexQuery(Level.STUDY, matches, combined_datetime=True))
    assert [m.study.study_instance_uid for m in apart.matches if m.study] == ["1.2"]
    assert [m.study.study_instance_uid for m in together.matches if m.study] == ["1.2"]
    later = {"StudyDate": "20260101-20260103", "StudyTime": "0700-0600"}
    wrapped = region_index.find(IndexQuery(Level.STUDY, later, combined_datetime=True))
    assert [m.study.study_instance_uid for m in wrapped.matches if m.study] == ["1.2", "1.1"]


def test_what_the_asker_may_not_see_is_not_there(region_index: ArchiveIndex) -> None:
    def visible(**scope: object) -> list[str]:
        answer = region_index.find(IndexQuery(Level.STUDY, **scope))  # type: ignore[arg-type]
        return sorted(m.study.study_instance_uid for m in answer.matches if m.study)

    here = PatientIdentifier("12345", TOWNSHIP.issuer)
    assert visible(site_ids=frozenset({"baihe"})) == ["2.1"]
    assert visible(site_ids=frozenset()) == []
    assert visible(identifiers=frozenset({here})) == ["1.1"]
    assert visible(identifiers=frozenset()) == []
    assert visible(study_uids=frozenset({"1.3"})) == ["1.3"]
    assert visible(study_uids=frozenset()) == []
    assert visible(site_ids=frozenset({"baihe"}), study_uids=frozenset({"1.1"})) == []


@pytest.mark.parametrize("level", Level)
def test_the_scope_holds_at_every_level(region_index: ArchiveIndex, level: Level) -> None:
    answer = region_index.find(IndexQuery(level, site_ids=frozenset({"baihe"})))
    assert len(answer.matches) == 1


def test_patients_are_one_per_issuer_and_number(region_index: ArchiveIndex) -> None:
    answer = region_index.find(IndexQuery(Level.PATIENT, {"PatientID": "12345"}))
    patients = [match.patient for match in answer.matches if match.patient]
    assert {patient.patient.issuer.oid for patient in patients} == {"1.2.156.1.1", "1.2.156.1.2"}
    first = next(patient for patient in patients if patient.instance_count == 3)
    assert (first.study_count, first.series_count) == (1, 2)


def test_series_and_instances_carry_the_levels_above(region_index: ArchiveIndex) -> None:
    series = region_index.find(IndexQuery(Level.SERIES, {"StudyInstanceUID": "1.1"}))
    assert [m.series.modality for m in series.matches if m.series] == ["CT", "SR"]
    assert all(m.study and m.study.study_instance_uid == "1.1" for m in series.matches)
    holds = region_index.find(IndexQuery(Level.SERIES, {"SOPInstanceUID": "1.1.9.3"}))
    assert [m.series.series_instance_uid for m in holds.matches if m.series] == ["1.1.8"]
    instances = region_index.find(IndexQuery(Level.INSTANCE, {"StudyInstanceUID": "1.1"}))
    assert [m.instance.instance_number for m in instances.matches if m.instance] == [1, 2, 3]
    assert [m.series.modality for m in instances.matches if m.series] == ["CT", "CT", "SR"]


def test_the_answer_has_every_attribute_by_keyword(region_index: ArchiveIndex) -> None:
    (match,) = region_index.find(IndexQuery(Level.INSTANCE, {"StudyInstanceUID": "1.5"})).matches
    attributes = match.attributes()
    assert attributes["PatientID"] == ""
    assert attributes["StudyDate"] == date(2026, 1, 5)
    assert attributes["ModalitiesInStudy"] == ("CT",)
    assert attributes["NumberOfStudyRelatedInstances"] == 1
    assert attributes["NumberOfSeriesRelatedInstances"] == 1
    assert attributes["Rows"] == 4
    (patient,) = region_index.find(IndexQuery(Level.PATIENT, {"PatientSex": "F"})).matches
    assert patient.attributes()["NumberOfPatientRelatedStudies"] == 1


def test_pages_follow_each_other_and_say_when_there_is_more(region_index: ArchiveIndex) -> None:
    first = region_index.find(IndexQuery(Level.STUDY, limit=4))
    rest = region_index.find(IndexQuery(Level.STUDY, limit=4, offset=4))
    assert (len(first.matches), first.truncated) == (4, True)
    assert (len(rest.matches), rest.truncated) == (2, False)
    uids = [m.study.study_instance_uid for m in (*first.matches, *rest.matches) if m.study]
    assert uids == sorted(ALL, reverse=True)
    assert region_index.find(IndexQuery(Level.STUDY, limit=0)).matches == ()


def test_unknown_keywords_are_ignored_and_named(region_index: ArchiveIndex) -> None:
    matches = {"PatientWeight": "80", "SpecificCharacterSet": "GB18030", "PatientSex": ""}
    answer = region_index.find(IndexQuery(Level.STUDY, matches))
    assert len(answer.matches) == len(ALL)
    assert answer.ignored == ("PatientWeight",)


def test_a_query_costs_a_fixed_number_of_statements(
    region: Database, region_index: ArchiveIndex
) -> None:
    statements: list[str] = []

    def note(conn: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(region.engine, "before_cursor_execute", note)
    costs = {}
    for level in Level:
        statements.clear()
        region_index.find(IndexQuery(level))
        costs[level] = sum(statement.startswith("SELECT") for statement in statements)
    event.remove(region.engine, "before_cursor_execute", note)
    assert costs == {Level.PATIENT: 3, Level.STUDY: 1, Level.SERIES: 2, Level.INSTANCE: 3}


def test_studies_of_a_person_come_newest_first(region_index: ArchiveIndex) -> None:
    issuer = TOWNSHIP.issuer
    wanted = [
        PatientIdentifier(value, issuer) for value in ("12345", "P_2", "x'; DROP TABLE study; --")
    ]
    wanted.append(PatientIdentifier("nobody", AssigningAuthority("X", "1.9")))
    uids = [study.study_instance_uid for study in region_index.studies_of(wanted)]
    assert uids == ["1.2", "1.1", "1.4"]
    assert region_index.studies_of([]) == []


def test_what_does_not_exist_is_none_or_empty(region_index: ArchiveIndex) -> None:
    assert region_index.study("9.9") is None
    assert region_index.instance("9.9") is None
    assert region_index.series_of("9.9") == []
    assert region_index.instances_of("9.9") == []
    assert region_index.conflicts() == []
