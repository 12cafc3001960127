"""The reports of a study as the registry files them: read from the ledger of reports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from eir_versions.reports.desk import ReportDesk
from eir_versions.reports.model import Report, ShownReport, Standing
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.exporting import as_stored
from image_archive.index import ArchiveIndex
from image_archive.scope import shown_among
from xds_registry.report_documents import StudyReport

_STRUCTURED = "sr"


@dataclass(frozen=True)
class FiledReports:
    """Gives what stands of a study's reports, and their bytes as they leave the hub."""

    desk: ReportDesk
    index: ArchiveIndex
    backend: ArchiveBackend

    def __call__(self, session: Session, study_instance_uid: str) -> Sequence[StudyReport]:
        """Return every report of the study; those in force are signed."""
        standing = self.desk.standing_in(session, study_instance_uid)
        structured = {one.report.sop_instance_uid for one in standing if _is_structured(one.report)}
        classes = shown_among(session, structured)
        return [
            self._study_report(one, classes.get(one.report.sop_instance_uid, ""))
            for one in standing
        ]

    def _study_report(self, shown: ShownReport, sop_class_uid: str) -> StudyReport:
        report = shown.report
        return StudyReport(
            report_id=report.report_id,
            chain=report.chain_key,
            in_force=shown.standing is Standing.CURRENT,
            title=report.title,
            author=report.author,
            made_at=report.issued_at or report.received_at,
            sop_class_uid=sop_class_uid if _is_structured(report) else "",
            paragraphs=[(line.name, line.text) for line in report.lines],
            read=self._reading(report),
        )

    def _reading(self, report: Report) -> Callable[[], bytes] | None:
        if _is_structured(report):
            return partial(self._instance, report.sop_instance_uid)
        return partial(self.desk.pdf, report.pdf) if report.pdf else None

    def _instance(self, sop_instance_uid: str) -> bytes:
        instance = self.index.instance(sop_instance_uid)
        if instance is None:
            raise NotFoundError("the report's document is not archived any more")
        return b"".join(as_stored(self.backend, instance).open())


def _is_structured(report: Report) -> bool:
    return report.kind == _STRUCTURED
