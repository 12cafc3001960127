"""Signed reports in the registry: APND to the manifest, RPLC by a correction, ended by a recall."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from pydicom import dcmread

from eir_versions.reports.tables import EirReportRow
from hub_kernel.events import ReportReceived, ReportsFiled, StudyCompleted
from hub_kernel.identifiers import new_urn_uuid
from hub_runtime.commands.registry import verified_parts
from tests.eir_versions.documents import PDF, key_object, pdf_report, report
from tests.eir_versions.hubs import STUDY, slice_of
from tests.hub_runtime.filed_reports import Clinic, open_clinic
from tests.xds_registry.cda_structure import findings
from xds_registry import report_documents, store
from xds_registry.derived_submission import derived_submission
from xds_registry.errors import ReportsChangedError
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry
from xds_registry.report_documents import ReportDocuments
from xds_registry.repository import DocumentRepository
from xds_registry.store_replacing import deprecate
from xds_registry.transactions.iti86_remove_documents import is_own_document
from xds_registry.verification_findings import DriftKind
from xds_registry.verification_repair import register_again

APPENDS, REPLACES = AssociationType.APPENDS, AssociationType.REPLACES
CDA = "{urn:hl7-org:v3}"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    opened = open_clinic(tmp_path_factory.mktemp("filed") / "data")
    yield opened
    opened.hub.close()


def test_a_signed_result_is_appended_to_the_manifest(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "双肺清晰\n未见结节 <b>&\x0b")
    entry, manifest = clinic.the_one(study), clinic.manifest(study)
    assert clinic.relations(entry) == {(APPENDS, manifest.entry_uuid)}
    assert (entry.mime_type, entry.format_code.code) == ("text/xml", "urn:ihe:rad:TEXT")
    assert (entry.class_code.code, entry.type_code.code) == ("REPORTS", "18747-6"), "of a CT"
    assert (entry.title, entry.creation_time[:12]) == ("胸部CT报告", "202603011000")
    assert (entry.authors[0].person, entry.legal_authenticator) == ("^李医师", "^李医师")
    assert entry.authors[0].institutions == manifest.authors[0].institutions
    shared = ("patient_id", "linked_identifier", "source_patient_id", "reference_ids")
    assert all(getattr(entry, name) == getattr(manifest, name) for name in shared)
    data = clinic.data(entry)
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    assert (entry.sha1, entry.size) == (digest, len(data))
    assert findings(data) == []
    root = etree.fromstring(data)
    assert [one.text for one in root.iter(f"{CDA}title")][1:] == ["影像所见", "诊断意见"]
    sections = [["".join(p.itertext()) for p in one] for one in root.iter(f"{CDA}text")]
    assert sections == [["双肺清晰未见结节 <b>&", "续"], ["未见异常"]]
    assert [one.get("extension") for one in root.iter(f"{CDA}id")][1] == "AP1"
    assert root.find(f"{CDA}id").get("root") == entry.unique_id


def test_the_same_event_twice_registers_once(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "once")
    before = clinic.the_one(study)
    clinic.tell(study, "once")
    clinic.publish(ReportReceived, study, report_id="whichever")
    clinic.publish(ReportsFiled, study)
    clinic.complete_again(study, 1)
    assert clinic.entries(study) == [before]


def test_a_draft_its_signature_its_correction_and_its_end(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "draft", "P")
    assert clinic.entries(study) == []
    clinic.tell(study, "signed")
    first, appended = clinic.the_one(study), (APPENDS, clinic.manifest(study).entry_uuid)
    clinic.tell(study, "corrected", "C")
    second = clinic.the_one(study)
    assert clinic.relations(second) == {appended, (REPLACES, first.entry_uuid)}
    assert second.unique_id != first.unique_id
    assert b"corrected" in clinic.data(second)
    clinic.tell(study, "an addition", order_key="another order")
    assert len(clinic.in_force(study)) == 2, "another order's report stands beside it"
    clinic.tell(study, "taken back", "X")
    (left,) = clinic.in_force(study)
    assert b"an addition" in clinic.data(left)
    assert clinic.manifest(study).status == AvailabilityStatus.APPROVED


def test_a_pdf_is_registered_as_it_is(clinic: Clinic) -> None:
    study = clinic.study(pdf_report(1), pdf_report(2, PDF + b"%draft", verified=False))
    entry = clinic.the_one(study)
    assert (entry.mime_type, entry.format_code.code) == ("application/pdf", "urn:ihe:rad:PDF")
    assert clinic.data(entry) == PDF
    clinic.tell(study, "with a PDF", pdf=PDF + b"%oru")
    assert {clinic.data(one) for one in clinic.in_force(study)} == {PDF, PDF + b"%oru"}


def test_a_structured_report_is_registered_until_it_is_rejected(clinic: Clinic) -> None:
    study = clinic.study(report(1, "draft", verified=False))
    assert clinic.entries(study) == []
    clinic.store(report(2, "signed", after=1), study)
    clinic.complete(study)
    first = clinic.the_one(study)
    assert (first.mime_type, first.format_code.code) == (
        "application/dicom",
        "1.2.840.10008.5.1.4.1.1.88.11",
    )
    read = dcmread(io.BytesIO(clinic.data(first)))
    assert read.SOPInstanceUID == f"{study}.9.2"
    assert read.file_meta.get((0x0002, 0x0100)) is None, "who sent it stays inside"
    clinic.store(report(3, "corrected", after=2), study)
    clinic.complete(study)
    second = clinic.the_one(study)
    assert second.unique_id != first.unique_id
    clinic.store(key_object(8, "113001", f"{study}.9.3"), study)
    clinic.deliver()
    back = clinic.the_one(study)
    assert back.unique_id == first.unique_id, "the correction was taken back"
    clinic.complete(study)
    assert clinic.the_one(study).unique_id == first.unique_id


def test_a_late_instance_appends_the_same_documents_to_the_new_manifest(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "stays")
    first = clinic.the_one(study)
    data = clinic.data(first)
    clinic.store(slice_of(1), study)
    clinic.complete(study)
    second = clinic.the_one(study)
    assert clinic.relations(second) == {(APPENDS, clinic.manifest(study).entry_uuid)}
    assert second.entry_uuid != first.entry_uuid
    assert (second.unique_id, second.sha1, clinic.data(second)) == (
        first.unique_id,
        first.sha1,
        data,
    )
    clinic.complete_again(study, 1)
    assert clinic.the_one(study) == second, "a late copy of an old completion"


def test_a_report_waits_for_its_study_and_for_the_manifest(clinic: Clinic) -> None:
    early = f"{STUDY}.913.9001"
    clinic.tell(early, "before its study", patient="EARLY")
    clinic.store(slice_of(0), early, "EARLY")
    clinic.tell(early, "before its manifest", order_key="second")
    assert clinic.entries(early) == []
    clinic.complete(early)
    said = sorted(clinic.data(one) for one in clinic.in_force(early))
    assert len(said) == 2
    assert b"before its study" in b"".join(said)
    assert {kind for one in clinic.in_force(early) for kind, _ in clinic.relations(one)} == {
        APPENDS
    }


def test_a_study_taken_back_whole_takes_its_reports_along(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "of nothing")
    clinic.store(key_object(8, "113001", f"{study}.1.1"), study)
    clinic.complete(study)
    assert clinic.hub.registry.manifest_of(study) is None
    assert clinic.in_force(study) == []
    clinic.tell(study, "later still", "C")
    assert clinic.in_force(study) == []


def test_the_report_follows_its_person_through_merge_and_unmerge(clinic: Clinic) -> None:
    study, other = clinic.study(patient="M1"), clinic.study(patient="M2")
    clinic.tell(study, "whose")
    entry, documents = clinic.the_one(study), clinic.hub.registry.documents
    one, two = clinic.person(study), clinic.person(other)
    assert entry.unique_id in documents.unique_ids(one) - documents.unique_ids(two)
    decision = clinic.merge(survivor=two, subsumed=one)
    assert entry.unique_id in documents.unique_ids(two)
    clinic.tell(study, "corrected by then", "C")
    corrected = clinic.the_one(study)
    assert (REPLACES, entry.entry_uuid) in clinic.relations(corrected)
    clinic.take_back(decision)
    assert {corrected.unique_id, entry.unique_id} <= documents.unique_ids(one)
    assert corrected.unique_id not in documents.unique_ids(two)
    assert clinic.the_one(study) == corrected


def documents_of(clinic: Clinic) -> ReportDocuments:
    """Return what registers the clinic's reports, to be called without the task engine."""
    registry = clinic.hub.registry
    assert registry.reports is not None
    return ReportDocuments(
        clinic.hub.database,
        registry._repository,  # noqa: SLF001
        registry.intake,
        registry._domain,  # noqa: SLF001
        registry.reports,
    )


