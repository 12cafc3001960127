"""Every key that people search by is found through an index, whatever the planner has been told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from image_archive.counting import patient_counts
from image_archive.index import ArchiveIndex
from image_archive.query import IndexQuery, Level

SEARCHED_BY = {
    "patient ID": {"PatientID": "12345"},
    "beginning of a patient ID": {"PatientID": "123*"},
    "accession number": {"AccessionNumber": "A1"},
    "beginning of an accession number": {"AccessionNumber": "A1*"},
    "day": {"StudyDate": "20260101"},
    "days": {"StudyDate": "20260101-20260107"},
    "moments": {"StudyDate": "20260101-20260107", "StudyTime": "1000-0900"},
    "Hanzi": {"PatientName": "王小东"},
    "beginning in Hanzi": {"PatientName": "王*"},
    "pinyin or initials": {"PatientName": "wangxiaodong"},
    "beginning of the pinyin": {"PatientName": "wangx*"},
    "components": {"PatientName": "Wang^Xiao*"},
    "groups": {"PatientName": "Wang^XiaoDong=王^小东"},
    "study UID": {"StudyInstanceUID": "1.2\\1.3"},
    "series UID": {"SeriesInstanceUID": "1.2\\1.3"},
    "instance UID": {"SOPInstanceUID": "1.2\\1.3"},
    "instance of a modality": {"SOPInstanceUID": "1.2", "Modality": "CT"},
    "name and day": {"PatientName": "wxd", "StudyDate": "20260101-20260201"},
}
_TABLES = ("study", "series", "instance")


@pytest.fixture(scope="module", params=["nothing", "what ANALYZE found"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database whose planner knows nothing of its tables, or that half of all names are empty."""
    folder: Path = tmp_path_factory.mktemp("plans")
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}")
    database.create_all()
    if request.param != "nothing":
        with database.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
            indexes = connection.exec_driver_sql(
                "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'"
            ).all()
            rows = {"study": 1_000_000, "series": 2_000_000, "instance": 10_000_000}
            for index, table in indexes:
                if table in rows:
                    alike = rows[table] // 2 if "key_" in index else 10
                    columns = index.count("_study_") + 1
                    told = " ".join(map(str, [rows[table], *[alike] * columns]))
                    connection.exec_driver_sql(
                        "INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", (table, index, told)
                    )
    yield database
    database.dispose()


def plans(database: Database, query: IndexQuery) -> list[str]:
    """What the database would do for each statement of a query, step by step."""
    return plans_of(database, lambda: ArchiveIndex(database).find(query))


def plans_of(database: Database, ask: Callable[[], object]) -> list[str]:
    """What the database would do for each statement of `ask`, step by step."""
    asked: list[tuple[str, object]] = []

    def note(*given: object) -> None:
        asked.append((str(given[2]), given[3]))

    event.listen(database.engine, "before_cursor_execute", note)
    ask()
    event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        return [
            str(step[3])
            for statement, values in asked
            if statement.startswith("SELECT")
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]


def read_whole(steps: list[str]) -> list[str]:
    """The steps that read a whole table, or a whole index of it."""
    return [
        step for step in steps if step.startswith(("SCAN named", *(f"SCAN {t}" for t in _TABLES)))
    ]


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("key", SEARCHED_BY)
@pytest.mark.parametrize("site", [None, frozenset({"qingshan"})], ids=["region", "site"])
def test_no_table_is_read_whole(
    database: Database, level: Level, key: str, site: frozenset[str] | None
) -> None:
    steps = plans(
        database,
        IndexQuery(level, SEARCHED_BY[key], site_ids=site, limit=1000, combined_datetime=True),
    )
    assert steps
    assert not read_whole(steps), "\n".join(steps)


@pytest.mark.parametrize("level", [Level.SERIES, Level.INSTANCE])
def test_a_list_of_everything_begins_with_as_many_studies_as_it_needs(
    database: Database, level: Level
) -> None:
    steps = plans(database, IndexQuery(level, limit=1000))
    assert read_whole(steps) == ["SCAN study"], "\n".join(steps)


def test_a_person_of_several_identifiers_is_found_without_reading_a_table_whole(
    database: Database,
) -> None:
    issuer = AssigningAuthority("QINGSHAN", "1.2.3")
    several = [PatientIdentifier(str(number), issuer) for number in range(3)]
    steps = plans_of(database, lambda: ArchiveIndex(database).studies_of(several))
    with database.read() as session:
        everybody = IndexQuery(Level.PATIENT)
        steps += plans_of(database, lambda: patient_counts(session, everybody, several))
    assert len(steps) > 1
    assert not read_whole(steps), "\n".join(steps)


def test_what_studies_hold_is_counted_without_reading_a_table_whole(database: Database) -> None:
    index = ArchiveIndex(database)
    steps = plans_of(database, lambda: index.held_by_studies(["1.2", "1.3", "1.4"]))
    steps += plans_of(database, lambda: index.held_by_series("1.2"))
    assert len(steps) > 1
    assert not read_whole(steps), "\n".join(steps)


def test_the_search_for_such_steps_finds_one(database: Database) -> None:
    steps = plans(database, IndexQuery(Level.STUDY, {"StudyDescription": "*x*"}, limit=10))
    assert read_whole(steps)
