"""ITI-62: what is removed is gone, on record, and leaves nothing loose behind (RMD, 3.62)."""

from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from access_control.legal_holds import HoldRequest, LegalHolds
from access_control.model import Role
from patient_index.same_person import SamePerson
from tests.xds_registry import wire
from tests.xds_registry.administered import Desk, after, named, update
from tests.xds_registry.asking import Ask
from tests.xds_registry.folders import filed, folder
from tests.xds_registry.samples import relation, submission, urn
from xds_registry.model import AssociationType, Submission
from xds_registry.tables import StudyManifestRow
from xds_registry.tables_codes import CodeIndexRow
from xds_registry.tables_removed import RemovedObjectRow


def everything(sent: Submission) -> list[str]:
    return [
        sent.submission_set.entry_uuid,
        *(one.entry_uuid for one in (*sent.entries, *sent.folders, *sent.associations)),
    ]


def test_a_whole_submission_goes_and_is_on_record(desk: Desk, ask: Ask) -> None:
    sent = filed(folder("box", patient_id=desk.cx), named("ct", desk.cx))
    desk.hub.put(sent)
    assert desk.remove(*everything(sent)) == []
    assert (desk.documents(), desk.folders()) == ({}, [])
    got = ask(wire.GET_ASSOCIATIONS, ("$uuid", f"('{urn('ct')}')"))
    assert wire.objects(got, "Association") == []
    with desk.hub.database.read() as session:
        rows = session.scalars(select(RemovedObjectRow)).all()
        assert {row.entry_uuid for row in rows} == set(everything(sent))
        assert all("ct" in row.content for row in rows if row.kind == "document_entry")
        assert len({row.removed_by for row in rows}) == 1
        assert session.scalars(select(CodeIndexRow.entry_uuid)).all() == []


def test_the_record_of_what_was_removed_cannot_be_changed(desk: Desk) -> None:
    sent = submission(named("ct", desk.cx))
    desk.hub.put(sent)
    assert desk.remove(*everything(sent)) == []
    for statement in ("DELETE FROM removed_object", "UPDATE removed_object SET content = ''"):
        try:
            with desk.hub.database.unit_of_work() as work:
                work.session.execute(text(statement))
        except DatabaseError as refused:
            assert "append-only" in str(refused)
        else:
            raise AssertionError(statement)


def test_what_is_not_there_is_unresolved_and_the_rest_stays(desk: Desk) -> None:
    sent = submission(named("ct", desk.cx))
    desk.hub.put(sent)
    refused = desk.remove(*everything(sent), urn("nobody"))
    assert refused == ["UnresolvedReferenceException"]
    assert list(desk.documents()) == [("ct", 1)]
    assert desk.remove() == ["XDSRegistryError"]


def test_what_is_referred_to_stays(desk: Desk) -> None:
    sent = submission(named("ct", desk.cx))
    desk.hub.put(sent)
    assert set(desk.remove(urn("ct"))) == {"ReferencesExistException"}
    report = named("report", desk.cx)
    tie = relation(AssociationType.APPENDS, report, sent.entries[0])
    desk.hub.put(submission(report, relations=(tie,)))
    assert desk.remove(*everything(sent)) == ["ReferencesExistException"]
    assert desk.remove(*everything(sent), tie.entry_uuid) == []
    assert list(desk.documents()) == [("report", 1)]


def test_nothing_is_left_loose(desk: Desk) -> None:
    sent = submission(named("one", desk.cx), named("two", desk.cx))
    desk.hub.put(sent)
    own, membership = sent.submission_set.entry_uuid, sent.associations[0].entry_uuid
    assert desk.remove(membership) == ["XDSUnreferencedObjectException"]
    all_but_own = [one for one in everything(sent) if one != own]
    assert desk.remove(*all_but_own) == ["XDSUnreferencedObjectException"]
    assert len(desk.documents()) == 2


def test_a_last_version_does_not_leave_its_former_ones_behind(desk: Desk) -> None:
    first = named("ct", desk.cx)
    sent = submission(first)
    desk.hub.put(sent)
    change = update(after(first))
    assert desk.send(change) == []
    latest = desk.documents()["ct", 2].entry_uuid
    new = [latest, change.submission_set.entry_uuid, change.associations[0].entry_uuid]
    assert desk.remove(*new) == ["ReferencesExistException"]
    assert desk.remove(*new, *everything(sent)) == []
    assert desk.documents() == {}


def test_the_manifest_of_a_study_in_the_archive_is_not_removed(desk: Desk) -> None:
    manifest = named("manifest", desk.cx)
    sent = submission(manifest)
    desk.hub.put(sent)
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
    assert desk.remove(*everything(sent)) == ["LocalPolicyRestrictionError"]


def test_who_is_no_registrar_removes_nothing_and_learns_nothing(desk: Desk) -> None:
    sent = submission(named("ct", desk.cx))
    desk.hub.put(sent)
    reader = desk.hub.token("reader", None, Role.RADIOLOGIST)
    refused = desk.remove(*everything(sent), by=reader)
    assert set(refused) == {"UnresolvedReferenceException"}
    assert list(desk.documents()) == [("ct", 1)]


def test_nothing_of_a_person_under_a_legal_hold_is_removed_until_it_is_lifted(desk: Desk) -> None:
    hub = desk.hub
    sent = submission(named("ct", desk.cx))
    hub.put(sent)
    holds = LegalHolds(hub.database, hub.clock, SamePerson(hub.database))
    person = desk.cx.partition("^")[0]
    hold = holds.place(HoldRequest(person, "wang", "court"), lambda *_: None)
    assert set(desk.remove(*everything(sent))) == {"LocalPolicyRestrictionError"}
    assert list(desk.documents()) == [("ct", 1)]
    holds.lift(hold.hold_id, "wang", "over", lambda *_: None)
    assert desk.remove(*everything(sent)) == []
