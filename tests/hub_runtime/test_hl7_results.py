"""ORU^R01 at the HL7 door of a whole hub: matched, parked, signed, enclosed PDF, refused."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from access_control.audit import AuditQuery
from access_control.model import Site
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import PDF, report
from tests.eir_versions.hubs import STUDY, slice_of
from tests.patient_index.hl7v2.wire import Sender, connected, value

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.911")
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
ACCESSION = "VR-ORU-1"


@dataclass
class Town:
    """A hub with one study of patient P1, and a RIS that speaks for its site."""

    hub: Hub
    sender: Sender

    def tell(
        self, *segments: str, control_id: str, kind: str = "ORU^R01", sent: str = "20260301120000"
    ) -> str:
        msh = (
            f"MSH|^~\\&|RIS|EAST|EIRHUB|REGION|{sent}||{kind}|{control_id}|P|2.5||||||UNICODE UTF-8"
        )
        answer = self.sender.ask("\r".join((msh, *segments, "")))
        deliver_all_due(self.hub.database, self.hub.base.outbox)
        return value(answer, "MSA.1")

    def said(self, recipe: str) -> list[str]:
        version = self.hub.eir.version(STUDY, recipe)
        assert version is not None
        found = [self.hub.eir.reports.find(report_id) for report_id, _ in version.reports]
        return [line.text for one in found if one for line in one.lines]

    def complete(self) -> None:
        with self.hub.database.unit_of_work() as work:
            work.publish(
                new_event(
                    StudyCompleted,
                    work.clock,
                    study_instance_uid=STUDY,
                    site_id="east",
                    generation=1,
                )
            )
        deliver_all_due(self.hub.database, self.hub.base.outbox)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    domains = [{"namespace": EAST.namespace, "oid": EAST.oid, "senders": ["RIS|EAST"]}]
    data: Path = tmp_path_factory.mktemp("results") / "data"
    settings = Settings.model_validate(
        {"hub": {"data_dir": data}, "hl7": {"port": 0}, "identity": {"domains": domains}}
    )
    hub = build_hub(settings)
    hub.open()
    site = Site("east", "东", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
    hub.access.sites.add(site)
    node = hub.hl7_node()
    with connected(node.start()) as sender:
        made = Town(hub, sender)
        hub.archive.store_file(part10(slice_of(0, AccessionNumber=ACCESSION)), ORIGIN)
        made.complete()
        yield made
    node.stop(grace_s=2.0)
    hub.close()


def obr(status: str, number: int = 1, accession: str = ACCESSION) -> str:
    fields = [""] * 33
    fields[1], fields[3], fields[4], fields[18] = "1", f"O{number}", "CT^胸部CT^L", accession
    fields[22], fields[25], fields[32] = f"202603011{number:02d}00", status, "9&李&医师"
    return "OBR|" + "|".join(fields[1:])


def obx(text: str, status: str = "F", kind: str = "TX") -> str:
    return f"OBX|1|{kind}|59776-5^影像所见^LN||{text}||||||{status}"


PID = "PID|1||P1^^^EAST||王^小东"


def test_a_draft_then_its_signature(town: Town) -> None:
    assert town.tell(PID, obr("P"), obx("草稿", "P"), control_id="1") == "AA"
    assert town.said("public") == []
    assert town.said("clinical") == ["草稿"]
    assert town.tell(PID, obr("F"), obx("双肺\\.br\\清晰"), control_id="2") == "AA"
    assert town.said("public") == ["双肺\n清晰"]
    assert set(town.said("clinical")) == {"草稿", "双肺\n清晰"}


def test_a_final_order_with_a_preliminary_part_is_not_signed(town: Town) -> None:
    parts = obx("done"), obx("not yet", "P")
    assert town.tell(PID, obr("F", 2), *parts, control_id="3") == "AA"
    assert not {"done", "not yet"} & set(town.said("public"))


@pytest.mark.parametrize(
    ("number", "reported", "sent", "hour"),
    [
        (21, "20260301090000", "20260301120000", 1),  # the region's: eight hours before UTC
        (22, "20260301090000", "20260301120000+0900", 0),
        (23, "20260301090000-0200", "20260301120000+0900", 11),
        (24, "", "20260301120000+0900", 3),
    ],
)
def test_a_time_is_in_its_own_zone_else_the_messages_else_the_regions(
    town: Town, number: int, reported: str, sent: str, hour: int
) -> None:
    order = obr("F", number).split("|")
    order[22] = reported
    text = f"zone {number}"
    assert town.tell(PID, "|".join(order), obx(text), control_id=f"z{number}", sent=sent) == "AA"
    found = town.hub.eir.reports.standing(STUDY, [])
    (issued,) = [one.report.issued_at for one in found if one.report.lines[0].text == text]
    assert issued == datetime(2026, 3, 1, hour, tzinfo=UTC)


def test_so_is_a_time_of_death(town: Town) -> None:
    pid = f"PID|1||P9^^^EAST||亡^九||19400101|M{'|' * 21}20260301090000|Y"
    assert town.tell(pid, "PV1||O", control_id="died", kind="ADT^A04") == "AA"
    person = town.hub.identity.lookup.person_of(PatientIdentifier("P9", EAST))
    assert person is not None
    assert person.demographics.deceased_at == datetime(2026, 3, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("number", "offset", "hour"), [(31, "", 2), (32, "+0100", 9)])
def test_so_is_a_documents_time(town: Town, number: int, offset: str, hour: int) -> None:
    said = report(number, f"zone {number}")
    if offset:
        said.TimezoneOffsetFromUTC = offset
    town.hub.archive.store_file(part10(said), ORIGIN)
    town.complete()
    found = town.hub.eir.reports.standing(STUDY, town.hub.index.instances_of(STUDY))
    (issued,) = [
        one.report.issued_at
        for one in found
        if f"zone {number}" in [line.text for line in one.report.lines]
    ]
    assert issued == datetime(2026, 3, 1, hour, number, tzinfo=UTC)


def test_an_enclosed_pdf_is_kept(town: Town) -> None:
    enclosed = base64.b64encode(PDF).decode()
    segment = obx(f"RIS^application^pdf^Base64^{enclosed}", kind="ED")
    assert town.tell(PID, obr("F", 3), segment, control_id="4") == "AA"
    standing = town.hub.eir.reports.standing(STUDY, [])
    (stored,) = [one.report.pdf for one in standing if one.report.pdf]
    assert town.hub.eir.reports.pdf(stored) == PDF


def test_a_result_without_a_study_waits_on_record_until_it_comes(town: Town) -> None:
    segments = PID, obr("F", 4, "VR-ORU-LATER"), obx("先到的报告")
    assert town.tell(*segments, control_id="5") == "AA"
    (waiting,) = town.hub.eir.reports.waiting()
    assert waiting.report.waiting == "no_study"
    found = town.hub.access.audit.search(AuditQuery(limit=5)).records
    assert any("waiting: no_study" in one.detail for one in found)
    later = slice_of(0, AccessionNumber="VR-ORU-LATER")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(later, keyword, f"{getattr(later, keyword)}.77")
    town.hub.archive.store_file(part10(later), ORIGIN)
    with town.hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                StudyCompleted,
                work.clock,
                study_instance_uid=f"{STUDY}.77",
                site_id="east",
                generation=1,
            )
        )
    deliver_all_due(town.hub.database, town.hub.base.outbox)
    assert town.hub.eir.reports.waiting() == []
    version = town.hub.eir.version(f"{STUDY}.77", "public")
    assert version is not None
    assert [how for _, how in version.reports] == ["current"]


@pytest.mark.parametrize(
    "segments",
    [
        (obr("F"), obx("no patient")),
        (PID, obx("no order")),
        (PID, obr("?"), obx("no such status")),
        (PID, obr("F", 5), obx("RIS^application^pdf^Base64^QUJD", kind="ED")),
        (PID, obr("F", 6), obr("F", 7), obx("two orders")),
    ],
    ids=["no-patient", "no-order", "status", "no-pdf", "two-orders"],
)
def test_what_is_no_report_is_refused_and_kept(town: Town, segments: tuple[str, ...]) -> None:
    before = len(town.hub.eir.reports.standing(STUDY, []))
    assert town.tell(*segments, control_id="6") in {"AE", "AR"}
    assert len(town.hub.eir.reports.standing(STUDY, [])) == before
