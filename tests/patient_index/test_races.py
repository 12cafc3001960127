"""Many at once: whatever arrives together ends as one person, not as a hundred."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import func, select

from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index.model import Decided
from patient_index.service import PatientIndex
from patient_index.tables import KnownIdentifier, LinkLog, ObservedDemographics
from tests.patient_index.conftest import EAST, NUMBER, WEST, patient

_THREADS = 50


def _at_once(count: int, act: Callable[[int], str]) -> list[str]:
    """Run `act` for every number, from threads that start together."""
    together = Barrier(_THREADS, timeout=30)

    def run(number: int) -> str:
        if number < _THREADS:
            together.wait()
        return act(number)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(run, range(count)))


def test_a_hundred_registrations_of_one_identifier_are_one_person(
    index: PatientIndex, database: Database
) -> None:
    assert len(set(_at_once(100, lambda _: index.observe(patient(EAST))))) == 1
    with database.read() as session:
        for table in (KnownIdentifier, LinkLog, ObservedDemographics):
            assert session.scalar(select(func.count()).select_from(table)) == 1


def test_a_hundred_registrations_of_one_person_at_ten_sites_are_one_person(
    index: PatientIndex,
) -> None:
    sites = [AssigningAuthority(f"S{number}", f"1.2.3.{number}") for number in range(10)]
    _at_once(
        100,
        lambda number: index.observe(patient(sites[number % 10], f"{number}", numbers=(NUMBER,))),
    )
    resolved = {
        index.resolve(PatientIdentifier(f"{number}", sites[number % 10])) for number in range(100)
    }
    assert len(resolved) == 1
    assert len(index.identifiers_of(resolved.pop() or "")) == 100
    assert index.open_reviews() == []


def test_links_and_unlinks_at_once_leave_an_unbroken_log(
    index: PatientIndex, database: Database
) -> None:
    target = index.observe(patient(EAST))
    moved = PatientIdentifier("12345", WEST)
    index.observe(patient(WEST))

    def act(number: int) -> str:
        if number % 2:
            return index.unlink(moved, Decided(by="clerk", reason=""))
        index.link(moved, target, Decided(by="clerk", reason=""))
        return target

    _at_once(60, act)
    with database.read() as session:
        rows = session.execute(
            select(LinkLog.position, LinkLog.action)
            .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
            .where(KnownIdentifier.issuer_oid == WEST.oid)
            .order_by(LinkLog.position)
        ).all()
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    actions = [row.action for row in rows[1:]]
    assert all(one != other for one, other in zip(actions, actions[1:], strict=False))
