import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub_kernel.database import Database
from hub_kernel.leases import Leases
from hub_kernel.periodic_jobs import PeriodicJob, PeriodicJobs
from tests.support.clock import FixedClock
from tests.support.postgresql import PostgresqlServer

WAIT_S = 30


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, clock: FixedClock) -> Iterator[Database]:
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    with server.database() as url:
        database = Database(url, clock=clock)
        yield database
        database.dispose()


def test_one_holds_a_lease_until_it_is_given_back(shared: Database) -> None:
    one, other = Leases(shared, "one"), Leases(shared, "other")
    assert one.take("jobs", 30)
    assert one.take("jobs", 30)
    assert not other.take("jobs", 30)
    assert other.take("something else", 30)
    other.give_back("jobs")
    assert not other.take("jobs", 30)
    one.give_back("jobs")
    assert other.take("jobs", 30)


def test_a_lease_runs_out_unless_it_is_kept(shared: Database, clock: FixedClock) -> None:
    one, other = Leases(shared, "one"), Leases(shared, "other")
    assert one.take("jobs", 30)
    clock.advance(seconds=20)
    assert one.take("jobs", 30)
    clock.advance(seconds=20)
    assert not other.take("jobs", 30)
    clock.advance(seconds=11)
    assert other.take("jobs", 30)
    assert not one.take("jobs", 30)


def test_what_a_dead_holder_has_is_free_at_once(shared: Database) -> None:
    assert Leases(shared, "dead").take("jobs", 30)
    assert not Leases(shared, "next", is_dead=lambda name: name != "dead").take("jobs", 30)
    assert Leases(shared, "next", is_dead=lambda name: name == "dead").take("jobs", 30)


def test_a_lease_written_by_a_fast_clock_is_free(shared: Database, clock: FixedClock) -> None:
    clock.advance(days=365)
    assert Leases(shared, "one").take("jobs", 30)
    clock.advance(days=-365)
    assert Leases(shared, "other").take("jobs", 30)


@pytest.mark.parametrize("held", [False, True], ids=["free", "run out"])
def test_of_many_that_ask_at_once_one_gets_it(
    shared: Database, clock: FixedClock, *, held: bool
) -> None:
    if held:
        assert Leases(shared, "before").take("jobs", 30)
        clock.advance(seconds=60)
    together = threading.Barrier(8)
    got: list[bool] = []

    def ask(number: int) -> None:
        together.wait()
        got.append(Leases(shared, f"asker {number}").take("jobs", 30))

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert sorted(got) == [False] * 7 + [True]


@contextmanager
def _running(database: Database, holder: str, *jobs: PeriodicJob) -> Iterator[None]:
    running = PeriodicJobs(jobs, Leases(database, holder))
    running.start()
    try:
        yield
    finally:
        running.stop()


def _await(holds: threading.Event) -> None:
    assert holds.wait(WAIT_S)


def test_a_job_runs_in_one_process_of_all_and_moves_on_when_that_stops(
    shared: Database,
) -> None:
    first, second, everywhere = threading.Event(), threading.Event(), threading.Event()
    with _running(shared, "first", PeriodicJob("once", 0.01, first.set)):
        _await(first)
        jobs = (
            PeriodicJob("once", 0.01, second.set),
            PeriodicJob("measure", 0.01, everywhere.set, everywhere=True),
        )
        with _running(shared, "second", *jobs):
            _await(everywhere)
            assert not second.is_set()
    with _running(shared, "second", *jobs):
        _await(second)


def test_a_job_is_not_run_by_who_has_lost_the_lease(shared: Database) -> None:
    """The control of the test above: the lease alone decides."""
    assert Leases(shared, "elsewhere").take("periodic-jobs", 3600)
    calls: list[float] = []
    seen = threading.Event()
    with _running(
        shared,
        "here",
        PeriodicJob("once", 0.01, lambda: calls.append(time.monotonic())),
        PeriodicJob("measure", 0.01, seen.set, everywhere=True),
    ):
        _await(seen)
    assert calls == []
