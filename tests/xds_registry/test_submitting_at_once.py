"""Submissions in the same moment where several can write at once: PostgreSQL alone."""

import threading
from collections.abc import Callable, Iterator

import pytest

from hub_kernel.database import Database
from tests.support.postgresql import PostgresqlServer
from tests.xds_registry.samples import LOCAL, entry, relation, submission
from xds_registry import store
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.model import AssociationType, AvailabilityStatus, Submission


@pytest.fixture
def database(postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.database() as url:
        opened = Database(url)
        yield opened
        opened.dispose()


def put(database: Database, what: Submission) -> None:
    with database.unit_of_work() as work:
        store.register(work.session, what)


def at_once(database: Database, number: int, made: Callable[[int], Submission]) -> list[str]:
    """Register `number` submissions in one moment; returns what became of each."""
    outcomes: list[str] = []
    barrier = threading.Barrier(number)

    def register(turn: int) -> None:
        barrier.wait()
        try:
            put(database, made(turn))
            outcomes.append("registered")
        except XdsRefusalError as refusal:
            outcomes.append(refusal.code)

    threads = [threading.Thread(target=register, args=(turn,)) for turn in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


def test_one_unique_id_with_other_contents_is_registered_once(database: Database) -> None:
    def made(turn: int) -> Submission:
        return submission(
            entry(f"d{turn}", unique_id="1.2.3", sha1=f"{turn + 1:040x}", size=turn + 1)
        )

    outcomes = at_once(database, 20, made)
    assert outcomes.count("registered") == 1
    assert set(outcomes) <= {"registered", ErrorCode.NON_IDENTICAL_HASH, ErrorCode.REGISTRY_BUSY}
    with database.read() as session:
        assert len(store.documents_by_unique_id(session, ["1.2.3"])) == 1


def test_of_two_who_replace_one_document_the_second_is_refused(database: Database) -> None:
    for turn in range(5):
        old = entry(f"old{turn}")
        new = [entry(f"new{turn}-{number}") for number in range(2)]
        put(database, submission(old))
        sent = [
            submission(one, relations=(relation(AssociationType.REPLACES, one, old),))
            for one in new
        ]
        assert at_once(database, 2, sent.__getitem__) == [
            ErrorCode.DEPRECATED_DOCUMENT,
            "registered",
        ]
    with database.read() as session:
        found = store.documents_of(session, [LOCAL.cx], [AvailabilityStatus.APPROVED])
    assert len(found) == 5
