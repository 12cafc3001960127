"""What cannot be put on record does not happen: the feeds of a whole hub without an audit trail."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from access_control.audit import AuditQuery
from access_control.model import Role, Site
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.http_server import HttpServer
from hub_runtime.hub import Hub
from tests.patient_index.hl7v2.messages import adt, merge
from tests.patient_index.hl7v2.wire import connected, value

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.901")
SYSTEM = f"urn:oid:{EAST.oid}"
FULL = "CREATE TRIGGER no_room BEFORE INSERT ON audit_record BEGIN SELECT RAISE(ABORT, 'full'); END"
ROOM = "DROP TRIGGER no_room"
PATIENT_TABLES = ("patient_identifier", "observed_demographics", "link_log", "link_decision",
                  "feed_message", "outbox_event")  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    settings = Settings.model_validate(
        {
            "hub": {"data_dir": tmp_path / "data"},
            "hl7": {"port": 0},
            "web": {"port": 0},
            "identity": {
                "domains": [{"namespace": "EAST", "oid": EAST.oid, "senders": ["HIS|EAST"]}]
            },
        }
    )
    built = build_hub(settings)
    built.open()
    built.access.sites.add(
        Site("east", "东", "East", "东", "township", ("AEEAST",), ("127.0.0.1/32",), EAST)
    )
    yield built
    built.close()


Send = Callable[[str, str], bool]
"""Register a number under a control ID, or merge it ("survivor<subsumed"); was it accepted?"""


@pytest.fixture
def by_hl7(hub: Hub) -> Iterator[Send]:
    node = hub.hl7_node()
    with connected(node.start()) as sender:

        def send(what: str, control_id: str) -> bool:
            survivor, _, subsumed = what.partition("<")
            if subsumed:
                message = merge(f"{survivor}^^^EAST", f"{subsumed}^^^EAST", control_id)
            else:
                message = adt(f"{survivor}^^^EAST||王^小东||19850312|M", control_id=control_id)
            return value(sender.ask(message), "MSA.1") == "AA"

        yield send
    node.stop(grace_s=2.0)


@pytest.fixture
def by_fhir(hub: Hub) -> Iterator[Send]:
    expires = hub.base.clock.now() + timedelta(days=1)
    roles, sites = frozenset({Role.TECHNICIAN}), frozenset({"east"})
    token = hub.access.tokens.create("his", roles, sites, expires)
    server = HttpServer(hub.wsgi(), hub.settings.web)
    base = server.start()

    def send(what: str, _control_id: str) -> bool:
        survivor, _, subsumed = what.partition("<")
        own = subsumed or survivor
        patient = {
            "resourceType": "Patient",
            "identifier": [{"system": SYSTEM, "value": own}],
            "name": [{"family": "王", "given": ["小东"]}],
            "birthDate": "1985-03-12",
        }
        if subsumed:
            other = {"identifier": {"system": SYSTEM, "value": survivor}}
            patient |= {"active": False, "link": [{"type": "replaced-by", "other": other}]}
        response = requests.put(
            f"{base}/fhir/Patient",
            params={"identifier": f"{SYSTEM}|{own}"},
            json=patient,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"},
            timeout=20,
        )
        return response.ok

    yield send
    server.stop()


def rows(hub: Hub) -> dict[str, int]:
    with hub.database.read() as session:
        return {
            table: session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
            for table in PATIENT_TABLES
        }


def run(hub: Hub, statement: str) -> None:
    with hub.database.unit_of_work() as work:
        work.session.execute(text(statement))


def recorded(hub: Hub) -> int:
    assert hub.access.audit.verify().ok
    return len(
        hub.access.audit.search(AuditQuery(action="feed_patient", outcome="success")).records
    )


@pytest.mark.parametrize("door", ["by_hl7", "by_fhir"])
def test_a_feed_that_cannot_be_put_on_record_does_not_happen(
    hub: Hub, door: str, request: pytest.FixtureRequest
) -> None:
    send: Send = request.getfixturevalue(door)
    assert send("1", "c1")
    assert send("2", "c2")
    before, on_record = rows(hub), recorded(hub)
    assert on_record == 2
    run(hub, FULL)
    for what, control_id in (("3", "c3"), ("1<2", "c4"), ("1", "c5")):
        assert not send(what, control_id)
        assert rows(hub) == before
    run(hub, ROOM)
    assert recorded(hub) == on_record
    # The control: with room for the record the same messages are carried out, each on record.
    for what, control_id in (("3", "c3"), ("1<2", "c4"), ("1", "c5")):
        assert send(what, control_id)
    assert recorded(hub) == on_record + 3
    one, two = (hub.patients.resolve(PatientIdentifier(number, EAST)) for number in "12")
    assert one == two is not None


@pytest.mark.parametrize("door", ["by_hl7", "by_fhir"])
def test_a_merge_that_makes_no_sense_is_no_success_on_record(
    hub: Hub, door: str, request: pytest.FixtureRequest
) -> None:
    send: Send = request.getfixturevalue(door)
    assert send("1", "c1")
    assert not send("1<1", "c2")
    assert recorded(hub) == 1
