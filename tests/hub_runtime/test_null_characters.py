"""U+0000, which PostgreSQL keeps in no text, at the doors of a hub on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from sqlalchemy import select
from sqlalchemy.exc import DataError
from werkzeug.test import Client

from access_control.model import Role
from access_control.tables import SiteRow
from hub_kernel.settings import (
    DatabaseSettings,
    Hl7Settings,
    HubSettings,
    IdentitySettings,
    Settings,
    StudySettings,
)
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from tests.patient_index.hl7v2.messages import adt, pix
from tests.patient_index.hl7v2.wire import connected, value
from tests.support.postgresql import PostgresqlServer
from tests.viewer_api.region import Shown, sample, settle, site, store

EAST = {"namespace": "EAST", "oid": "1.2.826.0.1.3680043.10.1717.901", "senders": ["HIS|EAST"]}
SAID = """
    PatientName PatientSex OtherPatientIDs StudyID StudyDescription ReferringPhysicianName
    AccessionNumber SeriesDescription BodyPartExamined InstitutionName StationName StudyTime
    TimezoneOffsetFromUTC ProtocolName PatientComments
"""


@pytest.fixture(scope="module")
def hub(postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with postgresql.database() as url:
        settings = Settings(
            hub=HubSettings(data_dir=tmp_path_factory.mktemp("hub")),
            database=DatabaseSettings(url=url),
            study=StudySettings(quiet_period_s=0.001),
            hl7=Hl7Settings(port=0),
            identity=IdentitySettings(domains=(EAST,)),
        )
        hub = build_hub(settings)
        try:
            hub.access.sites.add(site("sijing", 1))
            yield hub
        finally:
            hub.close()


def test_the_database_takes_none(hub: Hub) -> None:
    """The control: what the doors let through would fail."""
    with pytest.raises(DataError), hub.database.read() as session:
        session.scalars(select(SiteRow.name).where(SiteRow.site_id == "a\0b")).all()


@pytest.fixture(scope="module")
def shown(hub: Hub) -> Shown:
    """An instance that has it in every text, archived and worked through."""
    dataset = sample("CT_small.dcm", PatientID="NUL1", SpecificCharacterSet="ISO_IR 192")
    for keyword in SAID.split():
        tag = Tag(tag_for_keyword(keyword) or 0)
        dataset[tag] = RawDataElement(
            tag, dictionary_VR(tag), 6, b"A\0B\0\0C", 0, is_implicit_VR=False, is_little_endian=True
        )
    shown = store(hub, "sijing", dataset)
    settle(hub, studies=1)
    return shown


def test_an_instance_is_archived_and_shown_without_it(hub: Hub, shown: Shown) -> None:
    study = hub.index.study(shown.study)
    assert study is not None
    assert study.study_description == "ABC"
    assert hub.eir.version(shown.study, "clinical")
    with hub.database.read() as session:
        assert hub.base.outbox.status(session).parked == 0


@pytest.mark.parametrize("place", ["7{}^^^EAST", "7^^^EAST||王{}^小东||1985{}0312|M|||上海{}^路"])
def test_a_message_of_a_patient_gets_an_answer(hub: Hub, place: str) -> None:
    node = hub.hl7_node()
    port = node.start()
    try:
        with connected(port) as sender:
            # Taken on or refused by a rule: no failure of the hub's own.
            answer = sender.ask(adt(place.replace("{}", "\0")))
            assert value(answer, "MSA.1") in {"AA", "AE"}
            assert "internal" not in str(answer)
            answer = sender.ask(pix("7\0^^^EAST"))
            assert value(answer, "MSA.1") in {"AA", "AE"}
    finally:
        node.stop(grace_s=2.0)


@pytest.fixture(scope="module")
def ask(hub: Hub, shown: Shown) -> Callable[..., int]:
    """Ask as a machine with every right, of the person who is there; gives the status."""
    until = hub.base.clock.now() + timedelta(days=1)
    token = hub.access.tokens.create("machine", list(Role), None, until)
    client, proof = Client(hub.wsgi()), {"Authorization": f"Bearer {token}"}
    study = hub.index.study(shown.study)
    assert study is not None
    person = str(hub.patients.resolve(study.patient))

    def answered(method: str, address: str, body: dict[str, str] | None = None) -> int:
        path = address.replace("{study}", shown.study).replace("{person}", person)
        return client.open(path, method=method, json=body, headers=proof).status_code

    return answered


@pytest.mark.parametrize(
    "address",
    [
        "/patients?q=a",
        "/api/v1/patients?q=a",
        "/dicom-web/studies?PatientName=a",
        "/studies/{study}/clinical?state=a",
        "/studies/{study}/clinical?prior=a",
    ],
)
def test_a_question_that_holds_it_is_refused(ask: Callable[..., int], address: str) -> None:
    assert ask("GET", f"{address}%00") == 400
    assert ask("GET", address) in {200, 404}, "the control: it is for that character alone"


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/api/v1/identity/people/{person}/merge", {"other": "P1\0", "reason": "same"}),
        ("/api/v1/identity/people/{person}/merge", {"other": "P1", "reason": "same\0"}),
        ("/api/v1/patients/{person}/consents", {"kind": "refuse", "scope": "a\0", "reason": "b"}),
        ("/api/v1/studies/{study}/links", {"passcode": "482913\0"}),
    ],
)
def test_an_order_that_holds_it_is_refused(
    ask: Callable[..., int], address: str, body: dict[str, str]
) -> None:
    assert ask("POST", address, body) == 400
