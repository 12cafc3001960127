"""Signed reports as documents: each appended to its study's manifest (APND; ITI TF-3 4.2.2.2.2).

What stands for a study is read anew with every event and compared with what is registered: a
report in force that has no entry gets one, its correction replaces it (RPLC), and an entry whose
report is in force no longer is deprecated. A new generation of the manifest deprecates what was
appended to the former one (ITI TF-2 3.42.4.1.3.3); the same documents are then appended to it.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub_kernel.database import Database, UnitOfWork
from hub_kernel.events import InstancesRejected, ReportReceived, ReportsFiled
from hub_kernel.identifiers import new_urn_uuid
from hub_kernel.outbox import Subscriber
from xds_registry import store
from xds_registry.affinity_domain import AffinityDomain, ReportCodes
from xds_registry.derived_submission import derived_submission
from xds_registry.errors import ReportsChangedError
from xds_registry.manifest_metadata import plain
from xds_registry.model import (
    AssociationType,
    Author,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    dtm,
)
from xds_registry.received_parts import storage_key
from xds_registry.report_cda import Paragraph, TextReport, write_cda
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.repository_intake import DocumentIntake
from xds_registry.store_reading import End, Wanted, associations_at, documents_by_uuid
from xds_registry.store_replacing import deprecate
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow, StudyManifestRow

_EVENTS = (ReportReceived, ReportsFiled, InstancesRejected)
_SUBSCRIBERS = {kind: f"xds_registry.reports.{kind.__name__}" for kind in _EVENTS}
REPORT_SUBSCRIBERS = tuple(_SUBSCRIBERS.values())
REPORT_SLOT = "urn:eirhub:report"
CDA_TYPE, PDF_TYPE, DICOM_TYPE = "text/xml", "application/pdf", "application/dicom"
_DICOM_SCHEME = "1.2.840.10008.2.6.1"
_UNSTORED = StoredBytes("", "", "", 0)
_APPENDED = Wanted({AssociationType.APPENDS}, {AvailabilityStatus.APPROVED})


@dataclass(frozen=True)
class StudyReport:
    """One state of a report of a study; of those with one `chain` at most one is in force.

    It is the DICOM document of `sop_class_uid`, else the PDF that `read` gives, else `paragraphs`.
    `read` is None where it is text alone.
    """

    report_id: str
    chain: str
    in_force: bool
    title: str
    author: str
    made_at: datetime
    sop_class_uid: str = ""
    paragraphs: Sequence[Paragraph] = field(default=(), repr=False)
    read: Callable[[], bytes] | None = None

    @property
    def unique_id(self) -> str:
        """The uniqueId of its document, which stays the same in every entry about it."""
        return _unique_id(self.report_id)

    @property
    def mime_type(self) -> str:
        """The media type of its document."""
        if self.sop_class_uid:
            return DICOM_TYPE
        return PDF_TYPE if self.read else CDA_TYPE


StudyReports = Callable[[Session, str], Sequence[StudyReport]]
"""Gives the reports of a study, signed ones and others, in the caller's transaction."""


def is_report(entry: DocumentEntry) -> bool:
    """Tell whether the entry is a report of a study, which readers find with the study itself."""
    return entry.unique_id in {_unique_id(one) for one in _report_ids(entry)}


def is_own_report(session: Session, unique_id: str) -> bool:
    """Tell whether the hub registered this document as a report of a study in its archive."""
    held = session.get(RepositoryDocumentRow, unique_id) is not None
    return held and any(map(is_report, store.documents_by_unique_id(session, [unique_id])))


@dataclass(frozen=True)
class ReportDrift:
    """Where what is registered of a study's reports differs from what stands (`report_drift`)."""

    manifest: DocumentEntry
    missing: tuple[tuple[StudyReport, DocumentEntry | None], ...]
    left: tuple[DocumentEntry, ...]

    @property
    def is_none(self) -> bool:
        """Whether everything agrees."""
        return not self.missing and not self.left


def report_drift(
    session: Session, study_instance_uid: str, reports: StudyReports, *, lock: bool = False
) -> ReportDrift | None:
    """Compare the reports of a study with what is appended to its manifest, None without one.

    `missing` are the reports in force without an entry, each with the entry that its own replaces;
    `left` are entries of what is in force no more and is replaced by nothing. With `lock` nobody
    else registers or replaces at this manifest before the transaction ends.
    """
    manifest = _manifest_in_force(session, study_instance_uid, lock=lock)
    if manifest is None:
        return None
    standing = {one.report_id: one for one in reports(session, study_instance_uid)}
    registered = _registered(session, manifest)
    left = {
        entry.entry_uuid: (standing[report_id].chain if report_id in standing else "", entry)
        for report_id, entry in registered.items()
        if report_id not in standing or not standing[report_id].in_force
    }
    missing = []
    for one in standing.values():
        if one.in_force and one.report_id not in registered:
            former = next((entry for chain, entry in left.values() if chain == one.chain), None)
            if former is not None:
                del left[former.entry_uuid]
            missing.append((one, former))
    return ReportDrift(manifest, tuple(missing), tuple(entry for _, entry in left.values()))


