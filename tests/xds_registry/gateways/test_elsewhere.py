"""What a reader at A sees of B: its documents, the pictures of its manifest, and nothing beyond."""

import io

import pytest
from pydicom import dcmread
from sqlalchemy import select

from access_control.audit import AuditQuery
from access_control.model import Role, Subject, SubjectKind
from tests.xds_registry.gateways.conftest import STUDY, Federated
from xds_registry.gateways.elsewhere import DocumentAddress, NothingRetrievedError, Reader
from xds_registry.tables import DocumentEntryRow


def reader(name: str, *sites: str) -> Reader:
    return Reader(
        Subject(SubjectKind.USER, name, name, frozenset({Role.CLINICIAN}), frozenset(sites)),
        "127.0.0.1",
    )


def manifest_at_b(federated: Federated) -> DocumentAddress:
    named = federated.b.named
    return DocumentAddress(named.home_id, named.repository_id, federated.manifest)


def test_documents_of_the_other_community_are_told_with_its_name(federated: Federated) -> None:
    asked = federated.a.registry.elsewhere
    found = asked.documents(federated.patient_at_a, reader("doctor", "h"))
    (entry,) = found.entries
    assert entry.unique_id == federated.manifest
    with federated.b.hub.database.read() as session:
        held = session.scalars(select(DocumentEntryRow.entry_uuid)).all()
    assert len(held) == 4, "three versions stand beside the manifest and are not told"
    assert asked.name_of(entry.home_community_id) == "district 2"
    assert entry.patient_id == federated.patient_at_a
    assert found.unanswered == ()


def test_the_pictures_of_its_manifest_come_as_dicom_files_and_are_on_record(
    federated: Federated,
) -> None:
    doctor = reader("radiologist", "h")
    asked = federated.a.registry.elsewhere
    asked.documents(federated.patient_at_a, doctor)
    found = asked.pictures(manifest_at_b(federated), doctor)
    files = [dcmread(io.BytesIO(b"".join(one.open()))) for one in found]
    assert {str(one.SOPInstanceUID) for one in files} == {f"{STUDY}.1.1", f"{STUDY}.1.2"}
    assert {str(one.PatientID) for one in files} == {"B-1"}
    records = federated.a.hub.access.audit.search(AuditQuery(subject_id="radiologist")).records
    assert {one.transaction for one in records} == {"ITI-18", "ITI-43", "RAD-69"}
    assert {one.outcome for one in records} == {"success"}


def test_who_may_not_see_the_person_is_told_nothing_and_gets_nothing(federated: Federated) -> None:
    stranger = reader("stranger", "another-site")
    asked = federated.a.registry.elsewhere
    assert asked.documents(federated.patient_at_a, stranger).entries == ()
    with pytest.raises(NothingRetrievedError):
        asked.pictures(manifest_at_b(federated), stranger)


@pytest.mark.parametrize("wrong", ["home", "document"])
def test_what_is_not_there_is_not_retrieved(federated: Federated, wrong: str) -> None:
    there = manifest_at_b(federated)
    address = {
        "home": DocumentAddress("urn:oid:1.2.3", there.repository_unique_id, there.unique_id),
        "document": DocumentAddress(there.home_community_id, there.repository_unique_id, "1.2.3"),
    }[wrong]
    with pytest.raises(NothingRetrievedError):
        federated.a.registry.elsewhere.pictures(address, reader("doctor", "h"))
