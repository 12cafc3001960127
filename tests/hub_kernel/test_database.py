import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import String, func, select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hub_kernel.database import Database, UtcDateTime
from hub_kernel.events import Event
from tests.support.postgresql import PostgresqlServer


class TestBase(DeclarativeBase):
    """Apart from the product's tables, which other tests compare with its migrations."""

    __test__ = False


class Probe(TestBase):
    __tablename__ = "test_probe"
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    count: Mapped[int]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'probe.sqlite'}")
    TestBase.metadata.create_all(database.engine)
    yield database
    database.dispose()


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_unit_of_work_commits_at_its_end(database: Database) -> None:
    with database.unit_of_work() as work:
        work.session.add(Probe(name="a", count=1, at=NOON))
    with database.read() as session:
        assert session.scalars(select(Probe.at)).one() == NOON


def test_a_unit_of_work_that_raises_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.unit_of_work() as work:
            work.session.add(Probe(name="a", count=1, at=NOON))
            work.session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Probe)) == 0


def test_a_late_unit_of_work_lets_others_write_until_its_first_statement(
    database: Database,
) -> None:
    with database.unit_of_work(late=True) as late:
        with database.unit_of_work() as other:  # two at once, and this would wait for its own end
            other.session.add(Probe(name="a", count=1, at=NOON))
        assert late.session.scalar(select(func.count()).select_from(Probe)) == 1
        late.session.add(Probe(name="b", count=1, at=NOON))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Probe)) == 2


def test_a_question_without_a_session_is_asked_in_the_snapshot_joined(database: Database) -> None:
    count = select(func.count()).select_from(Probe)
    with database.read() as session, database.joined(session):
        assert session.scalar(count) == 0
        with database.unit_of_work() as work:
            work.session.add(Probe(name="a", count=1, at=NOON))
        with database.reading() as connection:
            assert connection.scalar(count) == 0
    with database.reading() as connection:
        assert connection.scalar(count) == 1


def test_a_read_never_changes_anything(database: Database) -> None:
    with database.read() as session:
        session.add(Probe(name="a", count=1, at=NOON))
        session.flush()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Probe)) == 0


def test_a_naive_time_is_refused(database: Database) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(StatementError, match="naive time"), database.unit_of_work() as work:
        work.session.add(Probe(name="a", count=1, at=naive))


def test_writers_queue_instead_of_losing_each_others_work(database: Database) -> None:
    with database.unit_of_work() as work:
        work.session.add(Probe(name="a", count=0, at=NOON))

    def add_one_25_times() -> None:
        for _ in range(25):
            with database.unit_of_work() as work:
                probe = work.session.get_one(Probe, "a")
                probe.count += 1

    threads = [threading.Thread(target=add_one_25_times) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(Probe, "a").count == 200


def test_sqlite_is_told_to_survive_a_power_cut(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


class Ledger:
    """An event writer that only notes that it was called."""

    def write(self, session: Session, occurred: Sequence[Event]) -> set[type[Event]]:
        for one in occurred:
            session.add(Probe(name=one.event_id, count=1, at=one.occurred_at))
        return {type(one) for one in occurred}


def test_the_listener_learns_what_was_published_after_the_rows_are_visible(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'listener.sqlite'}", outbox=Ledger())
    TestBase.metadata.create_all(database.engine)
    seen: list[tuple[frozenset[type[Event]], int | None]] = []

    def look(published: frozenset[type[Event]]) -> None:
        with database.read() as session:
            seen.append((published, session.scalar(select(func.count()).select_from(Probe))))

    database.on_published = look
    with database.unit_of_work() as work:
        work.session.add(Probe(name="nothing published", count=1, at=NOON))
    with database.unit_of_work() as work:
        work.publish(Event(event_id="one", occurred_at=NOON))
    assert seen == [(frozenset({Event}), 2)]
    database.dispose()


def test_reads_of_a_thread_join_the_snapshot_they_are_told_to_and_other_threads_do_not(
    database: Database,
) -> None:
    seen: list[int] = []

    def count() -> int:
        with database.read() as session:
            return session.scalar(select(func.count()).select_from(Probe)) or 0

    with database.read() as outer:
        assert outer.scalar(select(func.count()).select_from(Probe)) == 0
        with database.unit_of_work() as work:
            work.session.add(Probe(name="a", count=1, at=NOON))
        with database.joined(outer):
            assert count() == 0
            other = threading.Thread(target=lambda: seen.append(count()))
            other.start()
            other.join()
        assert count() == 1
    assert seen == [1]


def test_the_version_changes_with_every_commit_and_with_nothing_else(database: Database) -> None:
    _tells_commits_apart(database)


def test_postgresql_tells_versions_apart_as_well(postgresql: PostgresqlServer) -> None:
    with postgresql.bare_database() as url:
        database = Database(url)
        TestBase.metadata.create_all(database.engine)
        _tells_commits_apart(database)
        database.dispose()


def _tells_commits_apart(database: Database) -> None:
    other = Database(database.engine.url.render_as_string(hide_password=False))
    before = database.version.current()
    with other.unit_of_work() as work:
        work.session.add(Probe(name="v", count=1, at=NOON))
        work.session.flush()
        during = database.version.current()
    after = database.version.current()
    with other.read() as session:
        session.execute(select(Probe))
    assert after not in {before, during}
    assert database.version.current() == after
    with database.unit_of_work() as work:  # its own commits count as anybody's
        work.session.add(Probe(name="w", count=1, at=NOON))
    last = database.version.current()
    assert last != after
    database.version.close()
    assert database.version.current() != last  # of a new connection: nothing can be said
    other.dispose()
