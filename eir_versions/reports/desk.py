"""Where reports come in: from the documents of a study, and as results of an HL7 sender.

A result is given to the study that its sender's site made, and only if it speaks of the same
person; until then it waits, to be looked at again whenever a study of that number is complete.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import BinaryIO, Protocol

from sqlalchemy.orm import Session

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.rendition_store import RenditionStore
from eir_versions.reports import ledger
from eir_versions.reports.ledger import Belonging, WaitingReport
from eir_versions.reports.model import (
    Report,
    ReportLine,
    ReportStatus,
    ReportText,
    ShownReport,
    Standing,
    StoredDocument,
    standings,
)
from eir_versions.reports.structured import PDF_CLASS, REPORT_CLASSES
from hub_kernel.database import Database, UnitOfWork
from hub_kernel.events import ReportReceived, ReportsFiled, new_event
from hub_kernel.identifiers import PatientIdentifier
from image_archive.model import InstanceRecord, StudyRecord
from image_archive.query import IndexAnswer, IndexQuery, Level
from image_archive.scope import shown_among
from patient_index.hl7v2.results import ReceivedResult

NO_STUDY = "no_study"
SEVERAL_STUDIES = "several_studies"
OTHER_PATIENT = "other_patient"
_DOCUMENTS = REPORT_CLASSES | {PDF_CLASS}
_STATUSES = {
    "F": ReportStatus.FINAL,
    "C": ReportStatus.CORRECTED,
    "X": ReportStatus.WITHDRAWN,
    "W": ReportStatus.WITHDRAWN,
}
_UNFINISHED = frozenset({Standing.PRELIMINARY, Standing.UNREADABLE})
_WILD = frozenset("*?\\")
# What failed for want of a moment, or of a child, is tried again with the next event.
_PASSING = frozenset({reasons.DECODER_CRASHED, reasons.DECODER_OUT_OF_MEMORY, reasons.NOT_STORED})


class StudyFinder(Protocol):
    """What is asked of the archive's index (`image_archive.index.ArchiveIndex`)."""

    def study(
        self, study_instance_uid: str, /, *, with_rejected: bool = False
    ) -> StudyRecord | None:
        """Return the study, None when there is none."""
        ...

    def find(self, query: IndexQuery, /) -> IndexAnswer:
        """Answer a query."""
        ...


class OpensInstances(Protocol):
    """Gives the stored Part 10 file of an instance."""

    def opened(self, sop_instance_uid: str) -> BinaryIO:
        """Return the file; raises UnrenderableInstanceError."""
        ...


@dataclass(frozen=True)
class DeskParts:
    """What the desk works with.

    `person_of` gives the global ID of an identifier, `sites_of_sender` the sites whose numbers a
    sender issues. `matched` is told, in the same transaction, that a waiting report has its study.
    `time_zone` is that of whoever names none.
    """

    database: Database
    studies: StudyFinder
    instances: OpensInstances
    pool: DecoderPool
    kept: RenditionStore
    person_of: Callable[[PatientIdentifier], str | None] = lambda _: None
    sites_of_sender: Callable[[str], frozenset[str]] = lambda _: frozenset()
    matched: Callable[[Session, Report, str], None] = lambda _session, _report, _study: None
    time_zone: tzinfo = UTC


