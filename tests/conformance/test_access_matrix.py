"""Every machine route × every kind of credential: who is answered, and what never appears.

Routes are taken from the endpoints themselves, so a new transaction is tested on the day it
appears. A credential that does not hold is answered 401 on every route; one that holds elsewhere is
answered, and nothing of the person is in the answer.
"""

from collections.abc import Iterator
from enum import Enum

import pytest
from lxml import etree

from access_control.atna import AuditSource, audit_message
from access_control.atna_cursor import AuditCursor
from hub_kernel.settings import HubSettings, Settings
from hub_runtime.bootstrap import build_hub
from tests.conformance.machine_doors import DOCUMENTS, Aimed, Doors, open_doors, soap_endpoints
from tests.support.tools import require_conformance


class Sight(Enum):
    """What a credential is good for."""

    CUT_OFF = 0  # TLS ends it
    REFUSED = 401
    BLIND = 200  # answered, and nothing of the person shows
    SEES = 201  # answered, and the person's documents show


NO, BLIND, SEES = Sight.REFUSED, Sight.BLIND, Sight.SEES
# credential → (at SOAP doors, at FHIR doors, which take no assertions and see none)
EXPECTED: dict[str, tuple[Sight, Sight]] = {
    "none": (NO, NO),
    "bad token": (NO, NO),
    "no token at all": (NO, NO),
    "expired token": (NO, NO),
    "revoked token": (NO, NO),
    "token of the site": (SEES, SEES),
    "token of the region": (SEES, SEES),
    "token of another site": (BLIND, BLIND),
    "certificate of the site": (SEES, SEES),
    "certificate of another site": (BLIND, BLIND),
    "certificate bound to nobody": (NO, NO),
    "certificate revoked": (NO, NO),
    "certificate of a stranger": (Sight.CUT_OFF, Sight.CUT_OFF),
    "good token, certificate revoked": (NO, NO),
    "assertion for the site": (SEES, NO),
    "assertion shown again": (NO, NO),
    "assertion for another site": (BLIND, NO),
    "assertion for another purpose": (BLIND, NO),
    "assertion to break the glass": (BLIND, NO),
    "assertion expired": (NO, NO),
    "assertion for another hub": (NO, NO),
    "assertion altered": (NO, NO),
    "assertion unsigned": (NO, NO),
    "good token, assertion altered": (NO, SEES),
}
# Where an answer to somebody entitled must show the person: the control of every other line.
SHOWING = {
    "/xds/registry": 5,
    "/xds/repository": 2,
    "/xds/imaging": 1,
    "/xds/gateway": 4,
    "/xds/subscriptions": 0,  # its answers tell nobody anything; what is sent later is decided then
    "/fhir": 6,
    DOCUMENTS: 9,
}
# Doors for machines of one site, which show no person to anybody else: a walk of their own.
# tests/edge_gateway/test_door_access.py, tests/hub_runtime/test_orthanc_service.py
WALKED_ELSEWHERE = {"/edge", "/orthanc"}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with open_doors(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


def test_every_machine_door_of_the_hub_is_in_the_matrix(
    doors: Doors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(hub=HubSettings(data_dir=tmp_path_factory.mktemp("hub")))
    hub = build_hub(settings)
    try:
        mounted = set(hub.wsgi().mounts)
    finally:
        hub.close()
    assert mounted <= set(SHOWING) | WALKED_ELSEWHERE, (
        "say here what a new door shows, and aim requests at it"
    )
    assert set(soap_endpoints(doors.registry)) | {"/fhir", DOCUMENTS} == set(SHOWING)
    assert doors.unaimed() == []
    aimed = list(doors.aimed())
    for path, endpoint in soap_endpoints(doors.registry).items():
        assert sum(one.path == path for one in aimed) >= len(endpoint._transactions)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_credential_opens_what_it_is_good_for_and_nothing_else(doors: Doors, name: str) -> None:
    shown = walked(doors, name)
    soap, fhir = EXPECTED[name]
    for door, least in SHOWING.items():
        expected = fhir if door in {"/fhir", DOCUMENTS} else soap
        seen = sum(1 for one in shown if one.path.startswith(door))
        assert (seen >= least) if expected is Sight.SEES else (seen == 0), (door, seen)


def walked(doors: Doors, name: str) -> list[Aimed]:
    """Send everything with one credential; return the requests whose answer shows the person."""
    credential, shown = doors.credentials[name], []
    for aimed in doors.aimed():
        expected = EXPECTED[name][0 if aimed.is_soap else 1]
        answered = doors.send(aimed, credential)
        if expected in {Sight.CUT_OFF, Sight.REFUSED}:
            assert answered.status == expected.value, (aimed.route, answered)
        else:
            assert answered.status not in {0, 401} and answered.status < 500, (aimed, answered)
        if doors.shown(aimed, answered):
            shown.append(aimed)
    return shown


def test_every_credential_is_expected_to_do_something(doors: Doors) -> None:
    assert set(doors.credentials) == set(EXPECTED)


def test_no_secret_is_in_the_trail_and_every_refusal_is(doors: Doors) -> None:
    first = next(doors.aimed())
    before = doors.audit.head().sequence
    for name in ("bad token", "revoked token", "assertion altered", "none"):
        doors.send(first, doors.credentials[name])
    assert doors.audit.head().sequence == before + 4
    with doors.database.read() as session:
        rows = session.connection().exec_driver_sql("SELECT * FROM audit_record").fetchall()
    told = repr(rows)
    for credential in doors.credentials.values():
        assert not credential.token or credential.token not in told
    for secret in ("SignatureValue", "BEGIN ", "XiaoDong", "\\u5c0f"):
        assert secret not in told
    assert doors.audit.verify().ok


def test_every_record_of_all_these_requests_is_a_valid_audit_message(doors: Doors) -> None:
    for name in ("token of the site", "token of another site", "assertion for the site", "none"):
        walked(doors, name)
    schema = etree.XMLSchema(etree.parse(require_conformance("atna", "dicom2017c.xsd")))
    cursor = AuditCursor(doors.database, doors.clock, "the test")
    said: set[str] = set()
    after = 0
    while records := cursor.records_after(after, 500):
        after = records[-1].sequence
        for one in records:
            assert one.record is not None
            message = etree.fromstring(audit_message(one.record, AuditSource()))
            schema.assertValid(message)
            said |= {str(code.get("csd-code")) for code in message.iter("EventTypeCode")}
    assert said >= {"ITI-18", "ITI-43", "ITI-67", "ITI-78", "ITI-83", "ITI-119"}


@pytest.mark.parametrize("name", [name for name, (soap, _) in EXPECTED.items() if soap is SEES])
def test_of_who_refuses_nothing_appears_for_anybody(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    with open_doors(tmp_path_factory.mktemp("refused")) as doors:
        assert walked(doors, name)  # the control
        doors.refuse()
        assert walked(doors, name) == []
