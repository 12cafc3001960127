"""The drift check: silent on a sound hub, and each kind of drift named once, with what to do."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, select, update

from hub_kernel.outbox import PARKED, OutboxDelivery
from hub_kernel.tasks import deliver_all_due
from image_archive.tables import INSTANCE, STUDY
from tests.xds_registry import studies
from tests.xds_registry.hub import Hub
from tests.xds_registry.samples import REPOSITORY_UID, entry, relation, submission, urn
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry, DocumentType
from xds_registry.repository import DocumentRepository
from xds_registry.tables import (
    DocumentEntryRow,
    RepositoryDocumentRow,
    StudyManifestRow,
    XdsAssociationRow,
)
from xds_registry.verification import LedgerPicture, RegistryVerification, VerifiedParts
from xds_registry.verification_findings import Drift, DriftKind, RegistryReport
from xds_registry.verification_repair import register_again

STUDY_UID, OTHER_UID = "1.2.3.4", "1.2.3.5"
PDF = {"mime_type": "application/pdf"}
PICTURE_KEY = "renditions/aa/picture"


def send(hub: Hub, *numbers: int, study: str = STUDY_UID) -> None:
    for number in numbers:
        hub.archive.store_file(studies.instance(study, 1, number), studies.ORIGIN)


def complete(hub: Hub, *, deliver: bool = True) -> None:
    hub.clock.advance(seconds=61)
    assert hub.archive.complete_quiet_studies() > 0
    if deliver:
        deliver_all_due(hub.database, hub.outbox)


def manifest(hub: Hub, study: str = STUDY_UID) -> DocumentEntry:
    found = hub.registry.manifest_of(study)
    assert found is not None
    return found


def storage_key(hub: Hub, document: DocumentEntry) -> str:
    with hub.database.read() as session:
        return session.get_one(RepositoryDocumentRow, document.unique_id).storage_key


def execute(hub: Hub, *statements: object) -> None:
    with hub.database.unit_of_work() as work:
        for statement in statements:
            work.session.execute(statement)  # type: ignore[call-overload]


def overwrite(hub: Hub, key: str, data: bytes) -> None:
    pending = hub.backend.create()
    pending.write(data)
    pending.publish(key)


@pytest.fixture
def report_of(hub: Hub) -> Callable[[], RegistryReport]:
    """Verify a hub and its ledger of one picture."""
    picture = LedgerPicture("p-1", PICTURE_KEY, hashlib.sha256(b"a picture").hexdigest())
    overwrite(hub, PICTURE_KEY, b"a picture")
    steps: list[tuple[int, int]] = []

    def verify() -> RegistryReport:
        steps.clear()
        parts = VerifiedParts(
            hub.database, hub.backend, hub.index, REPOSITORY_UID, lambda: [picture], lambda: 1
        )
        report = RegistryVerification(parts, lambda done, total: steps.append((done, total))).run()
        assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
        assert steps[-1][0] == steps[-1][1]
        return report

    return verify


@pytest.fixture
def sound(hub: Hub) -> Iterator[Hub]:
    """Two registered studies, one with a late instance, and a report somebody provided."""
    hub.know()
    send(hub, 1, 2)
    send(hub, 1, study=OTHER_UID)
    complete(hub)
    send(hub, 3)
    complete(hub)
    hub.put(submission(hub.keep(entry("report", **PDF), b"%PDF-1.4 report")))
    yield hub


def one(report: RegistryReport) -> Drift:
    (drift,) = report.drifts
    assert "\n" not in drift.what + drift.remedy
    assert drift.subject in drift.what
    assert drift.remedy
    return drift


def test_a_sound_hub_has_no_drift(sound: Hub, report_of: Callable[[], RegistryReport]) -> None:
    report = report_of()
    assert report.drifts == ()
    assert (report.studies, report.entries, report.documents) == (2, 4, 4)
    assert (report.pictures, report.waiting) == (1, 0)


def test_a_study_that_is_arriving_or_owed_is_no_drift(
    sound: Hub, report_of: Callable[[], RegistryReport]
) -> None:
    send(sound, 4)
    assert report_of().drifts == ()
    complete(sound, deliver=False)
    report = report_of()
    assert (report.drifts, report.waiting) == ((), 1)


def test_entries_of_other_repositories_and_on_demand_need_no_document(
    sound: Hub, report_of: Callable[[], RegistryReport]
) -> None:
    elsewhere = entry("elsewhere", repository_unique_id="1.2.3.999")
    later = entry("later", document_type=DocumentType.ON_DEMAND, sha1="")
    sound.put(submission(elsewhere, later))
    assert report_of().drifts == ()


def plant_lost_instance(hub: Hub) -> tuple[DriftKind, str]:
    lost = hub.index.instances_of(OTHER_UID)[0]
    hub.backend.delete(lost.storage_key)
    return DriftKind.INSTANCE_LOST, lost.sop_instance_uid


def plant_parked_event(hub: Hub) -> tuple[DriftKind, str]:
    send(hub, 4)
    complete(hub, deliver=False)
    execute(hub, update(OutboxDelivery).values(state=PARKED))
    return DriftKind.MANIFEST_MISSING, STUDY_UID


def plant_withdrawn_manifest(hub: Hub) -> tuple[DriftKind, str]:
    execute(
        hub,
        update(DocumentEntryRow)
        .where(DocumentEntryRow.entry_uuid == manifest(hub).entry_uuid)
        .values(status=AvailabilityStatus.DEPRECATED),
    )
    return DriftKind.MANIFEST_WITHDRAWN, STUDY_UID


def plant_second_manifest(hub: Hub) -> tuple[DriftKind, str]:
    execute(hub, update(DocumentEntryRow).values(status=AvailabilityStatus.APPROVED))
    return DriftKind.MANIFESTS_MANY, STUDY_UID


def plant_unlisted_instance(hub: Hub) -> tuple[DriftKind, str]:
    send(hub, 9)
    execute(
        hub, update(STUDY).where(STUDY.c.study_instance_uid == STUDY_UID).values(state="complete")
    )
    return DriftKind.MANIFEST_CONTENTS, STUDY_UID


def plant_instance_without_row(hub: Hub) -> tuple[DriftKind, str]:
    execute(hub, delete(INSTANCE).where(INSTANCE.c.sop_instance_uid == f"{STUDY_UID}.1.3"))
    return DriftKind.MANIFEST_CONTENTS, STUDY_UID


def plant_lost_document_row(hub: Hub) -> tuple[DriftKind, str]:
    row = RepositoryDocumentRow
    execute(hub, delete(row).where(row.unique_id == entry("report").unique_id))
    key = next(k for k in hub.backend.keys("documents") if not _is_named(hub, k))
    hub.backend.delete(key)
    return DriftKind.ENTRY_WITHOUT_DOCUMENT, urn("report")


def _is_named(hub: Hub, key: str) -> bool:
    with hub.database.read() as session:
        return key in session.scalars(select(RepositoryDocumentRow.storage_key)).all()


def plant_entry_of_other_bytes(hub: Hub) -> tuple[DriftKind, str]:
    kept = hub.keep(entry("lies", **PDF), b"%PDF-1.4 one")
    hub.put(submission(replace(kept, size=kept.size + 1)))
    return DriftKind.ENTRY_DISAGREES, urn("lies")


def plant_document_without_entry(hub: Hub) -> tuple[DriftKind, str]:
    kept = hub.keep(entry("alone", **PDF), b"%PDF-1.4 alone")
    return DriftKind.DOCUMENT_WITHOUT_ENTRY, kept.unique_id


def plant_lost_document(hub: Hub) -> tuple[DriftKind, str]:
    hub.backend.delete(storage_key(hub, entry("report")))
    return DriftKind.DOCUMENT_LOST, entry("report").unique_id


def plant_changed_document(hub: Hub) -> tuple[DriftKind, str]:
    overwrite(hub, storage_key(hub, entry("report")), b"%PDF-1.4 retort")
    return DriftKind.DOCUMENT_CHANGED, entry("report").unique_id


def plant_unnamed_bytes(hub: Hub) -> tuple[DriftKind, str]:
    repository = DocumentRepository(hub.backend, hub.clock, REPOSITORY_UID)
    return DriftKind.BYTES_UNNAMED, repository.store(b"nobody's").storage_key


def plant_loose_association(hub: Hub) -> tuple[DriftKind, str]:
    loose = relation(AssociationType.APPENDS, entry("gone"), entry("report"))
    execute(
        hub,
        XdsAssociationRow.__table__.insert().values(  # type: ignore[attr-defined]
            entry_uuid=loose.entry_uuid,
            association_type=loose.association_type,
            source=loose.source,
            target=loose.target,
            status=loose.status,
            content="{}",
        ),
    )
    return DriftKind.ASSOCIATION_ORPHANED, loose.entry_uuid


def plant_lost_picture(hub: Hub) -> tuple[DriftKind, str]:
    hub.backend.delete(PICTURE_KEY)
    return DriftKind.RENDITION_LOST, "p-1"


def plant_changed_picture(hub: Hub) -> tuple[DriftKind, str]:
    overwrite(hub, PICTURE_KEY, b"another picture")
    return DriftKind.RENDITION_CHANGED, "p-1"


@pytest.mark.parametrize(
    "plant",
    [
        plant_lost_instance,
        plant_parked_event,
        plant_withdrawn_manifest,
        plant_second_manifest,
        plant_unlisted_instance,
        plant_instance_without_row,
        plant_lost_document_row,
        plant_entry_of_other_bytes,
        plant_document_without_entry,
        plant_lost_document,
        plant_changed_document,
        plant_unnamed_bytes,
        plant_loose_association,
        plant_lost_picture,
        plant_changed_picture,
    ],
    ids=lambda plant: plant.__name__.removeprefix("plant_"),
)
def test_each_drift_is_named_once(
    sound: Hub,
    report_of: Callable[[], RegistryReport],
    plant: Callable[[Hub], tuple[DriftKind, str]],
) -> None:
    kind, subject = plant(sound)
    drift = one(report_of())
    assert (drift.kind, drift.subject) == (kind, subject)


def test_a_manifest_of_a_wholly_rejected_study_is_a_drift(
    sound: Hub, report_of: Callable[[], RegistryReport]
) -> None:
    execute(sound, delete(INSTANCE).where(INSTANCE.c.sop_instance_uid == f"{OTHER_UID}.1.1"))
    drift = one(report_of())
    assert (drift.kind, drift.subject) == (DriftKind.MANIFEST_LEFT, OTHER_UID)


def test_a_manifest_that_is_none_is_a_drift(
    sound: Hub, report_of: Callable[[], RegistryReport]
) -> None:
    overwrite(sound, storage_key(sound, manifest(sound)), b"no dicom")
    kinds = {drift.kind for drift in report_of().drifts}
    assert kinds == {DriftKind.MANIFEST_UNREADABLE, DriftKind.DOCUMENT_CHANGED}


def test_a_missing_manifest_is_registered_once_more(
    sound: Hub, report_of: Callable[[], RegistryReport]
) -> None:
    plant_parked_event(sound)
    parts = VerifiedParts(sound.database, sound.backend, sound.index, REPOSITORY_UID)
    assert register_again(parts, report_of().drifts) == 1
    deliver_all_due(sound.database, sound.outbox)
    assert report_of().drifts == ()
    with sound.database.read() as session:
        generations = session.scalars(
            select(StudyManifestRow.generation).where(
                StudyManifestRow.study_instance_uid == STUDY_UID
            )
        ).all()
    assert sorted(generations) == [1, 2, 3]


def test_nothing_else_is_repaired(sound: Hub, report_of: Callable[[], RegistryReport]) -> None:
    plant_withdrawn_manifest(sound)
    parts = VerifiedParts(sound.database, sound.backend, sound.index, REPOSITORY_UID)
    assert register_again(parts, report_of().drifts) == 0
    assert one(report_of()).kind is DriftKind.MANIFEST_WITHDRAWN