class PowerFailedError(Exception):
    """Stands for whatever may end a transaction."""


def test_what_changes_between_reading_and_writing_is_not_registered(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = clinic.study()
    clinic.tell(study, "signed", deliver=False)
    documents = documents_of(clinic)
    reading = report_documents.report_drift
    later = iter(["corrected"])

    def and_then(*arguments: object, **options: object):  # type: ignore[no-untyped-def]
        found = reading(*arguments, **options)  # type: ignore[arg-type]
        for text in later:
            clinic.tell(study, text, "C", deliver=False)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(report_documents, "report_drift", and_then)
        with pytest.raises(ReportsChangedError):
            documents.follow(study)
    assert clinic.entries(study) == []
    clinic.deliver()
    assert b"corrected" in clinic.data(clinic.the_one(study))


def test_a_failure_on_the_way_leaves_nothing_and_is_made_good(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = clinic.study()
    clinic.tell(study, "first")
    before = clinic.the_one(study)
    clinic.tell(study, "second", "C", deliver=False)

    def fail(*_arguments: object) -> None:
        raise PowerFailedError

    # Before anything of the document is written, and when all of it is.
    for owner, step in ((DocumentRepository, "record"), (report_documents, "documents_registered")):
        with monkeypatch.context() as patched, pytest.raises(PowerFailedError):
            patched.setattr(owner, step, fail)
            documents_of(clinic).follow(study)
        assert clinic.entries(study) == [before]
    clinic.deliver()
    assert (REPLACES, before.entry_uuid) in clinic.relations(clinic.the_one(study))


def test_the_timeline_shows_a_report_with_its_study_alone(clinic: Clinic) -> None:
    study = clinic.study()
    clinic.tell(study, "one card")
    entry = clinic.the_one(study)
    person, documents = clinic.person(study), clinic.hub.registry.documents
    assert documents.of(person) == []
    assert clinic.hub.eir.reported([study]) == {study: "current"}
    assert documents.find(entry.entry_uuid) is not None, "who has its address may read it"
    assert entry.unique_id in documents.unique_ids(person)
    other = submit_beside(clinic, entry, clinic.manifest(study))
    assert [one.entry for one in documents.of(person)] == [other], "what another source says"
    with clinic.hub.database.read() as session:
        assert is_own_document(session, entry.unique_id)
        assert not is_own_document(session, other.unique_id)
    clinic.tell(study, "corrected", "C")
    assert [one.entry for one in documents.of(person)] == [other]


def submit_beside(clinic: Clinic, entry: DocumentEntry, manifest: DocumentEntry) -> DocumentEntry:
    """Register another source's report on the same manifest, with the hub's own slot copied."""
    other = replace(entry, entry_uuid=new_urn_uuid(), unique_id="1.2.826.0.1.3680043.10.7.913.1")
    repository = documents_of(clinic).repository
    with clinic.hub.database.unit_of_work() as work:
        (held,) = repository.find(work.session, [entry.unique_id])
        repository.record(work.session, replace(held, unique_id=other.unique_id))
        relations = [(APPENDS, manifest.entry_uuid)]
        store.register(work.session, derived_submission(other, entry.type_code, relations))
    return other


def test_drift_is_found_and_repaired(clinic: Clinic) -> None:
    missing, left = clinic.study(), clinic.study()
    clinic.tell(missing, "deprecated by hand")
    clinic.tell(left, "stays though it was taken back")
    assert clinic.drifts() == ()
    with clinic.hub.database.unit_of_work() as work:
        deprecate(work.session, [clinic.the_one(missing).entry_uuid])
        ((_, (report_id,)),) = clinic.the_one(left).extra_slots
        work.session.get_one(EirReportRow, report_id).status = "withdrawn"
    drifts = clinic.drifts()
    assert {(one.kind, one.subject) for one in drifts} == {
        (DriftKind.REPORT_MISSING, missing),
        (DriftKind.REPORT_LEFT, left),
    }
    assert all(one.remedy and one.subject in one.what for one in drifts)
    assert register_again(verified_parts(clinic.hub), drifts) == 2
    clinic.deliver()
    assert clinic.drifts() == ()
    assert len(clinic.in_force(missing)) == 1
    assert clinic.in_force(left) == []


def test_without_the_setting_nothing_is_registered(tmp_path: Path) -> None:
    opened = open_clinic(tmp_path / "plain", report_documents=False)
    try:
        assert opened.hub.registry.reports is None
        heard = [one.event_type for one in opened.hub.registry.subscribers()]
        assert ReportReceived not in heard
        assert StudyCompleted in heard
    finally:
        opened.hub.close()
