"""ITI-57 and ITI-92: versions follow each other, nothing is lost, and all or nothing is done."""

from dataclasses import replace

import pytest

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from tests.xds_registry.administered import (
    APPROVED,
    DEPRECATED,
    Desk,
    after,
    named,
    status_change,
    trigger,
    update,
    with_tie,
)
from tests.xds_registry.folders import filed, folder, member
from tests.xds_registry.hub import OTHER_TOWNSHIP
from tests.xds_registry.samples import relation, submission, urn
from xds_registry.model import AssociationType, Code, DocumentType
from xds_registry.tables import StudyManifestRow
from xds_registry.transactions import iti92_restricted_update_document_set as iti92

HAS_MEMBER, APPENDS = AssociationType.HAS_MEMBER, AssociationType.APPENDS
REFERRAL = Code("57133-1", "2.16.840.1.113883.6.1", "Referral note")


def test_a_new_version_follows_and_the_former_stays_deprecated(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    assert desk.send(update(after(first, comments="corrected"))) == []
    known = desk.documents()
    former, latest = known["ct", 1], known["ct", 2]
    assert (former.status, former.comments, former.entry_uuid) == (DEPRECATED, "", urn("ct"))
    assert (latest.status, latest.comments, latest.logical_id) == (
        APPROVED,
        "corrected",
        urn("ct"),
    )
    assert latest.entry_uuid.startswith("urn:uuid:")
    assert desk.send(update(after(latest), previous=2, key="again")) == []
    assert desk.documents()["ct", 3].status == APPROVED


def test_an_update_corrects_hash_and_size_of_what_is_held_elsewhere(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    right = after(first, sha1="a9993e364706816aba3e25717850c26c9cd0d89d", size=3)
    assert desk.send(update(right)) == []
    assert desk.documents()["ct", 2].size == 3


def test_hash_and_size_of_what_the_hub_holds_are_not_changed(desk: Desk) -> None:
    first = desk.hub.keep(named("ct", desk.cx), b"bytes of a document")
    desk.hub.put(submission(first))
    assert desk.send(update(after(first, size=first.size + 1))) == ["XDSMetadataUpdateError"]
    assert desk.send(update(after(first, comments="same bytes"))) == []


@pytest.mark.parametrize(
    ("changes", "previous", "code"),
    [
        ({}, 2, "XDSMetadataVersionError"),
        ({"logical_id": urn("nobody")}, 1, "XDSMetadataVersionError"),
        ({"unique_id": "1.2.3"}, 1, "XDSMetadataIdentifierError"),
        ({"document_type": DocumentType.ON_DEMAND}, 1, "XDSMetadataUpdateError"),
        ({"class_code": Code("X", "1.2")}, 1, "XDSRegistryMetadataError"),
        ({"patient_id": "nobody^^^&1.2.3&ISO"}, 1, "XDSUnknownPatientId"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(
    desk: Desk, changes: dict[str, object], previous: int, code: str
) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    assert code in desk.send(update(replace(after(first), **changes), previous=previous))
    assert list(desk.documents()) == [("ct", 1)]
    assert desk.documents()["ct", 1].status == APPROVED


def test_a_first_version_and_a_second_of_the_same_are_no_operations(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    new = replace(named("new", desk.cx), entry_uuid="New")
    assert desk.send(update(new)) == ["XDSMetadataUpdateOperationError"]
    twice = [after(first), replace(after(first), entry_uuid="Twice")]
    assert "XDSMetadataUpdateOperationError" in desk.send(update(*twice))
    nothing = replace(update(after(first)), associations=())
    assert set(desk.send(nothing)) == {"XDSMetadataUpdateOperationError"}
    assert list(desk.documents()) == [("ct", 1)]


def test_folder_and_relations_go_over_to_the_new_version(desk: Desk) -> None:
    first, report = named("ct", desk.cx), named("report", desk.cx)
    desk.hub.put(filed(folder("box", patient_id=desk.cx), first))
    desk.hub.put(submission(report, relations=(relation(APPENDS, report, first),)))
    desk.hub.clock.advance(seconds=60)
    assert desk.send(update(after(first))) == []
    latest = desk.documents()["ct", 2].entry_uuid
    ties = {one for one in desk.ties(latest) if one[0] in {urn("box"), urn("report")}}
    assert ties == {(urn("box"), latest, "HasMember"), (urn("report"), latest, "APND")}
    assert desk.folders()[0].last_update_time > "20261121080000"


def test_ties_stay_behind_where_the_update_says_so(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(filed(folder("box", patient_id=desk.cx), first))
    assert desk.send(update(after(first), propagates=False)) == []
    latest = desk.documents()["ct", 2].entry_uuid
    assert {source for source, _, _ in desk.ties(latest)} == {urn("update")}
    assert (urn("box"), urn("ct"), "HasMember") in desk.ties(urn("box"))


def test_a_folder_is_updated_with_its_members(desk: Desk) -> None:
    first = named("ct", desk.cx)
    box = folder("box", patient_id=desk.cx)
    desk.hub.put(filed(box, first))
    next_box = replace(
        box, entry_uuid="Next", logical_id=urn("box"), title="later", codes=(REFERRAL,)
    )
    assert desk.send(update(next_box)) == []
    former, latest = sorted(desk.folders(), key=lambda one: one.version)
    assert (former.status, latest.status, latest.title) == (DEPRECATED, APPROVED, "later")
    assert (latest.entry_uuid, urn("ct"), "HasMember") in desk.ties(latest.entry_uuid)


def test_availability_changes_there_and_back(desk: Desk) -> None:
    desk.hub.put(submission(named("ct", desk.cx)))
    assert desk.send(status_change(desk.cx, urn("ct"), APPROVED, DEPRECATED)) == []
    assert desk.documents()["ct", 1].status == DEPRECATED
    wrong = desk.send(status_change(desk.cx, urn("ct"), APPROVED, DEPRECATED))
    assert wrong != []
    again = status_change(desk.cx, urn("ct"), DEPRECATED, APPROVED)
    own = replace(again.submission_set, unique_id="2.25.77", entry_uuid="Set")
    tie = replace(again.associations[0], source="Set")
    assert desk.send(replace(again, submission_set=own, associations=(tie,))) == []
    assert desk.documents()["ct", 1].status == APPROVED


def test_only_the_latest_version_and_no_submission_set_changes_its_state(desk: Desk) -> None:
    first = named("ct", desk.cx)
    sent = submission(first)
    desk.hub.put(sent)
    assert desk.send(update(after(first))) == []
    older = status_change(desk.cx, urn("ct"), DEPRECATED, APPROVED)
    assert desk.send(older) == ["XDSMetadataVersionError"]
    own, membership = sent.submission_set.entry_uuid, sent.associations[0].entry_uuid
    for target in (own, membership):
        refused = desk.send(status_change(desk.cx, target, APPROVED, DEPRECATED))
        assert refused == ["XDSMetadataUpdateError"]
    unknown = status_change(desk.cx, urn("nobody"), APPROVED, DEPRECATED)
    assert desk.send(unknown) == ["UnresolvedReferenceException"]


def test_an_association_is_submitted_once_and_between_what_is_in_force(desk: Desk) -> None:
    one, two = named("one", desk.cx), named("two", desk.cx)
    desk.hub.put(filed(folder("box", patient_id=desk.cx)))
    desk.hub.put(submission(one, two))
    tie = member(urn("box"), urn("one"), entry_uuid="Tie")
    assert desk.send(with_tie(desk.cx, tie)) == []
    assert (urn("box"), urn("one"), "HasMember") in desk.ties(urn("box"))
    again = with_tie(desk.cx, replace(tie, entry_uuid="Again"))
    assert desk.send(again) == ["XDSMetadataUpdateError"]
    assert desk.send(status_change(desk.cx, urn("two"), APPROVED, DEPRECATED)) == []
    dead = with_tie(desk.cx, member(urn("box"), urn("two"), entry_uuid="Dead"))
    assert desk.send(dead) == ["XDSMetadataUpdateError"]
    loose = with_tie(desk.cx, member(urn("box"), urn("nobody"), entry_uuid="Loose"))
    assert desk.send(loose) == ["UnresolvedReferenceException"]


def test_a_document_goes_to_another_patient_only_without_its_folder(desk: Desk) -> None:
    other = desk.hub.global_cx(desk.hub.know("L-2", OTHER_TOWNSHIP))
    alone, kept = named("alone", desk.cx), named("kept", desk.cx)
    desk.hub.put(submission(alone))
    desk.hub.put(filed(folder("box", patient_id=desk.cx), kept))
    local = PatientIdentifier("L-2", OTHER_TOWNSHIP).cx
    moved = {"patient_id": other, "source_patient_id": local}
    assert desk.send(update(after(alone, **moved), key="first")) == []
    assert desk.documents()["alone", 2].linked_identifier == local
    refused = desk.send(update(after(kept, **moved), key="second"))
    assert refused == ["XDSPatientIDReconciliationError"]
    assert ("kept", 2) not in desk.documents()


def test_a_deprecated_document_is_updated_by_iti_92_alone_and_stays_so(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    assert desk.send(status_change(desk.cx, urn("ct"), APPROVED, DEPRECATED)) == []
    assert desk.send(update(after(first))) == ["XDSMetadataUpdateError"]
    assert desk.send(update(after(first, comments="later")), iti92.ACTION) == []
    assert desk.documents()["ct", 2].status == DEPRECATED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"repository_unique_id": "1.2.3"}, "UnmodifiableMetadataError"),
        ({"document_type": DocumentType.ON_DEMAND}, "UnmodifiableMetadataError"),
        ({"source_patient_id": "x^^^&1.2.3&ISO"}, "UnmodifiableMetadataError"),
        ({"unique_id": "1.2.3"}, "XDSMetadataIdentifierError"),
    ],
)
def test_a_restricted_update_leaves_alone_what_a_document_is(
    desk: Desk, changes: dict[str, object], code: str
) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    assert code in desk.send(update(after(first, **changes)), iti92.ACTION)


def test_a_restricted_update_carries_nothing_but_documents(desk: Desk) -> None:
    desk.hub.put(submission(named("ct", desk.cx)))
    change = status_change(desk.cx, urn("ct"), APPROVED, DEPRECATED)
    assert desk.send(change, iti92.ACTION) == ["XDSMetadataUpdateOperationError"]


def test_the_manifest_of_a_study_in_the_archive_is_not_updated(desk: Desk) -> None:
    manifest = named("manifest", desk.cx)
    desk.hub.put(submission(manifest))
    with desk.hub.database.unit_of_work() as work:
        work.session.add(
            StudyManifestRow(
                study_instance_uid="1.2.3",
                generation=1,
                entry_uuid=manifest.entry_uuid,
                unique_id=manifest.unique_id,
                registered_at=desk.hub.clock.now(),
            )
        )
    assert desk.send(update(after(manifest))) == ["LocalPolicyRestrictionError"]
    withdrawn = status_change(desk.cx, urn("manifest"), APPROVED, DEPRECATED)
    assert desk.send(withdrawn) == ["LocalPolicyRestrictionError"]


def test_who_is_no_registrar_learns_nothing_and_changes_nothing(desk: Desk) -> None:
    first = named("ct", desk.cx)
    desk.hub.put(submission(first))
    reader = desk.hub.token("reader", None, Role.RADIOLOGIST)
    assert "XDSMetadataVersionError" in desk.send(update(after(first)), by=reader)
    assert list(desk.documents()) == [("ct", 1)]
    records = desk.hub.audit.search(AuditQuery(action="administer_documents")).records
    assert [one.outcome for one in records] == ["failure"]
    assert desk.send(update(after(first))) == []
    records = desk.hub.audit.search(AuditQuery(action="administer_documents")).records
    assert records[0].outcome == "success"


def test_what_hangs_on_nothing_known_is_no_operation(desk: Desk) -> None:
    replaced = trigger(desk.cx, AssociationType.REPLACES, urn("ct"))
    assert desk.send(replaced) == ["XDSMetadataUpdateOperationError"]
