import threading
from dataclasses import replace

from access_control.audit import AuditQuery, AuditTrail
from hub_kernel.database import Database
from hub_kernel.settings import Settings
from hub_runtime.hl7_node import ExchangeAudit, hl7_node, node_settings
from patient_index.hl7v2.exchange import AskedQuery, ExchangeRecord
from tests.patient_index.hl7v2.conftest import EAST, build_region
from tests.support.clock import FixedClock


def record(number: int, *global_ids: str) -> ExchangeRecord:
    return ExchangeRecord(
        transaction="ITI-21",
        action="query",
        outcome="success",
        sender="HIS|EAST",
        address="127.0.0.1",
        detail=f"QBP-Q22 {number}: persons",
        global_ids=global_ids,
    )


def test_every_person_shown_has_a_record_however_many_ask_at_once(
    database: Database, clock: FixedClock
) -> None:
    trail = AuditTrail(database, clock, b"k" * 32)
    audit = ExchangeAudit(database, trail)

    def ask(asker: int) -> None:
        for number in range(10):
            audit(record(number, f"P{asker}A", f"P{asker}B"))

    askers = [threading.Thread(target=ask, args=(asker,)) for asker in range(6)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    verified = trail.verify()
    assert (verified.ok, verified.count) == (True, 6 * 10 * 2)
    mine = trail.search(AuditQuery(resource_ids=frozenset({"P3A"})))
    assert len(mine.records) == 10


def test_a_record_is_there_when_the_call_returns(database: Database, clock: FixedClock) -> None:
    trail = AuditTrail(database, clock, b"k" * 32)
    ExchangeAudit(database, trail)(record(1))
    (written,) = trail.search(AuditQuery()).records
    assert (written.action, written.subject_id) == ("find_patient", "HIS|EAST")
    assert written.detail == "ITI-21 QBP-Q22 1: persons"


def test_a_query_is_on_record_with_its_parameters_and_without_anybodys_name(
    database: Database, clock: FixedClock
) -> None:
    trail = AuditTrail(database, clock, b"k" * 32)
    audit = ExchangeAudit(database, trail)
    demographics = AskedQuery("@PID.5.1^WANG~@PID.3.1^0427", "~", "^")
    audit(replace(record(1, "P1"), asked=demographics))
    identifier = AskedQuery("0427^^^EAST&1.2.3&ISO", "~", "^")
    audit(replace(record(2, "P1"), transaction="ITI-9", detail="QBP-Q23 2: P", asked=identifier))
    by_number, by_name = trail.search(AuditQuery()).records
    assert by_name.query == "@PID.5.1=*~@PID.3.1=0427"
    assert by_number.query == "0427^^^EAST&1.2.3&ISO"
    assert b"WANG" not in trail.xml(by_name)
    assert b"ParticipantObjectQuery" in trail.xml(by_name)


def test_the_node_listens_where_the_settings_say(database: Database) -> None:
    settings = node_settings(Settings())
    assert (settings.bind, settings.port) == ("127.0.0.1", 2575)
    region = build_region(database, (EAST,))
    free = Settings.model_validate({"hl7": {"port": 0}})
    node = hl7_node(region.parts, node_settings(free))
    assert node.start() > 0
    node.stop(grace_s=1.0)