@dataclass(frozen=True)
class ReportDocuments:
    """Keeps the entries of a study's reports in step with the reports."""

    database: Database
    repository: DocumentRepository
    intake: DocumentIntake
    domain: AffinityDomain
    reports: StudyReports

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here."""
        return [
            Subscriber(name, kind, self._told, queue="registration")
            for kind, name in _SUBSCRIBERS.items()
        ]

    def follow(self, study_instance_uid: str) -> None:
        """Register, replace and deprecate what the reports of the study ask for, all or nothing.

        Does nothing while no manifest of the study is in force: whoever registers one calls again.

        Raises:
            ReportsChangedError, XdsRefusalError: they, or what is registered, changed in this
                moment; to be tried again.
        """
        with self.database.read() as session:
            drift = report_drift(session, study_instance_uid, self.reports)
            if drift is None or drift.is_none:
                return
        documents = {one.report_id: self._document(one, drift.manifest) for one, _ in drift.missing}
        with self.database.unit_of_work() as work:
            drift = report_drift(work.session, study_instance_uid, self.reports, lock=True)
            if drift is not None:
                self._correct(work, drift, documents)

    def _told(self, event: ReportReceived | ReportsFiled | InstancesRejected) -> None:
        self.follow(event.study_instance_uid)

    def _correct(
        self, work: UnitOfWork, drift: ReportDrift, documents: Mapping[str, RepositoryDocument]
    ) -> None:
        deprecate(work.session, {one.entry_uuid for one in drift.left})
        for report, former in drift.missing:
            document = documents.get(report.report_id)
            if document is None:
                raise ReportsChangedError("another report has come to be in force meanwhile")
            entry = self._entry(report, drift.manifest, document.stored)
            relations = [(AssociationType.APPENDS, drift.manifest.entry_uuid)]
            if former is not None:
                relations.append((AssociationType.REPLACES, former.entry_uuid))
            codes = self.domain.report
            submission = derived_submission(entry, codes.content_type_code, relations)
            self.intake.claim(work.session, [document.stored.storage_key])
            self.repository.record(work.session, document)
            store.register(work.session, submission)
            work.publish(documents_registered(submission, work.clock))

    def _document(self, report: StudyReport, manifest: DocumentEntry) -> RepositoryDocument:
        """Return the report's document, its bytes durable; what is held already stays as it is."""
        with self.database.read() as session:
            held = self.repository.find(session, [report.unique_id])
        if held:
            return held[0]
        data = report.read() if report.read else self._cda(report, manifest)
        self.intake.expect([storage_key(hashlib.sha256(data).hexdigest())])
        stored = self.repository.store(data)
        return RepositoryDocument(report.unique_id, report.mime_type, stored)

    def _cda(self, report: StudyReport, manifest: DocumentEntry) -> bytes:
        entry = self._entry(report, manifest, _UNSTORED)
        return write_cda(TextReport(entry, report.author, report.paragraphs))

    def _entry(
        self, report: StudyReport, manifest: DocumentEntry, stored: StoredBytes
    ) -> DocumentEntry:
        """Describe the report as its study's manifest is described, whose subject it shares."""
        codes = self.domain.report
        signer = f"^{name}" if (name := plain(report.author)) else ""
        institutions = manifest.authors[0].institutions if manifest.authors else ()
        author = Author(person=signer, institutions=institutions)
        return replace(
            manifest,
            entry_uuid=new_urn_uuid(),
            unique_id=report.unique_id,
            mime_type=report.mime_type,
            class_code=codes.class_code,
            type_code=codes.type_of(one.code for one in manifest.event_codes),
            format_code=_format(report, codes),
            confidentiality_codes=(codes.confidentiality_code,),
            creation_time=dtm(report.made_at),
            title=report.title or manifest.title,
            local_titles=(),
            authors=(author,) if signer or institutions else (),
            legal_authenticator=signer,
            sha1=stored.sha1,
            size=stored.size,
            extra_slots=((REPORT_SLOT, (report.report_id,)),),
            logical_id="",
            version=1,
        )


def _format(report: StudyReport, codes: ReportCodes) -> Code:
    if report.sop_class_uid:
        return Code(report.sop_class_uid, _DICOM_SCHEME, "DICOM Structured Report")
    return codes.pdf_format if report.read else codes.text_format


def _manifest_in_force(
    session: Session, study_instance_uid: str, *, lock: bool
) -> DocumentEntry | None:
    found = session.scalar(
        select(StudyManifestRow.entry_uuid)
        .where(StudyManifestRow.study_instance_uid == study_instance_uid)
        .order_by(StudyManifestRow.generation.desc())
        .limit(1)
    )
    if found is None:
        return None
    if lock:
        session.execute(
            select(DocumentEntryRow.entry_uuid)
            .where(DocumentEntryRow.entry_uuid == found)
            .with_for_update()
        )
    entries = documents_by_uuid(session, [found])
    return next((one for one in entries if one.status == AvailabilityStatus.APPROVED), None)


def _registered(session: Session, manifest: DocumentEntry) -> dict[str, DocumentEntry]:
    """Return the entries in force of the hub's own reports at a manifest, by report."""
    into = associations_at(session, [manifest.entry_uuid], _APPENDED, [End.TARGET])
    return {
        report_id: entry
        for entry in documents_by_uuid(session, [one.source for one in into])
        if entry.status == AvailabilityStatus.APPROVED and is_report(entry)
        for report_id in _report_ids(entry)
    }


def _report_ids(entry: DocumentEntry) -> tuple[str, ...]:
    return next((values for name, values in entry.extra_slots if name == REPORT_SLOT), ())


def _unique_id(report_id: str) -> str:
    try:
        return f"2.25.{uuid.UUID(report_id).int}"
    except ValueError:
        return ""
