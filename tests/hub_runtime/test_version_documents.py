"""Versions in the registry: XFRM of the manifest, RPLC of the version before, nothing adrift."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from access_control.consent import SHARING, ConsentKind
from access_control.model import Site
from access_control.shared_links import ShareRequest
from hub_kernel.events import StudyCompleted, VersionRendered, new_event
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import report
from tests.eir_versions.hubs import STUDY, slice_of
from xds_registry import store
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry
from xds_registry.verification import RegistryVerification, VerifiedParts
from xds_registry.version_documents import VersionDocuments, is_version

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.912")
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
_RELATIONS = {AssociationType.TRANSFORMS, AssociationType.REPLACES}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    settings = Settings.model_validate(
        {"hub": {"data_dir": tmp_path / "data"}, "registry": {"version_documents": True}}
    )
    made = build_hub(settings)
    made.open()
    site = Site("east", "东", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
    made.access.sites.add(site)
    yield made
    made.close()


def complete(hub: Hub, generation: int) -> None:
    """Deliver a completion until nothing is due: a version may wait for its manifest."""
    with hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                StudyCompleted,
                work.clock,
                study_instance_uid=STUDY,
                site_id="east",
                generation=generation,
            )
        )
    deliver_all_due(hub.database, hub.base.outbox)


def versions(hub: Hub) -> list[DocumentEntry]:
    study = hub.index.study(STUDY)
    assert study is not None
    with hub.database.read() as session:
        everything = store.documents_of(session, [study.patient.cx], list(AvailabilityStatus))
    return [entry for entry in everything if is_version(entry)]


def in_force(hub: Hub) -> dict[str, DocumentEntry]:
    approved = AvailabilityStatus.APPROVED
    return {one.format_code.code: one for one in versions(hub) if one.status == approved}


def links(hub: Hub, entry: DocumentEntry) -> set[tuple[AssociationType, str]]:
    with hub.database.read() as session:
        found = store.associations_of(session, [entry.entry_uuid], _RELATIONS)
    return {(one.association_type, one.target) for one in found if one.source == entry.entry_uuid}


def test_versions_are_transformations_that_replace_their_predecessors(hub: Hub) -> None:
    hub.archive.store_file(part10(slice_of(0)), ORIGIN)
    complete(hub, 1)
    manifest = hub.registry.manifest_of(STUDY)
    assert manifest is not None
    first = in_force(hub)
    assert first.keys() == {"diagnostic", "clinical", "public"}
    transforms = (AssociationType.TRANSFORMS, manifest.entry_uuid)
    assert all(links(hub, one) == {transforms} for one in first.values())

    again = hub.eir.version(STUDY, "public")
    assert again is not None
    _repeat(hub, again.version_id, first["public"])
    assert in_force(hub) == first, "the same version again registers nothing"

    refuse(hub)
    refused = in_force(hub)
    assert links(hub, refused["public"]) == {
        transforms,
        (AssociationType.REPLACES, first["public"].entry_uuid),
    }
    assert refused["clinical"] == first["clinical"], "only what has changed is replaced"

    hub.archive.store_file(part10(report(1, "signed")), ORIGIN)
    complete(hub, 2)
    second, newer = in_force(hub), hub.registry.manifest_of(STUDY)
    assert newer is not None
    assert newer.entry_uuid != manifest.entry_uuid
    transforms = (AssociationType.TRANSFORMS, newer.entry_uuid)
    assert len(second) == 3
    assert all(links(hub, one) == {transforms} for one in second.values())
    assert _drifts(hub) == ()


def refuse(hub: Hub) -> None:
    """Write down that the study's person refuses to share, and deliver what follows."""
    study = hub.index.study(STUDY)
    assert study is not None
    global_id = hub.patients.resolve(study.patient)
    assert global_id is not None
    expires = hub.base.clock.now() + timedelta(days=1)
    hub.access.links.create(ShareRequest(STUDY, global_id, "doctor", expires))
    hub.access.links.create(ShareRequest(f"{STUDY}.404", global_id, "doctor", expires))
    hub.access.consents.record(
        global_id, ConsentKind.REFUSE, SHARING, by="registrar", reason="asked at the desk"
    )
    deliver_all_due(hub.database, hub.base.outbox)
    (dead,) = hub.access.links.links_of(STUDY)
    (control,) = hub.access.links.links_of(f"{STUDY}.404")
    assert dead.revoked_at
    assert control.revoked_at is None, "no study of that person"


def _repeat(hub: Hub, version_id: str, entry: DocumentEntry) -> None:
    with hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                VersionRendered,
                work.clock,
                study_instance_uid=STUDY,
                generation=1,
                recipe=entry.format_code.code,
                version_id=version_id,
                document_key=next(iter(hub.base.backend.keys("renditions"))),
            )
        )
    deliver_all_due(hub.database, hub.base.outbox)


def _drifts(hub: Hub) -> tuple[object, ...]:
    parts = VerifiedParts(
        hub.database, hub.base.backend, hub.index, hub.settings.registry.repository_unique_id
    )
    return tuple(RegistryVerification(parts, lambda _done, _total: None).run().drifts)


def test_without_the_setting_nothing_is_registered(tmp_path: Path) -> None:
    made = build_hub(
        Settings.model_validate(
            {"hub": {"data_dir": tmp_path / "plain"}, "registry": {"version_documents": False}}
        )
    )
    try:
        names = [one.name for one in made.registry.subscribers()]
        assert "xds_registry.versions" not in names
        assert VersionDocuments.__doc__
    finally:
        made.close()
