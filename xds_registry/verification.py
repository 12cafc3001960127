"""Find where archive, index, manifest, entry, version and report no longer agree (RAD TF-3 4.68).

Nothing here changes anything. It may run beside a hub at work: a study that is still arriving, or
that changes while it is compared, is left to the next run.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import StudyCompleted, VersionRendered
from hub_kernel.outbox_tables import PENDING, OutboxDelivery, OutboxEvent
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.model import StudyRecord, StudyState
from image_archive.rejections import without_rejected
from image_archive.tables import STUDY
from xds_registry.errors import XdsRefusalError
from xds_registry.imaging_manifests import ManifestContents, read_manifest
from xds_registry.model import AvailabilityStatus, DocumentEntry, DocumentType
from xds_registry.report_documents import (
    REPORT_SUBSCRIBERS,
    StudyReports,
    report_drift,
)
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.store_content import entry_of
from xds_registry.store_reading import documents_by_uuid
from xds_registry.study_manifests import SUBSCRIBER
from xds_registry.tables import (
    DocumentEntryRow,
    FolderRow,
    RepositoryDocumentRow,
    StudyManifestRow,
    SubmissionSetRow,
    XdsAssociationRow,
)
from xds_registry.tables_refused import RefusedDocumentRow
from xds_registry.tables_repository import RepositoryIntakeRow
from xds_registry.verification_findings import Drift, DriftKind, RegistryReport
from xds_registry.version_documents import StandingVersions, version_drift

_VERSION_EVENTS = (StudyCompleted.__name__, VersionRendered.__name__)
_BATCH = 500
_CHUNK_BYTES = 1024 * 1024

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LedgerPicture:
    """One picture that the version ledger names."""

    picture_id: str
    storage_key: str
    sha256: str


@dataclass(frozen=True)
class VerifiedParts:
    """What is compared; `pictures` yields the whole version ledger, `picture_count` its length.

    `reports` and `versions` give those that should be documents; None where none are registered.
    """

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    repository_unique_id: str
    pictures: Callable[[], Iterable[LedgerPicture]] = tuple
    picture_count: Callable[[], int] = int
    reports: StudyReports | None = None
    versions: StandingVersions | None = None


class RegistryVerification:
    """One walk over everything that is registered; use it once."""

    def __init__(self, parts: VerifiedParts, progress: Progress) -> None:
        self._parts = parts
        self._repository = DocumentRepository(
            parts.backend, parts.database.clock, parts.repository_unique_id
        )
        self._progress = progress
        self._done = {"studies": 0, "entries": 0, "documents": 0, "pictures": 0}
        self._total = 0
        self._waiting: set[str] = set()
        self._named: set[str] = set()

    def run(self) -> RegistryReport:
        """Compare and return what was found; `progress` is called with (done, in all)."""
        with self._parts.database.read() as session:
            tables = (STUDY, DocumentEntryRow, RepositoryDocumentRow)
            counts = (session.scalar(select(func.count()).select_from(one)) for one in tables)
            self._total = sum(count or 0 for count in counts) + self._parts.picture_count()
        drifts = (
            *self._studies(),
            *self._entries(),
            *self._documents(),
            *self._unnamed(),
            *self._associations(),
            *self._pictures(),
        )
        return RegistryReport(**self._done, waiting=len(self._waiting), drifts=drifts)

    def _step(self, what: str) -> None:
        self._done[what] += 1
        done = sum(self._done.values())
        self._progress(done, max(done, self._total))

    def _studies(self) -> Iterator[Drift]:
        for row in _pages(self._parts.database, STUDY.c.id, STUDY.c.study_instance_uid):
            yield from self._study(row.study_instance_uid)
            self._step("studies")

    def _study(self, uid: str) -> list[Drift]:
        """Compare one study; what changed while it was read is compared by the next run."""
        before = self._parts.index.study(uid, with_rejected=True)
        if before is None or before.state is not StudyState.COMPLETE:
            return []
        found = list(self._study_drifts(before))
        after = self._parts.index.study(uid, with_rejected=True) if found else before
        same = after is not None and (after.generation, after.state) == (
            before.generation,
            before.state,
        )
        if not found or not same:
            return []
        # What was being registered while it was read is found no more.
        again = set(self._study_drifts(before))
        return [one for one in found if one in again]

    def _study_drifts(self, study: StudyRecord) -> Iterator[Drift]:
        uid = study.study_instance_uid
        instances = self._parts.index.instances_of(uid, with_rejected=True)
        for one in instances:
            if not self._exists(one.storage_key):
                yield Drift(DriftKind.INSTANCE_LOST, one.sop_instance_uid, f"study {uid}")
        with self._parts.database.read() as session:
            rows = session.scalars(
                select(StudyManifestRow).where(StudyManifestRow.study_instance_uid == uid)
            ).all()
            entries = documents_by_uuid(session, [row.entry_uuid for row in rows])
            latest = max((row.generation for row in rows), default=0)
            owed = _owed(session, uid, OutboxDelivery.subscriber == SUBSCRIBER)
        approved = [one for one in entries if one.status == AvailabilityStatus.APPROVED]
        expected = {
            one.sop_instance_uid for one in without_rejected(self._parts.backend, instances)
        }
        if expected and latest < study.generation:
            if owed == PENDING:
                self._waiting.add(uid)
            else:
                yield Drift(DriftKind.MANIFEST_MISSING, uid, owed and f"its event is {owed}")
            return
        yield from self._manifest_drifts(uid, approved, expected)
        yield from self._report_drifts(uid)
        yield from self._version_drifts(uid)

    def _report_drifts(self, uid: str) -> Iterator[Drift]:
        """Compare the reports that stand with what is appended to the manifest in force."""
        if self._parts.reports is None:
            return
        with self._parts.database.read() as session:
            found = report_drift(session, uid, self._parts.reports)
            if found is None or found.is_none:
                return
            who = (SUBSCRIBER, *REPORT_SUBSCRIBERS)
            owed = _owed(session, uid, OutboxDelivery.subscriber.in_(who))
        if owed == PENDING:
            self._waiting.add(uid)
            return
        for report, _ in found.missing:
            yield Drift(DriftKind.REPORT_MISSING, uid, f"report {report.report_id}")
        for entry in found.left:
            yield Drift(DriftKind.REPORT_LEFT, uid, f"entry {entry.entry_uuid}")

    def _version_drifts(self, uid: str) -> Iterator[Drift]:
        """Compare the versions in force with those registered for the manifest in force."""
        if self._parts.versions is None:
            return
        with self._parts.database.read() as session:
            found = version_drift(session, uid, self._parts.versions)
            if found.is_none and not found.behind:
                return
            owed = _owed(session, uid, OutboxEvent.kind.in_(_VERSION_EVENTS))
        self._named.update(entry.entry_uuid for _, entry in found.wrong)
        if owed == PENDING:
            self._waiting.add(uid)
            return
        for version in (*found.missing, *(found.behind if owed else ())):
            detail = f"{version.recipe} version {version.version_id}"
            yield Drift(DriftKind.VERSION_MISSING, uid, detail)
        for entry in found.left:
            yield Drift(DriftKind.VERSION_LEFT, uid, f"entry {entry.entry_uuid}")
        for _, entry in found.wrong:
            yield Drift(DriftKind.VERSION_DISAGREES, uid, f"entry {entry.entry_uuid}")

    def _manifest_drifts(
        self, uid: str, approved: list[DocumentEntry], expected: set[str]
    ) -> Iterator[Drift]:
        if not expected:
            if approved:
                yield Drift(DriftKind.MANIFEST_LEFT, uid)
        elif not approved:
            yield Drift(DriftKind.MANIFEST_WITHDRAWN, uid)
        elif len(approved) > 1:
            yield Drift(DriftKind.MANIFESTS_MANY, uid, ", ".join(e.entry_uuid for e in approved))
        else:
            yield from self._contents_drift(uid, approved[0], expected)

    def _contents_drift(
        self, uid: str, entry: DocumentEntry, expected: set[str]
    ) -> Iterator[Drift]:
        with self._parts.database.read() as session:
            held = self._repository.find(session, [entry.unique_id])
        if not held or not self._exists(held[0].stored.storage_key):
            return  # said once, of its entry or its document
        try:
            with self._parts.backend.open(held[0].stored.storage_key) as stream:
                contents = read_manifest(stream)
        except XdsRefusalError:
            yield Drift(DriftKind.MANIFEST_UNREADABLE, uid, f"document {entry.unique_id}")
            return
        listed = _listed(contents, uid)
        if listed != expected:
            detail = f"{len(expected - listed)} not listed, {len(listed - expected)} not archived"
            yield Drift(DriftKind.MANIFEST_CONTENTS, uid, detail)

    def _entries(self) -> Iterator[Drift]:
        """Compare every entry that says its document is here with the repository's own row."""
        for rows in _batches(_pages(self._parts.database, DocumentEntryRow.entry_uuid)):
            with self._parts.database.read() as session:
                uuids = [row.entry_uuid for row in rows]
                entries = documents_by_uuid(session, uuids)
                held = self._repository.find(session, [entry.unique_id for entry in entries])
            known = {document.unique_id: document.stored for document in held}
            for entry in entries:
                yield from self._entry(entry, known.get(entry.unique_id))
                self._step("entries")

    def _entry(self, entry: DocumentEntry, held: StoredBytes | None) -> Iterator[Drift]:
        ours = entry.repository_unique_id == self._parts.repository_unique_id
        if not ours or entry.document_type != DocumentType.STABLE:
            return
        if entry.entry_uuid in self._named:
            return  # that is said of its study
        if held is None:
            detail = f"document {entry.unique_id}"
            yield Drift(DriftKind.ENTRY_WITHOUT_DOCUMENT, entry.entry_uuid, detail)
        elif entry.sha1 and (entry.sha1.lower(), entry.size) != (held.sha1, held.size):
            yield Drift(DriftKind.ENTRY_DISAGREES, entry.entry_uuid, f"document {entry.unique_id}")

    def _documents(self) -> Iterator[Drift]:
        for rows in _batches(_pages(self._parts.database, RepositoryDocumentRow.unique_id)):
            unique_ids = [row.unique_id for row in rows]
            with self._parts.database.read() as session:
                registered = self._registered(session, unique_ids)
                held = self._repository.find(session, unique_ids)
            for document in held:
                if document.unique_id not in registered:
                    yield Drift(DriftKind.DOCUMENT_WITHOUT_ENTRY, document.unique_id)
                yield from self._document(document)
                self._step("documents")

    def _registered(self, session: Session, unique_ids: list[str]) -> set[str]:
        rows = session.scalars(
            select(DocumentEntryRow).where(DocumentEntryRow.unique_id.in_(unique_ids))
        )
        ours = self._parts.repository_unique_id
        return {e.unique_id for e in map(entry_of, rows) if e.repository_unique_id == ours}

    def _document(self, document: RepositoryDocument) -> Iterator[Drift]:
        stored = document.stored
        read = self._read(stored.storage_key)
        if read is None:
            yield Drift(DriftKind.DOCUMENT_LOST, document.unique_id)
        elif read != (stored.size, stored.sha1, stored.sha256):
            yield Drift(DriftKind.DOCUMENT_CHANGED, document.unique_id)

    def _unnamed(self) -> Iterator[Drift]:
        columns = (
            RepositoryIntakeRow.storage_key,  # first: what leaves it is named by the others
            RepositoryDocumentRow.storage_key,
            RefusedDocumentRow.storage_key,
        )
        for keys in _batches(self._parts.backend.keys("documents")):
            named: set[str] = set()
            for column in columns:
                with self._parts.database.read() as session:
                    named.update(session.scalars(select(column).where(column.in_(keys))))
            yield from (Drift(DriftKind.BYTES_UNNAMED, key) for key in keys if key not in named)

    def _associations(self) -> Iterator[Drift]:
        with self._parts.database.read() as session:
            uuids = session.scalars(select(XdsAssociationRow.entry_uuid).where(_loose()))
            orphans = sorted(uuids)
        yield from (Drift(DriftKind.ASSOCIATION_ORPHANED, uuid) for uuid in orphans)

    def _pictures(self) -> Iterator[Drift]:
        for picture in self._parts.pictures():
            read = self._read(picture.storage_key)
            if read is None:
                yield Drift(DriftKind.RENDITION_LOST, picture.picture_id)
            elif read[2] != picture.sha256:
                yield Drift(DriftKind.RENDITION_CHANGED, picture.picture_id)
            self._step("pictures")

    def _exists(self, key: str) -> bool:
        try:
            self._parts.backend.size(key)
        except NotFoundError:
            return False
        return True

    def _read(self, key: str) -> tuple[int, str, str] | None:
        """Return size, SHA-1 and SHA-256 of what is stored as `key`, None where nothing is."""
        size = 0
        sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        try:
            with self._parts.backend.open(key) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    size += len(chunk)
                    sha1.update(chunk)
                    sha256.update(chunk)
        except (NotFoundError, OSError):
            return None
        return size, sha1.hexdigest(), sha256.hexdigest()


