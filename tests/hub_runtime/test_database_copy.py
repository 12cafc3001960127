"""An embedded hub moves to PostgreSQL without losing a row, and goes on there."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, text

from access_control.sites import SiteDirectory
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import DatabaseSettings, HubSettings, Settings, StudySettings
from hub_runtime import schema
from hub_runtime.bootstrap import build_hub
from hub_runtime.database_copy import DatabaseCopyError, copy_database
from hub_runtime.hub import Hub
from tests.support.clock import FixedClock
from tests.support.postgresql import PostgresqlServer
from tests.viewer_api.region import new_hub, sample, settle, site, store

NAMES = {"SpecificCharacterSet": "GB18030", "PatientName": "Zhou^Yun=周芸", "PatientID": "C7001"}


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


@pytest.fixture
def url(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.bare_database() as url:
        yield url


@pytest.fixture
def target(url: str) -> Iterator[Database]:
    target = Database(url)
    yield target
    target.dispose()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Database]:
    source = Database(f"sqlite:///{tmp_path / 'small.sqlite'}")
    schema.upgrade(source)
    yield source
    source.dispose()


def hub_on(url: str, data: Path) -> Hub:
    hub = build_hub(
        Settings(
            hub=HubSettings(data_dir=data),
            database=DatabaseSettings(url=url),
            study=StudySettings(quiet_period_s=0.001),
        )
    )
    hub.open()
    return hub


def test_a_hub_with_studies_moves_and_goes_on(tmp_path: Path, url: str, target: Database) -> None:
    hub = new_hub(tmp_path / "data")
    shown = store(hub, "sijing", sample("CT_small.dcm", **NAMES))
    settle(hub, studies=1)
    done: list[tuple[int, int]] = []
    copied = copy_database(hub.base.database, target, lambda *step: done.append(step))
    hub.close()
    rows = {one.name: one.rows for one in copied}
    assert set(rows) == set(schema.METADATA.tables)
    assert rows["instance"] == rows["study"] == 1
    assert done[-1] == (2 * sum(rows.values()), 2 * sum(rows.values()))

    with closing(hub_on(url, tmp_path / "data")) as moved:
        assert moved.access.audit.verify(quiet).ok
        assert moved.archive.verify(quiet).checked == 1
        study = moved.index.study(shown.study)
        assert study is not None
        assert study.patient_name.ideographic == "周芸"
        store(moved, "jiuting", sample("MR_small.dcm", PatientID="C7002"))
        settle(moved, studies=1)
        assert moved.archive.verify(quiet).checked == 2


def test_a_target_with_rows_is_refused_and_left_alone(source: Database, target: Database) -> None:
    copy_with_one_site(source, target)
    with pytest.raises(DatabaseCopyError, match="not empty"):
        copy_database(source, target, quiet)
    assert site_names(target) == ["one"]


def test_a_source_that_is_written_to_meanwhile_is_noticed(
    source: Database, target: Database
) -> None:
    add_site(source, "one")
    target_writes = iter(["two"])

    def meanwhile(*_: object) -> None:
        for name in target_writes:
            add_site(source, name)

    with pytest.raises(DatabaseCopyError, match="written to meanwhile"):
        copy_database(source, target, meanwhile)
    assert site_names(target) == []


def test_a_row_that_is_changed_on_the_way_is_noticed(source: Database, target: Database) -> None:
    add_site(source, "one")

    @event.listens_for(target.engine, "before_cursor_execute", retval=True)
    def spoil(*call: object) -> tuple[object, object]:
        statement, parameters = call[2], call[3]
        if "INSERT INTO site " in str(statement) and isinstance(parameters, dict):
            parameters = {**parameters, "name": "another"}
        return statement, parameters

    with pytest.raises(DatabaseCopyError, match="reads back differently"):
        copy_database(source, target, quiet)
    assert site_names(target) == []


def test_a_database_of_an_older_version_is_not_copied(tmp_path: Path, target: Database) -> None:
    older = Database(f"sqlite:///{tmp_path / 'older.sqlite'}")
    schema.upgrade(older, "0008")
    with pytest.raises(ConfigurationError, match="db upgrade"):
        copy_database(older, target, quiet)
    older.dispose()


def copy_with_one_site(source: Database, target: Database) -> None:
    add_site(source, "one")
    copy_database(source, target, quiet)
    assert site_names(target) == ["one"]


def add_site(database: Database, name: str) -> None:
    SiteDirectory(database, FixedClock()).add(site(name, 1 + len(site_names(database))))


def site_names(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.execute(text("SELECT site_id FROM site ORDER BY site_id")).scalars())
