"""What only a database with many writers shows: deadlocks, transactions that must start anew."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError
from patient_index.service import PatientIndex
from patient_index.tables import KnownIdentifier
from patient_index.transactions import Work, hold
from tests.patient_index.conftest import EAST, ON_POSTGRESQL, patient

pytestmark = ON_POSTGRESQL


def _crossing(index: PatientIndex, attempts: list[int]) -> Callable[[tuple[int, int]], int]:
    """A change that takes two names in the order given, both first halves before any second."""
    together = Barrier(2, timeout=120)

    def run(names: tuple[int, int]) -> int:
        def change(work: Work) -> int:
            attempts.append(names[0])
            hold(work.session, names[:1])
            if not work.again:
                together.wait()
            hold(work.session, names[1:])
            return names[0]

        return index.write(change)

    return run


def test_of_two_changes_that_wait_for_each_other_one_starts_again(index: PatientIndex) -> None:
    attempts: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(_crossing(index, attempts), [(1, 2), (2, 1)]))
    assert done == [1, 2]
    assert len(attempts) == 3, "exactly one was chosen to give way, once"


def test_the_deadlock_is_real(database: Database) -> None:
    """The control: without the retry one of the two fails."""
    together = Barrier(2, timeout=120)

    def cross(names: tuple[int, int]) -> str:
        with database.unit_of_work() as unit:
            hold(unit.session, names[:1])
            together.wait()
            try:
                hold(unit.session, names[1:])
            except DBAPIError as error:
                unit.session.rollback()
                return str(getattr(error.orig, "sqlstate", ""))
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(cross, [(1, 2), (2, 1)])) == ["40P01", "done"]


def test_names_taken_together_are_taken_in_one_order(database: Database) -> None:
    """Whoever needs the same names never waits for each other, in whatever order they ask."""

    def take(number: int) -> None:
        with database.unit_of_work() as unit:
            hold(unit.session, [7, 8, 9] if number % 2 else [9, 8, 7])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(take, range(80))) == [None] * 80


def test_what_another_attempt_would_not_cure_is_not_tried_again(index: PatientIndex) -> None:
    attempts = []

    def change(work: Work) -> None:
        attempts.append(work.again)
        work.session.execute(text("SELECT no_such_column"))

    with pytest.raises(ProgrammingError):
        index.write(change)
    assert attempts == [False]


def test_a_change_that_fails_leaves_nothing(index: PatientIndex, database: Database) -> None:
    index.observe(patient(EAST, "before"))

    def change(work: Work) -> None:
        work.session.add(
            KnownIdentifier(
                value="half", issuer_oid=EAST.oid, issuer_namespace="EAST", registered_at=work.now
            )
        )
        work.session.flush()
        raise InvalidValueError("second thoughts")

    with pytest.raises(InvalidValueError):
        index.write(change)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(KnownIdentifier)) == 1
