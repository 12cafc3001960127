"""The drift check and the versions in force: each drift planted, named, and put right."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from eir_versions.ledger import standing_versions
from eir_versions.model import StandingVersion
from eir_versions.tables import EirVersionRow
from hub_kernel.outbox_tables import PARKED, OutboxDelivery
from hub_runtime.commands.registry import verified_parts
from tests.eir_versions.hubs import slice_of
from tests.hub_runtime.filed_reports import Clinic, open_clinic
from xds_registry import store
from xds_registry.errors import DocumentCorruptError
from xds_registry.model import AvailabilityStatus, DocumentEntry
from xds_registry.store_replacing import deprecate
from xds_registry.store_rows import entry_row
from xds_registry.tables import (
    DocumentEntryRow,
    DocumentReferenceRow,
    RepositoryDocumentRow,
    XdsAssociationRow,
)
from xds_registry.tables_codes import CodeIndexRow
from xds_registry.verification import RegistryVerification
from xds_registry.verification_findings import DriftKind
from xds_registry.verification_repair import register_again
from xds_registry.version_documents import is_version

NAMES = {"diagnostic", "clinical", "public"}
APPROVED = AvailabilityStatus.APPROVED
MISSING, LEFT, DISAGREES = (
    DriftKind.VERSION_MISSING,
    DriftKind.VERSION_LEFT,
    DriftKind.VERSION_DISAGREES,
)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    opened = open_clinic(tmp_path_factory.mktemp("drifting") / "data")
    yield opened
    opened.hub.close()


def standing(clinic: Clinic, study: str) -> dict[str, StandingVersion]:
    with clinic.hub.database.read() as session:
        return {one.recipe: one for one in standing_versions(session, study)}


def entries(clinic: Clinic, study: str) -> list[DocumentEntry]:
    found = clinic.hub.index.study(study)
    assert found is not None
    with clinic.hub.database.read() as session:
        everything = store.documents_of(session, [found.patient.cx])
    return [one for one in everything if is_version(one)]


def in_force(clinic: Clinic, study: str) -> dict[str, DocumentEntry]:
    return {one.format_code.code: one for one in entries(clinic, study) if one.status == APPROVED}


def execute(clinic: Clinic, *statements: object) -> None:
    with clinic.hub.database.unit_of_work() as work:
        for statement in statements:
            work.session.execute(statement)  # type: ignore[call-overload]


def forget_the_entry(clinic: Clinic, study: str) -> None:
    entry = in_force(clinic, study)["public"]
    uuid, link = entry.entry_uuid, XdsAssociationRow
    execute(
        clinic,
        delete(DocumentReferenceRow).where(DocumentReferenceRow.entry_uuid == uuid),
        delete(CodeIndexRow).where(CodeIndexRow.entry_uuid == uuid),
        delete(link).where((link.source == uuid) | (link.target == uuid)),
        delete(DocumentEntryRow).where(DocumentEntryRow.entry_uuid == uuid),
        delete(RepositoryDocumentRow).where(RepositoryDocumentRow.unique_id == entry.unique_id),
    )


def deprecate_the_entry(clinic: Clinic, study: str) -> None:
    with clinic.hub.database.unit_of_work() as work:
        deprecate(work.session, [in_force(clinic, study)["clinical"].entry_uuid])


def leave_a_withdrawn_one(clinic: Clinic, study: str) -> None:
    row = EirVersionRow
    gone = standing(clinic, study)["public"].version_id
    now = clinic.hub.base.clock.now()
    execute(clinic, update(row).where(row.version_id == gone).values(superseded_at=now))


def leave_a_superseded_one(clinic: Clinic, study: str) -> None:
    """Approve a version once more that the version of a newer picture has replaced."""
    former = in_force(clinic, study)["public"].entry_uuid
    clinic.store(slice_of(1), study)
    clinic.complete(study)
    assert in_force(clinic, study)["public"].entry_uuid != former
    row = DocumentEntryRow
    execute(clinic, update(row).where(row.entry_uuid == former).values(status=APPROVED))


def tell_another_hash(clinic: Clinic, study: str) -> None:
    entry = in_force(clinic, study)["diagnostic"]
    lies = entry_row(replace(entry, sha1="0" * 40), 0)["content"]
    row = DocumentEntryRow
    execute(clinic, update(row).where(row.entry_uuid == entry.entry_uuid).values(content=lies))


def tell_another_size(clinic: Clinic, study: str) -> None:
    entry = in_force(clinic, study)["diagnostic"]
    lies = entry_row(replace(entry, size=(entry.size or 0) + 1), 0)["content"]
    row = DocumentEntryRow
    execute(clinic, update(row).where(row.entry_uuid == entry.entry_uuid).values(content=lies))


def name_other_bytes(clinic: Clinic, study: str) -> None:
    """Let the document of one version be the description of another, in every respect."""
    here = in_force(clinic, study)
    row = RepositoryDocumentRow
    with clinic.hub.database.unit_of_work() as work:
        other = work.session.get_one(row, here["public"].unique_id)
        mine = work.session.get_one(row, here["clinical"].unique_id)
        for name in ("storage_key", "sha256", "sha1", "size"):
            setattr(mine, name, getattr(other, name))
        lies = replace(here["clinical"], sha1=other.sha1, size=other.size)
        entry = work.session.get_one(DocumentEntryRow, lies.entry_uuid)
        entry.content = str(entry_row(lies, 0)["content"])


def lose_the_document(clinic: Clinic, study: str) -> None:
    row = RepositoryDocumentRow
    lost = in_force(clinic, study)["clinical"].unique_id
    execute(clinic, delete(row).where(row.unique_id == lost))


PLANTS: dict[Callable[[Clinic, str], None], DriftKind] = {
    forget_the_entry: MISSING,
    deprecate_the_entry: MISSING,
    leave_a_withdrawn_one: LEFT,
    leave_a_superseded_one: LEFT,
    tell_another_hash: DISAGREES,
    tell_another_size: DISAGREES,
    name_other_bytes: DISAGREES,
    lose_the_document: DISAGREES,
}


def test_each_drift_of_a_version_is_named_once_and_put_right(clinic: Clinic) -> None:
    sound, planted = clinic.study(), {clinic.study(): plant for plant in PLANTS}
    before = {study: in_force(clinic, study) for study in planted}
    assert clinic.drifts() == (), "the control: nothing is adrift yet"
    for study, plant in planted.items():
        plant(clinic, study)
    untouched = entries(clinic, sound)
    found = clinic.drifts()
    assert {(one.subject, one.kind) for one in found} == {
        (study, PLANTS[plant]) for study, plant in planted.items()
    }
    assert len(found) == len(PLANTS), "each once"
    assert all(one.subject in one.what and "--repair" in one.remedy for one in found)
    assert register_again(verified_parts(clinic.hub), found) == len(PLANTS)
    waiting = clinic.verify()
    assert (waiting.drifts, waiting.waiting) == ((), len(PLANTS))
    clinic.deliver()
    assert clinic.drifts() == ()
    for study, plant in planted.items():
        after = in_force(clinic, study)
        assert after.keys() == NAMES, plant.__name__
        for recipe, version in standing(clinic, study).items():
            require_as_the_ledger(clinic, after[recipe], version)
        if plant is not leave_a_superseded_one:  # which made all of them anew
            assert after["diagnostic"].entry_uuid == before[study]["diagnostic"].entry_uuid
    assert entries(clinic, sound) == untouched


def require_as_the_ledger(clinic: Clinic, entry: DocumentEntry, version: StandingVersion) -> None:
    """The entry says, and its document is, what the ledger keeps as the description."""
    with clinic.hub.base.backend.open(version.document_key) as stream:
        data = stream.read()
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    assert entry.entry_uuid == f"urn:uuid:{version.version_id}"
    assert (entry.sha1, entry.size, clinic.data(entry)) == (digest, len(data), data)


def test_a_version_whose_rendering_is_parked_is_named_and_one_that_is_owed_waits(
    clinic: Clinic,
) -> None:
    study = clinic.study()
    clinic.store(slice_of(1), study)
    clinic.complete(study, deliver=False)
    owed = update(OutboxDelivery).where(OutboxDelivery.subscriber == "eir_versions.render")
    execute(clinic, owed.values(due_at=clinic.hub.base.clock.now() + timedelta(hours=1)))
    clinic.deliver()
    assert (clinic.drifts(), clinic.verify().waiting) == ((), 1)
    execute(clinic, owed.values(state=PARKED))
    found = clinic.drifts()
    assert [(one.kind, one.subject) for one in found] == [(MISSING, study)] * 3
    register_again(verified_parts(clinic.hub), found)
    clinic.deliver()
    assert clinic.drifts() == ()
    assert in_force(clinic, study).keys() == NAMES
    execute(clinic, delete(OutboxDelivery).where(OutboxDelivery.state == PARKED))


def test_bytes_that_have_changed_are_not_registered_for_the_description(clinic: Clinic) -> None:
    study = clinic.study()
    tell_another_hash(clinic, study)
    key = standing(clinic, study)["diagnostic"].document_key
    with clinic.hub.base.backend.open(key) as stream:
        whole = stream.read()
    keep(clinic, key, whole.replace(b"diagnostic", b"diagnosis!"))
    before = entries(clinic, study)
    with pytest.raises(DocumentCorruptError, match="has changed"):
        clinic.hub.registry.versions.follow(study)
    assert entries(clinic, study) == before
    keep(clinic, key, whole)
    clinic.hub.registry.versions.follow(study)
    assert clinic.drifts() == ()


def test_what_an_older_hub_registered_without_a_description_stays_as_it_is(clinic: Clinic) -> None:
    study = clinic.study()
    before = entries(clinic, study)
    row = EirVersionRow
    execute(clinic, update(row).where(row.study_instance_uid == study).values(document_key=""))
    assert clinic.drifts() == ()
    clinic.hub.registry.versions.follow(study)
    assert entries(clinic, study) == before


def keep(clinic: Clinic, key: str, data: bytes) -> None:
    pending = clinic.hub.base.backend.create()
    pending.write(data)
    pending.publish(key)


def test_a_hub_that_registers_no_versions_compares_none(tmp_path: Path) -> None:
    opened = open_clinic(tmp_path / "plain", version_documents=False)
    try:
        study = opened.study()
        assert standing(opened, study).keys() == NAMES
        assert entries(opened, study) == []
        assert opened.drifts() == ()
        wanted = replace(verified_parts(opened.hub), versions=standing_versions)
        found = RegistryVerification(wanted, lambda _done, _total: None).run().drifts
        assert [one.kind for one in found] == [MISSING] * 3, "the control"
    finally:
        opened.hub.close()
