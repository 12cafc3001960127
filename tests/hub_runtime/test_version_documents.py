"""Versions in the registry: XFRM of the manifest, RPLC of the version before, nothing adrift."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import event
from werkzeug.test import Client

from access_control.consent import SHARING, ConsentKind
from access_control.model import Role, Site
from access_control.shared_links import ShareRequest
from eir_versions.ledger import standing_versions
from hub_kernel.events import StudyCompleted, VersionRendered, new_event
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.cli import main
from hub_runtime.commands.registry import verified_parts
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import report
from tests.eir_versions.hubs import STUDY, slice_of
from tests.support.tables import create_tables
from tests.xds_registry import wire
from xds_registry import store
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry
from xds_registry.verification import RegistryVerification
from xds_registry.version_documents import is_version

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.912")
SITE = Site("east", "东", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
NAMES = {"diagnostic", "clinical", "public"}
_RELATIONS = {AssociationType.TRANSFORMS, AssociationType.REPLACES}


@contextmanager
def running(folder: Path, **registry: bool) -> Iterator[Hub]:
    """A hub as it is by default, but for these settings of its registry; it delivers nothing."""
    made = build_hub(Settings.model_validate({"hub": {"data_dir": folder}, "registry": registry}))
    try:
        yield made
    finally:
        made.close()


def create(hub: Hub) -> None:
    """Give a hub its tables, one site and one study."""
    create_tables(hub.database)
    hub.access.audit.begin()
    fill(hub)


def fill(hub: Hub) -> None:
    hub.access.sites.add(SITE)
    hub.archive.store_file(part10(slice_of(0)), ORIGIN)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with running(tmp_path / "data") as made:
        create(made)
        deliver_all_due(made.database, made.base.outbox)
        yield made


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
    complete(hub, 1)
    manifest = hub.registry.manifest_of(STUDY)
    assert manifest is not None
    first = in_force(hub)
    assert first.keys() == NAMES
    transforms = (AssociationType.TRANSFORMS, manifest.entry_uuid)
    assert all(links(hub, one) == {transforms} for one in first.values())

    assert len({submitted_in(hub, one) for one in first.values()}) == 1, "all of them at once"
    require_the_ledgers_bytes(hub, first)
    before = versions(hub)
    tell_again(hub, first["public"].entry_uuid)
    assert versions(hub) == before, "the same version again registers nothing"

    refuse(hub)
    refused = in_force(hub)
    assert links(hub, refused["public"]) == {
        transforms,
        (AssociationType.REPLACES, first["public"].entry_uuid),
    }
    assert refused["clinical"] == first["clinical"], "only what has changed is replaced"
    before = versions(hub)
    tell_again(hub, first["public"].entry_uuid)
    assert versions(hub) == before, "a version that was replaced does not come back, however late"

    hub.archive.store_file(part10(report(1, "signed")), ORIGIN)
    complete(hub, 2)
    second, newer = in_force(hub), hub.registry.manifest_of(STUDY)
    assert newer is not None
    assert newer.entry_uuid != manifest.entry_uuid
    transforms = (AssociationType.TRANSFORMS, newer.entry_uuid)
    assert len(second) == 3
    assert all(links(hub, one) == {transforms} for one in second.values())
    assert drifts(hub) == ()


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


def drifts(hub: Hub) -> tuple[object, ...]:
    return tuple(RegistryVerification(verified_parts(hub), lambda _done, _total: None).run().drifts)


def tell_again(hub: Hub, entry_uuid: str) -> None:
    """Deliver what was said when a version was recorded once more."""
    with hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                VersionRendered,
                work.clock,
                study_instance_uid=STUDY,
                generation=1,
                recipe="public",
                version_id=entry_uuid.removeprefix("urn:uuid:"),
            )
        )
    deliver_all_due(hub.database, hub.base.outbox)


def submitted_in(hub: Hub, entry: DocumentEntry) -> str:
    members = {AssociationType.HAS_MEMBER}
    with hub.database.read() as session:
        (found,) = store.associations_of(session, [entry.entry_uuid], members)
    return found.source


def require_the_ledgers_bytes(hub: Hub, entries: dict[str, DocumentEntry]) -> None:
    """What ITI-43 and ITI-68 give is what the ledger keeps, of the hash and size of the entry."""
    token = hub.access.tokens.create(
        "reader", (Role.RADIOLOGIST,), None, hub.base.clock.now() + timedelta(days=1)
    )
    client, headers = Client(hub.wsgi()), {"Authorization": f"Bearer {token}"}
    for recipe, entry in entries.items():
        kept = hub.eir.version(STUDY, recipe)
        assert kept is not None
        with hub.database.read() as session:
            (standing,) = [one for one in standing_versions(session, STUDY) if one.recipe == recipe]
        with hub.base.backend.open(standing.document_key) as stream:
            data = stream.read()
        assert json.loads(data)["version_id"] == kept.version_id
        assert (entry.sha1, entry.size) == (
            hashlib.sha1(data, usedforsecurity=False).hexdigest(),
            len(data),
        )
        asked = wire.retrieve((entry.repository_unique_id, entry.unique_id))
        kind = f'application/soap+xml; charset=UTF-8; action="{wire.ITI43}"'
        answer = client.post("/xds/repository", data=asked, headers=headers, content_type=kind)
        assert data in answer.data
        given = client.get(f"/fhir/Binary/{entry.entry_uuid[9:]}", headers=headers)
        assert given.data == data


def test_a_version_waits_for_its_manifest_without_being_tried_in_vain(hub: Hub) -> None:
    completed = new_event(
        StudyCompleted, hub.base.clock, study_instance_uid=STUDY, site_id="east", generation=1
    )
    subscribers = {one.name: one for one in hub.base.outbox.subscribers.values()}
    subscribers["eir_versions.render"].handle(completed)
    assert deliver_all_due(hub.database, hub.base.outbox) > 0
    assert hub.eir.version(STUDY, "public") is not None
    assert versions(hub) == []
    with hub.database.read() as session:
        assert hub.base.outbox.status(session).pending == 0
    subscribers["xds_registry.manifest"].handle(completed)
    deliver_all_due(hub.database, hub.base.outbox)
    assert in_force(hub).keys() == NAMES


def test_a_registration_that_is_cut_short_anywhere_leaves_nothing_or_all(hub: Hub) -> None:
    completed = new_event(
        StudyCompleted, hub.base.clock, study_instance_uid=STUDY, site_id="east", generation=1
    )
    for name in ("xds_registry.manifest", "eir_versions.render"):
        hub.base.outbox.subscribers[name].handle(completed)
    cut_off = 0
    while not versions(hub):
        with cut_at_write(hub, cut_off + 1), suppress(CutOffError):
            hub.registry.versions.register(STUDY)
        cut_off += 1
        assert cut_off < 40
    assert cut_off > 5, "the control: there are several steps to be cut off at"
    assert in_force(hub).keys() == NAMES
    assert drifts(hub) == ()


class CutOffError(Exception):
    """Stands for the end of the process."""


@contextmanager
def cut_at_write(hub: Hub, number: int) -> Iterator[None]:
    """Let nothing of this thread be written from its write statement `number` on."""
    steps, here = iter(range(1, number)), threading.get_ident()

    def step(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        is_write = not statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))
        if is_write and threading.get_ident() == here and next(steps, None) is None:
            raise CutOffError

    event.listen(hub.database.engine, "before_cursor_execute", step)
    try:
        yield
    finally:
        event.remove(hub.database.engine, "before_cursor_execute", step)


def test_a_hub_that_was_upgraded_registers_what_is_made_anew(tmp_path: Path) -> None:
    with running(tmp_path, version_documents=False) as hub:
        create(hub)
        complete(hub, 1)
    with running(tmp_path) as hub:
        deliver_all_due(hub.database, hub.base.outbox)
        assert versions(hub) == [], "nobody waits for a million old studies"
        refuse(hub)
        assert in_force(hub).keys() == NAMES


def test_a_hub_that_registered_none_does_so_by_command(tmp_path: Path) -> None:
    with running(tmp_path, version_documents=False) as hub:
        hub.open()
        fill(hub)
        complete(hub, 1)
    refused = register_versions(tmp_path, "--set", "registry.version_documents=false")
    assert refused.exit_code == 2
    assert "registry.version_documents is off" in refused.output
    done = [json.loads(register_versions(tmp_path).stdout) for _ in range(2)]
    assert done == [
        {"studies": 1, "versions": 3, "lost": []},
        {"studies": 0, "versions": 0, "lost": []},
    ]
    with running(tmp_path) as hub:
        assert in_force(hub).keys() == NAMES
        assert drifts(hub) == ()


def register_versions(folder: Path, *words: str) -> Result:
    command = ["registry", "register-versions", "--json", "--data", str(folder), *words]
    return CliRunner().invoke(main, command)
