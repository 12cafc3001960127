"""From a completed study to its manifest in registry and repository, once and only once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from hub_kernel.events import StudyCompleted, StudyRegistered, new_event
from hub_kernel.outbox import OutboxEvent, Subscriber
from hub_kernel.tasks import deliver_all_due
from tests.xds_registry import studies
from tests.xds_registry.hub import DOMAIN, Hub
from tests.xds_registry.samples import HOME, LOCAL, REPOSITORY_UID
from xds_registry import store
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.errors import PatientNotYetLinkedError, StudyNotReadyError
from xds_registry.manifest_metadata import service_start_time
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry
from xds_registry.repository import DocumentRepository
from xds_registry.tables import StudyManifestRow

STUDY = "1.2.3.4"


@pytest.fixture
def registered(hub: Hub) -> list[StudyRegistered]:
    """Every StudyRegistered that was delivered."""
    seen: list[StudyRegistered] = []
    hub.outbox.subscribe(Subscriber("test", StudyRegistered, seen.append))
    return seen


def send(hub: Hub, *numbers: int, study: str = STUDY, **changes: object) -> None:
    for number in numbers:
        hub.archive.store_file(studies.instance(study, 1, number, **changes), studies.ORIGIN)


def complete(hub: Hub) -> None:
    hub.clock.advance(seconds=61)
    assert hub.archive.complete_quiet_studies() == 1
    deliver_all_due(hub.database, hub.outbox)


def everything(hub: Hub) -> list[DocumentEntry]:
    with hub.database.read() as session:
        return store.documents_of(session, [LOCAL.cx])


def current(hub: Hub) -> DocumentEntry:
    found = hub.registry.manifest_of(STUDY)
    assert found is not None
    return found


def listed(hub: Hub, document: DocumentEntry) -> set[str]:
    repository = DocumentRepository(hub.backend, hub.clock, REPOSITORY_UID)
    with hub.database.read() as session:
        (kept,) = repository.find(session, [document.unique_id])
    dataset = dcmread(BytesIO(b"".join(repository.chunks(kept))))
    assert dataset.SOPInstanceUID == document.unique_id
    return {
        sop.ReferencedSOPInstanceUID
        for series in dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    }


def test_a_completed_study_is_registered_with_its_manifest(
    hub: Hub, registered: list[StudyRegistered]
) -> None:
    global_id = hub.know()
    send(hub, 1, 2, 3)
    assert hub.registry.manifest_of(STUDY) is None
    complete(hub)
    document = current(hub)
    assert listed(hub, document) == {f"{STUDY}.1.{n}" for n in (1, 2, 3)}
    assert [(one.study_instance_uid, one.generation, one.global_id) for one in registered] == [
        (STUDY, 1, global_id)
    ]
    assert registered[0].document_unique_id == document.unique_id


def test_its_metadata_are_those_of_rad_68(hub: Hub) -> None:
    global_id = hub.know()
    send(hub, 1)
    complete(hub)
    document = current(hub)
    assert document.patient_id == hub.global_cx(global_id)
    assert document.source_patient_id == LOCAL.cx
    assert document.mime_type == "application/dicom"
    assert document.format_code.key == "1.2.840.10008.5.1.4.1.1.88.59^^1.2.840.10008.2.6.1"
    assert [code.display for code in document.event_codes] == ["Computed Tomography", "Chest"]
    assert {one.cxi for one in document.reference_ids} == {
        f"{STUDY}^^^^urn:ihe:iti:xds:2016:studyInstanceUID",
        f"A-1^^^&{LOCAL.issuer.oid}&ISO^urn:ihe:iti:xds:2013:accession",
    }
    assert document.service_start_time == "20240101190405"  # 03:04:05 at +08:00
    assert document.creation_time == "20261121080101"
    assert document.title == "CT 2024-01-02 胸部平扫"
    assert document.source_patient_info == (
        f"PID-3|{LOCAL.cx}",
        "PID-5|王^小东",
        "PID-7|19600506",
        "PID-8|M",
    )
    assert document.authors[0].institutions == ("t1 卫生院",)
    assert (document.repository_unique_id, document.home_community_id) == (REPOSITORY_UID, HOME)
    assert document.size > 0
    assert len(document.sha1) == 40


def test_late_instances_replace_the_manifest(hub: Hub, registered: list[StudyRegistered]) -> None:
    hub.know()
    send(hub, 1)
    complete(hub)
    first = current(hub)
    send(hub, 2)
    complete(hub)
    second = current(hub)
    assert listed(hub, second) == {f"{STUDY}.1.1", f"{STUDY}.1.2"}
    assert {one.entry_uuid: one.status for one in everything(hub)} == {
        first.entry_uuid: AvailabilityStatus.DEPRECATED,
        second.entry_uuid: AvailabilityStatus.APPROVED,
    }
    with hub.database.read() as session:
        (relation,) = store.related(session, [first.entry_uuid])
    assert (relation.association_type, relation.source, relation.target) == (
        AssociationType.REPLACES,
        second.entry_uuid,
        first.entry_uuid,
    )
    assert [one.generation for one in registered] == [1, 2]
    assert listed(hub, first) == {f"{STUDY}.1.1"}


def test_the_same_event_again_changes_nothing(hub: Hub, registered: list[StudyRegistered]) -> None:
    hub.know()
    send(hub, 1)
    complete(hub)
    subscriber = hub.registry.subscribers()[0]
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=1
    )
    for _ in range(3):
        subscriber.handle(event)
    deliver_all_due(hub.database, hub.outbox)
    assert len(everything(hub)) == 1
    assert len(registered) == 1


def test_the_same_event_at_once_registers_once(hub: Hub) -> None:
    hub.know()
    send(hub, 1)
    subscriber = hub.registry.subscribers()[0]
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=1
    )
    with ThreadPoolExecutor(6) as pool:
        for handled in [pool.submit(subscriber.handle, event) for _ in range(6)]:
            handled.result()
    assert len(everything(hub)) == 1


def test_an_event_that_was_overtaken_changes_nothing(hub: Hub) -> None:
    hub.know()
    send(hub, 1)
    subscriber = hub.registry.subscribers()[0]
    completed = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=2
    )
    subscriber.handle(completed)
    subscriber.handle(replace(completed, generation=1))
    assert [one.status for one in everything(hub)] == [AvailabilityStatus.APPROVED]


def test_a_patient_without_a_global_id_is_tried_again(hub: Hub) -> None:
    send(hub, 1)
    complete(hub)
    assert hub.registry.manifest_of(STUDY) is None
    subscriber = hub.registry.subscribers()[0]
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=1
    )
    with pytest.raises(PatientNotYetLinkedError):
        subscriber.handle(event)
    hub.know()
    hub.clock.advance(seconds=600)
    deliver_all_due(hub.database, hub.outbox)
    assert hub.registry.manifest_of(STUDY) is not None


def test_a_study_the_archive_does_not_know_is_tried_again(hub: Hub) -> None:
    subscriber = hub.registry.subscribers()[0]
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid="9.9", site_id="t1", generation=1
    )
    with pytest.raises(StudyNotReadyError):
        subscriber.handle(event)


def test_the_event_is_written_in_the_transaction_that_registers(hub: Hub) -> None:
    hub.outbox.subscribe(Subscriber("never", StudyRegistered, lambda _event: None))
    hub.know()
    send(hub, 1)
    hub.clock.advance(seconds=61)
    hub.archive.complete_quiet_studies()
    subscriber = hub.registry.subscribers()[0]
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=1
    )
    subscriber.handle(event)
    with hub.database.read() as session:
        kinds = session.scalars(select(OutboxEvent.kind)).all()
        rows = session.scalars(select(StudyManifestRow.generation)).all()
    assert kinds.count("StudyRegistered") == len(rows) == 1


def test_a_manifest_whose_bytes_were_left_by_a_crash_is_stored_once(hub: Hub) -> None:
    repository = DocumentRepository(hub.backend, hub.clock, REPOSITORY_UID)
    first, again = repository.store(b"same"), repository.store(b"same")
    assert first == again
    assert list(hub.backend.keys("documents")) == [first.storage_key]


@pytest.mark.parametrize(
    ("day", "time", "start"),
    [
        (date(2024, 1, 2), "030405.678", "20240101190405"),
        (date(2024, 1, 2), "1230", "20240102043000"),
        (date(2024, 1, 2), "", "20240102"),
        (date(2024, 1, 2), "99", "20240102"),
        (date(2024, 1, 2), "09:30", "20240102"),
        (None, "030405", ""),
    ],
)
def test_the_service_starts_when_the_study_did(
    hub: Hub, day: date | None, time: str, start: str
) -> None:
    send(hub, 1)
    study = hub.index.study(STUDY)
    assert study is not None
    changed = replace(study, study_date=day, study_time=time)
    assert service_start_time(changed, load_affinity_domain(DOMAIN)) == start


def test_hl7_separators_in_a_name_cannot_add_fields(hub: Hub) -> None:
    hub.know()
    send(hub, 1, PatientName="Wang|PID-8~x&y^Xiao", StudyDescription="<script>")
    complete(hub)
    document = current(hub)
    assert document.source_patient_info[1] == "PID-5|Wang PID-8 x y^Xiao"
    assert document.title == "CT 2024-01-02 <script>"


def test_a_kill_at_any_statement_leaves_the_study_registered_or_not(
    hub: Hub, tmp_path: Path
) -> None:
    """Every statement and every commit of the registration is a kill point, by SIGKILL."""
    hub.know()
    send(hub, 1)
    hub.database.dispose()
    script = Path(__file__).with_name("killed_registration.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed, untouched, registered = (int(word) for word in done.stdout.split())
    assert killed >= 10
    assert untouched >= 8
    assert registered >= 1
    with hub.database.read() as session:
        generations = session.scalars(select(StudyManifestRow.generation)).all()
    assert sorted(generations) == list(range(1, killed + 2))
    approved = [one for one in everything(hub) if one.status == AvailabilityStatus.APPROVED]
    assert len(everything(hub)) == len(generations)
    assert len(approved) == 1