def _owed(session: Session, study_uid: str, what: ColumnElement[bool]) -> str:
    """Return the state of what is owed because of the study, empty where nothing is."""
    states = session.scalars(
        select(OutboxDelivery.state)
        .join(OutboxEvent)
        .where(what, OutboxEvent.payload.contains(f'"{study_uid}"'))
    ).all()
    return PENDING if PENDING in states else next(iter(states), "")


def _listed(contents: ManifestContents, study_uid: str) -> set[str]:
    return {
        uid
        for study in contents.studies
        if study.study_instance_uid == study_uid
        for series in study.series
        for uid in series.sop_instance_uids
    }


def _loose() -> Any:
    """Tell of an association that one of its ends is no registry object."""
    other = aliased(XdsAssociationRow)
    kinds: tuple[InstrumentedAttribute[str], ...] = (
        DocumentEntryRow.entry_uuid,
        SubmissionSetRow.entry_uuid,
        FolderRow.entry_uuid,
        other.entry_uuid,
    )
    ends = (XdsAssociationRow.source, XdsAssociationRow.target)
    return or_(
        *(~or_(*(select(kind).where(kind == end).exists() for kind in kinds)) for end in ends)
    )


def _pages(database: Database, key: Any, *columns: Any) -> Iterator[Any]:
    """Yield all rows of a table by `key`, a page at a time, holding no transaction open."""
    last: Any = None
    while True:
        query = select(key, *columns).order_by(key).limit(_BATCH)
        with database.read() as session:
            rows = session.execute(query if last is None else query.where(key > last)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1][0]


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
