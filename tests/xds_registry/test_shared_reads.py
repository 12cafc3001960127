"""Readers at the same time share a flush, and still each has its own record before its answer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

from access_control.audit import AuditQuery, AuditTrail
from access_control.errors import InvalidAuditEventError
from access_control.model import ANONYMOUS
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from tests.support.tables import create_tables
from xds_registry.transacting import (
    Answer,
    Asked,
    AuditFact,
    Call,
    EndpointName,
    Transaction,
    Transactor,
    TransactorParts,
)

READERS = 24
NAME = EndpointName("/here", "here.wsdl", "query_registry", "patient")


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    create_tables(database)
    return AuditTrail(database, SystemClock(), b"k" * 32)


def reading(kind: str = "") -> Transaction:
    """Return a transaction that audits the person its request names."""

    def run(call: Call) -> Answer:
        fact = AuditFact("success", str(call.body.text), resource_kind=kind)
        return Answer(etree.Element("answer"), (fact,))

    return Transaction("asked", "urn:asked", "urn:answered", run)


def ask(transactor: Transactor, person: str, kind: str = "") -> None:
    body = etree.Element("asked")
    body.text = person
    transactor.carry_out(reading(kind), Asked(body, ANONYMOUS, "127.0.0.1"))


def test_each_of_many_readers_is_on_record_when_it_is_answered(trail: AuditTrail) -> None:
    transactor = Transactor(NAME, TransactorParts(trail._database, trail))  # noqa: SLF001

    def answered(number: int) -> bool:
        ask(transactor, f"P{number}")
        found = trail.search(AuditQuery(limit=READERS))
        return any(one.resource_id == f"P{number}" for one in found.records)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(answered, range(READERS)))
    checked = trail.verify()
    assert (checked.ok, checked.count) == (True, READERS)


def test_a_reader_that_cannot_be_recorded_gets_no_answer_and_spoils_nobody_elses(
    trail: AuditTrail,
) -> None:
    transactor = Transactor(NAME, TransactorParts(trail._database, trail))  # noqa: SLF001

    def answered(number: int) -> bool:
        try:
            ask(transactor, f"P{number}", "" if number % 3 else "NOT A WORD")
        except InvalidAuditEventError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(answered, range(READERS)))
    assert outcomes == [bool(number % 3) for number in range(READERS)]
    checked = trail.verify()
    assert (checked.ok, checked.count) == (True, sum(outcomes))
