"""Run as a program: correct a registered report again and again, each time killed one step later.

With "torn" the entry is committed before its associations: the control, which has to fail.
Prints how many children were killed, and how many of them had registered the correction.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import select  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

from eir_versions.rendition_store import RenditionStore  # noqa: E402
from eir_versions.reports.desk import DeskParts, ReportDesk  # noqa: E402
from hub_kernel.config_files import shipped_config  # noqa: E402
from hub_kernel.database import Database  # noqa: E402
from hub_kernel.identifiers import PatientIdentifier  # noqa: E402
from hub_kernel.settings import RegistrySettings  # noqa: E402
from hub_runtime.report_documents import FiledReports  # noqa: E402
from image_archive.backends.filesystem import FilesystemBackend  # noqa: E402
from image_archive.index import ArchiveIndex  # noqa: E402
from patient_index.hl7v2.results import ReceivedResult  # noqa: E402
from tests.hub_runtime.filed_reports import EAST, SENDER, open_clinic  # noqa: E402
from tests.support.kill_steps import Step, in_child, killed_everywhere  # noqa: E402
from tests.support.statements import listen, writes  # noqa: E402
from xds_registry import report_documents, store  # noqa: E402
from xds_registry.affinity_domain import load_affinity_domain  # noqa: E402
from xds_registry.model import AvailabilityStatus, DocumentEntry, Submission  # noqa: E402
from xds_registry.report_documents import ReportDocuments, is_report  # noqa: E402
from xds_registry.repository import DocumentRepository, StoredBytes  # noqa: E402
from xds_registry.repository_intake import DocumentIntake  # noqa: E402
from xds_registry.store_replacing import follow_up  # noqa: E402
from xds_registry.store_rows import add, association_row  # noqa: E402
from xds_registry.tables import StudyManifestRow, XdsAssociationRow  # noqa: E402
from xds_registry.version_documents import is_version  # noqa: E402

ROOT = Path(sys.argv[1])
LINKED = PatientIdentifier("AP1", EAST)


@dataclass(frozen=True)
class Parts:
    """As much of a hub as registers reports."""

    database: Database
    desk: ReportDesk
    documents: ReportDocuments
    study: str


@cache
def parts() -> Parts:
    """Made before the children are, so that they need not read and build it all again."""
    database, backend = (
        Database(f"sqlite:///{ROOT / 'eirhub.sqlite'}"),
        FilesystemBackend(ROOT / "archive"),
    )
    index = ArchiveIndex(database)
    nothing: Any = None
    kept = RenditionStore(backend)
    desk = ReportDesk(
        DeskParts(
            database, index, nothing, nothing, kept, sites_of_sender=lambda _: frozenset({"east"})
        )
    )
    repository = DocumentRepository(
        backend, database.clock, RegistrySettings().repository_unique_id
    )
    domain = load_affinity_domain(shipped_config("affinity_domain/region.toml"))
    filed = FiledReports(desk, index, backend)
    with database.read() as session:
        study = session.scalar(select(StudyManifestRow.study_instance_uid)) or ""
    return Parts(
        database,
        desk,
        ReportDocuments(database, repository, DocumentIntake(database, backend), domain, filed),
        study,
    )


def prepare() -> None:
    """Leave a hub behind with one registered study and one registered report."""
    clinic = open_clinic(ROOT)
    clinic.study()
    clinic.hub.close()
    made = parts()
    correct(made, 0)
    made.documents.follow(made.study)


def correct(made: Parts, number: int) -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(seconds=number)
    result = ReceivedResult(
        message_key=f"m-{number}",
        sender=SENDER,
        order_key="O1:CT",
        status="C",
        title="CT",
        author="",
        issued_at=at,
        study_instance_uid=made.study,
        accession_numbers=(),
        patients=(LINKED,),
        paragraphs=(("", f"correction {number}"),),
    )
    made.desk.take_result(result, lambda _session, _words: None)


def work(number: int, step: Step) -> None:
    """Take a correction, and register it until killed."""
    made = parts()
    correct(made, number)
    listen(made.database.engine, lambda statement: step() if writes(statement) else None)
    storing: Callable[[bytes], StoredBytes] = made.documents.repository.store

    def stored(data: bytes) -> StoredBytes:
        kept = storing(data)
        step()
        return kept

    made.documents.repository.store = stored  # type: ignore[method-assign]
    made.documents.follow(made.study)
    step()  # the last kill point: after the commit


def go_on(number: int) -> None:
    """Find all or nothing, deliver once more, and find all."""
    made = parts()
    before = the_one(made)
    if second(before) == number:
        with (ROOT / "registered").open("a") as counted:
            counted.write(".")
    elif second(before) != max(number - 1, 0):
        sys.exit(f"kill point {number} tore the registration: it is of {before.creation_time}")
    made.documents.follow(made.study)
    if second(the_one(made)) != number:
        sys.exit(f"kill point {number} was not made good")


def the_one(made: Parts) -> DocumentEntry:
    """Return the one report in force; it has to be appended to the manifest and to have bytes."""
    with made.database.read() as session:
        approved = [AvailabilityStatus.APPROVED]
        entries = store.documents_of(session, [LINKED.cx], approved)
        (manifest,) = [one for one in entries if not is_report(one) and not is_version(one)]
        found = [one for one in entries if is_report(one)]
        appended = {
            one.source
            for one in store.related(session, [manifest.entry_uuid])
            if one.target == manifest.entry_uuid
        }
        if len(found) != 1 or found[0].entry_uuid not in appended:
            sys.exit(f"the registration is torn: {len(found)} in force")
        (document,) = made.documents.repository.find(session, [found[0].unique_id])
    made.documents.repository.verify(document)
    return found[0]


def second(entry: DocumentEntry) -> int:
    minutes, seconds = int(entry.creation_time[10:12]), int(entry.creation_time[12:])
    return minutes * 60 + seconds


def torn(session: Session, submission: Submission, **_options: Any) -> None:
    store.insert(session, replace(submission, associations=()))
    session.commit()
    add(session, XdsAssociationRow, map(association_row, submission.associations))
    follow_up(session, submission, submission.submission_set.submission_time)


def main() -> None:
    if "torn" in sys.argv:
        report_documents.store = type("Torn", (), {"register": staticmethod(torn)})  # type: ignore[assignment]
    in_child(prepare)
    go_on(0)
    parts().database.engine.dispose()
    killed = killed_everywhere(work, go_on)
    registered = len((ROOT / "registered").read_text())
    print(killed, registered)  # noqa: T201


if __name__ == "__main__":
    main()
