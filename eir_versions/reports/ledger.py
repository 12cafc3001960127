"""Reports on record: rows in, `Report` out."""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from eir_versions.reports.model import Report, ReportStatus, ReportText, StoredDocument
from eir_versions.reports.tables import EirReportKeyRow, EirReportRow
from eir_versions.reports.wire import line_of
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier

_MOST_SHOWN = 1_000
_MOST_STUDIES = 200
_UNFINISHED = (ReportStatus.PRELIMINARY.value, ReportStatus.UNREADABLE.value)


@dataclass(frozen=True)
class Belonging:
    """Where a report belongs, or what it waits for and whose it says it is.

    `keys` are what is looked for: `acc:` and an accession number, or `uid:` and a study.
    """

    study_instance_uid: str = ""
    waiting: str = ""
    sender: str = ""
    site_ids: frozenset[str] = frozenset()
    accession_number: str = ""
    patients: tuple[PatientIdentifier, ...] = ()
    keys: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class WaitingReport:
    """A report that belongs to no study yet, with what it was sent with."""

    report: Report
    site_ids: frozenset[str]
    patients: tuple[PatientIdentifier, ...]


def known_sources(session: Session, source_keys: Collection[str]) -> frozenset[str]:
    """Return those of the documents that are on record."""
    wanted = EirReportRow.source_key.in_(source_keys)
    return frozenset(session.scalars(select(EirReportRow.source_key).where(wanted)))


def add_report(
    session: Session,
    found: ReportText,
    belonging: Belonging,
    received_at: datetime,
    pdf: StoredDocument | None,
) -> str | None:
    """Put a report on record and return its identifier; None where its document is already."""
    if known_sources(session, [found.source_key]):
        return None
    chain = session.scalar(
        select(EirReportRow.chain_key).where(EirReportRow.source_key == found.chain_key)
    )
    row = _row(found, belonging, received_at, pdf)
    row.chain_key = chain or found.chain_key
    session.add(row)
    session.flush()
    if belonging.waiting:
        keys = dict.fromkeys(belonging.keys)
        session.add_all(EirReportKeyRow(report_id=row.report_id, key=key) for key in keys)
        session.flush()
    return row.report_id


def reports_of(session: Session, study_instance_uid: str) -> list[Report]:
    """Return every report of a study, in force or not, in the order they came in."""
    rows = session.scalars(
        select(EirReportRow)
        .where(EirReportRow.study_instance_uid == study_instance_uid)
        .order_by(EirReportRow.received_at, EirReportRow.report_id)
    )
    return [_report(row) for row in rows]


def find_report(session: Session, report_id: str) -> Report | None:
    """Return a report by its identifier, None where there is none."""
    row = session.get(EirReportRow, report_id)
    return None if row is None else _report(row)


def waiting_for(session: Session, keys: Collection[str]) -> list[WaitingReport]:
    """Return the waiting reports that look for one of `keys`."""
    wanted = select(EirReportKeyRow.report_id).where(EirReportKeyRow.key.in_(keys))
    rows = session.scalars(select(EirReportRow).where(EirReportRow.report_id.in_(wanted)))
    return _waiting(rows)


def all_waiting(session: Session) -> list[WaitingReport]:
    """Return the reports that belong to no study yet, the longest waiting first."""
    rows = session.scalars(
        select(EirReportRow)
        .where(EirReportRow.study_instance_uid == "")
        .order_by(EirReportRow.received_at)
        .limit(_MOST_SHOWN)
    )
    return _waiting(rows)


def unfinished_studies(session: Session) -> list[list[Report]]:
    """Return the reports of studies that have one unsigned or unreadable, the latest of it first.

    Of each study all reports, so that it can be told which of them stand.
    """
    latest = func.max(EirReportRow.received_at)
    uids = session.scalars(
        select(EirReportRow.study_instance_uid)
        .where(EirReportRow.study_instance_uid != "", EirReportRow.status.in_(_UNFINISHED))
        .group_by(EirReportRow.study_instance_uid)
        .order_by(latest.desc())
        .limit(_MOST_STUDIES)
    ).all()
    found: dict[str, list[Report]] = {uid: [] for uid in uids}
    rows = session.scalars(
        select(EirReportRow)
        .where(EirReportRow.study_instance_uid.in_(uids))
        .order_by(EirReportRow.received_at, EirReportRow.report_id)
    )
    for row in rows:
        found[row.study_instance_uid].append(_report(row))
    return list(found.values())


def match(session: Session, report_id: str, study_instance_uid: str, matched_at: datetime) -> bool:
    """Give a waiting report to its study; False where it has one already."""
    row = session.get(EirReportRow, report_id, with_for_update=True, populate_existing=True)
    if row is None or row.study_instance_uid:
        return False
    row.study_instance_uid, row.waiting, row.matched_at = study_instance_uid, "", matched_at
    session.execute(delete(EirReportKeyRow).where(EirReportKeyRow.report_id == report_id))
    return True


def note_waiting(session: Session, report_id: str, waiting: str) -> None:
    """Write down why a report still waits."""
    row = session.get(EirReportRow, report_id)
    if row is not None and not row.study_instance_uid:
        row.waiting = waiting


def _row(
    found: ReportText, belonging: Belonging, received_at: datetime, pdf: StoredDocument | None
) -> EirReportRow:
    lines = [asdict(line) for line in found.lines]
    return EirReportRow(
        report_id=str(uuid.uuid4()),
        source_key=found.source_key,
        chain_key=found.chain_key,
        study_instance_uid=belonging.study_instance_uid,
        waiting=belonging.waiting,
        kind=found.kind,
        status=found.status.value,
        title=found.title,
        author=found.author,
        sender=belonging.sender,
        site_ids=sorted(belonging.site_ids),
        accession_number=belonging.accession_number[:64],
        patients=[[p.value, p.issuer.namespace, p.issuer.oid] for p in belonging.patients],
        issued_at=found.issued_at,
        received_at=received_at,
        matched_at=None,
        sha256=_digest(found, lines, pdf),
        lines=lines,
        cut=found.cut,
        pdf_key=pdf.storage_key if pdf else "",
        pdf_sha256=pdf.sha256 if pdf else "",
        pdf_size=pdf.size if pdf else 0,
    )


def _digest(found: ReportText, lines: object, pdf: StoredDocument | None) -> str:
    """The digest of all that a reader of the report sees."""
    said = [found.source_key, found.status.value, found.title, found.author, lines]
    said += [found.issued_at and found.issued_at.isoformat(), pdf and pdf.sha256]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _waiting(rows: Iterable[EirReportRow]) -> list[WaitingReport]:
    return [
        WaitingReport(
            _report(row),
            frozenset(row.site_ids),
            tuple(
                PatientIdentifier(value, AssigningAuthority(namespace, oid))
                for value, namespace, oid in row.patients
            ),
        )
        for row in rows
    ]


def _report(row: EirReportRow) -> Report:
    pdf = StoredDocument(row.pdf_key, row.pdf_sha256, row.pdf_size) if row.pdf_key else None
    return Report(
        report_id=row.report_id,
        study_instance_uid=row.study_instance_uid,
        source_key=row.source_key,
        chain_key=row.chain_key,
        kind=row.kind,
        status=ReportStatus(row.status),
        title=row.title,
        author=row.author,
        issued_at=row.issued_at,
        received_at=row.received_at,
        sha256=row.sha256,
        lines=tuple(line_of(one) for one in row.lines),
        cut=row.cut,
        pdf=pdf,
        sender=row.sender,
        accession_number=row.accession_number,
        waiting=row.waiting,
    )