class ReportDesk:
    """Takes reports in and says which stand."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts

    def standing(
        self, study_instance_uid: str, instances: Iterable[InstanceRecord]
    ) -> tuple[ShownReport, ...]:
        """Return the reports of a study, those in force first.

        A document that was taken back, and so is not among `instances`, says nothing any more.
        """
        here = {f"sop:{one.sop_instance_uid}" for one in instances}
        with self._parts.database.read() as session:
            found = ledger.reports_of(session, study_instance_uid)
        return standings(one for one in found if one.kind == "oru" or one.source_key in here)

    def standing_in(self, session: Session, study_instance_uid: str) -> tuple[ShownReport, ...]:
        """Return what `standing` does of what the study holds in the caller's transaction."""
        found = ledger.reports_of(session, study_instance_uid)
        documents = {sop for one in found if (sop := one.sop_instance_uid)}
        here = shown_among(session, documents)
        return standings(one for one in found if one.kind == "oru" or one.sop_instance_uid in here)

    def find(self, report_id: str) -> Report | None:
        """Return a report by its identifier, None where there is none."""
        with self._parts.database.read() as session:
            return ledger.find_report(session, report_id)

    def pdf(self, document: StoredDocument) -> bytes:
        """Return the bytes of a PDF.

        Raises:
            RenditionLostError: they are gone or are no longer what was received.
        """
        return self._parts.kept.load(document.storage_key, document.sha256)

    def waiting(self) -> list[WaitingReport]:
        """Return the results that belong to no study yet, the longest waiting first."""
        with self._parts.database.read() as session:
            return ledger.all_waiting(session)

    def unfinished(self) -> list[ShownReport]:
        """Return the reports of studies that stand unsigned or could not be read, latest first.

        A document that was taken back since is still among them; who shows them looks for it.
        """
        with self._parts.database.read() as session:
            studies = ledger.unfinished_studies(session)
        return [one for study in studies for one in standings(study) if one.standing in _UNFINISHED]

    def take_documents(self, study: StudyRecord, instances: Iterable[InstanceRecord]) -> None:
        """Read the study's documents that are not on record yet; one that cannot be is noted so."""
        documents = [one for one in instances if one.sop_class_uid in _DOCUMENTS]
        keys = [f"sop:{one.sop_instance_uid}" for one in documents]
        if not documents:
            return
        with self._parts.database.read() as session:
            known = ledger.known_sources(session, keys)
        for instance, key in zip(documents, keys, strict=True):
            found = None if key in known else self._read(instance, key)
            if found is not None:
                pdf = self._kept(found.pdf)
                belonging = Belonging(study.study_instance_uid, site_ids=frozenset({study.site_id}))
                with self._parts.database.unit_of_work() as work:
                    at = instance.received_at
                    if ledger.add_report(work.session, found, belonging, at, pdf) is not None:
                        _publish_filed(work, study.study_instance_uid)

    def take_result(self, result: ReceivedResult, recorded: Callable[[Session, str], None]) -> None:
        """Put a result on record, with its study or waiting for it; the same message again is one.

        `recorded` is called in the same transaction with what became of it: "matched", "received
        before", or "waiting" and why.
        """
        found, pdf = self._placed(report_text(result)), self._kept(result.pdf)
        belonging = self._belonging(result)
        with self._parts.database.unit_of_work() as work:
            received_at = work.clock.now()
            report_id = ledger.add_report(work.session, found, belonging, received_at, pdf)
            if report_id is None:
                recorded(work.session, "received before")
                return
            if belonging.study_instance_uid:
                _publish(work, belonging.study_instance_uid, report_id)
            waiting = belonging.waiting
            recorded(work.session, f"waiting: {waiting}" if waiting else "matched")

    def match_waiting(self, study: StudyRecord) -> int:
        """Give the study the results that waited for it; return how many."""
        keys = [f"uid:{study.study_instance_uid}"]
        if study.accession_number.strip():
            keys.append(_accession_key(study.accession_number))
        with self._parts.database.read() as session:
            waiting = ledger.waiting_for(session, keys)
        return sum(self._matched(one, study) for one in waiting)

    def _matched(self, waiting: WaitingReport, study: StudyRecord) -> bool:
        if study.site_id not in waiting.site_ids:
            return False
        report = waiting.report
        same_person = self._same_person(study, waiting.patients)
        with self._parts.database.unit_of_work() as work:
            if not same_person:
                ledger.note_waiting(work.session, report.report_id, OTHER_PATIENT)
                return False
            uid = study.study_instance_uid
            done = ledger.match(work.session, report.report_id, uid, work.clock.now())
            if done:
                self._parts.matched(work.session, report, uid)
                _publish_filed(work, uid)
            return done

    def _belonging(self, result: ReceivedResult) -> Belonging:
        sites = self._parts.sites_of_sender(result.sender)
        keys = [f"uid:{result.study_instance_uid}"] if result.study_instance_uid else []
        keys += [_accession_key(one) for one in result.accession_numbers]
        waits = Belonging(
            waiting=NO_STUDY,
            sender=result.sender,
            site_ids=sites,
            accession_number=next(iter(result.accession_numbers), ""),
            patients=result.patients,
            keys=tuple(keys),
        )
        studies = self._named(result, sites)
        if len(studies) > 1:
            return replace(waits, waiting=SEVERAL_STUDIES)
        if not studies:
            return waits
        if not self._same_person(studies[0], result.patients):
            return replace(waits, waiting=OTHER_PATIENT)
        return replace(waits, waiting="", study_instance_uid=studies[0].study_instance_uid)

    def _named(self, result: ReceivedResult, sites: frozenset[str]) -> list[StudyRecord]:
        """Return the studies of the sender's sites that a result names: by UID, else by number."""
        if result.study_instance_uid:
            study = self._parts.studies.study(result.study_instance_uid)
            return [study] if study and study.site_id in sites else []
        for number in result.accession_numbers:
            found = self._of_accession(number, sites)
            if found:
                return found
        return []

    def _of_accession(self, number: str, sites: frozenset[str]) -> list[StudyRecord]:
        if _WILD & set(number) or not sites:
            return []
        query = IndexQuery(Level.STUDY, {"AccessionNumber": number}, site_ids=sites, limit=10)
        matches = self._parts.studies.find(query).matches
        studies = [match.study for match in matches if match.study is not None]
        wanted = _accession_key(number)
        return [one for one in studies if _accession_key(one.accession_number) == wanted]

    def _same_person(self, study: StudyRecord, patients: Collection[PatientIdentifier]) -> bool:
        if study.patient in patients:
            return True
        person = self._parts.person_of(study.patient)
        return person is not None and any(self._parts.person_of(p) == person for p in patients)

    def _read(self, instance: InstanceRecord, key: str) -> ReportText | None:
        """Return what a document says; None where it is worth another try."""
        try:
            with self._parts.instances.opened(instance.sop_instance_uid) as source:
                found = self._parts.pool.report(source)
        except UnrenderableInstanceError as error:
            if error.reason in _PASSING:
                return None
            return ReportText(key, key, "sr", ReportStatus.UNREADABLE, "", "", None, ())
        return self._placed(replace(found, source_key=key))

    def _placed(self, found: ReportText) -> ReportText:
        """Put a time that names no zone into the region's."""
        issued = found.issued_at
        if issued is None or issued.tzinfo is not None:
            return found
        return replace(found, issued_at=issued.replace(tzinfo=self._parts.time_zone))

    def _kept(self, pdf: bytes | None) -> StoredDocument | None:
        if pdf is None:
            return None
        storage_key = self._parts.kept.store(pdf)
        return StoredDocument(storage_key, storage_key.rpartition("/")[2], len(pdf))


def report_text(result: ReceivedResult) -> ReportText:
    """Return a result as a report; only F and C are signed (HL7 tables 0123 and 0085)."""
    return ReportText(
        source_key=result.message_key,
        chain_key=f"order:{result.sender}:{result.order_key}"[:128],
        kind="oru",
        status=_STATUSES.get(result.status, ReportStatus.PRELIMINARY),
        title=result.title[:200],
        author=result.author[:200],
        issued_at=result.issued_at,
        lines=tuple(ReportLine(text, name) for name, text in result.paragraphs),
        pdf=result.pdf,
    )


def _publish(work: UnitOfWork, study_instance_uid: str, report_id: str) -> None:
    received = new_event(
        ReportReceived, work.clock, study_instance_uid=study_instance_uid, report_id=report_id
    )
    work.publish(received)


def _publish_filed(work: UnitOfWork, study_instance_uid: str) -> None:
    work.publish(new_event(ReportsFiled, work.clock, study_instance_uid=study_instance_uid))


def _accession_key(number: str) -> str:
    return f"acc:{number.strip()[:64]}"
