"""Versions of the record as documents: each a transformation of its study's manifest (XFRM).

A version that is made anew for the same manifest replaces the one before (RPLC). A new generation
of the manifest deprecates the transformations of the former one by itself (ITI TF-2 3.42.4.1.3.3),
and the versions of that generation are transformations of the new one.
"""

import uuid
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.events import VersionRendered
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from xds_registry import store
from xds_registry.derived_submission import derived_submission
from xds_registry.errors import StudyNotReadyError
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    Submission,
    dtm,
)
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.store_reading import End, Wanted, associations_at, documents_by_uuid
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables import StudyManifestRow

MEDIA_TYPE = "application/json"
FORMAT_SCHEME = "urn:eirhub:versions"
_DISPLAYS = {
    "diagnostic": "EIR diagnostic version",
    "clinical": "EIR clinical reference version",
    "public": "EIR public viewing version",
}


def version_format(recipe: str) -> Code:
    """Return the formatCode of versions of a recipe."""
    return Code(recipe, FORMAT_SCHEME, _DISPLAYS.get(recipe, f"EIR version {recipe}"))


def is_version(entry: DocumentEntry) -> bool:
    """Tell whether the entry is a version of a study, which readers find as the study itself."""
    return entry.format_code.scheme == FORMAT_SCHEME


@dataclass(frozen=True)
class VersionDocuments:
    """Registers the description of every version of a study in this archive."""

    database: Database
    repository: DocumentRepository
    backend: ArchiveBackend

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here."""
        return [
            Subscriber(
                "xds_registry.versions", VersionRendered, self.register, queue="registration"
            )
        ]

    def register(self, rendered: VersionRendered) -> None:
        """Register a version; does nothing where it, or a later one, is.

        Raises:
            StudyNotReadyError: the manifest of its generation is not registered yet.
        """
        if not rendered.document_key:
            return
        with self.database.read() as session:
            if _latest_generation(session, rendered.study_instance_uid) < rendered.generation:
                raise StudyNotReadyError("the manifest of the version is not registered yet")
            if _submission_of(session, rendered, StoredBytes("", "", "", 0)) is None:
                return
        with self.backend.open(rendered.document_key) as stream:
            stored = self.repository.store(stream.read())
        with self.database.unit_of_work() as work:
            submission = _submission_of(work.session, rendered, stored)
            if submission is None:
                return
            unique_id = submission.entries[0].unique_id
            self.repository.record(work.session, RepositoryDocument(unique_id, MEDIA_TYPE, stored))
            store.register(work.session, submission)
            work.publish(documents_registered(submission, work.clock))


def _submission_of(
    session: Session, rendered: VersionRendered, stored: StoredBytes
) -> Submission | None:
    """Return what registers the version; None where it, or a later one, is.

    So it is, too, where the manifest was withdrawn or is of a later generation, whose versions
    follow.
    """
    manifest = _manifest(session, rendered)
    if manifest is None:
        return None
    former = _former(session, manifest, rendered.recipe)
    entry = _entry(manifest, rendered, stored)
    late = former is not None and former.creation_time > entry.creation_time
    if late or documents_by_uuid(session, [entry.entry_uuid]):
        return None
    return _submission(entry, manifest, former)


def _latest_generation(session: Session, study_uid: str) -> int:
    latest = select(func.max(StudyManifestRow.generation)).where(
        StudyManifestRow.study_instance_uid == study_uid
    )
    return session.scalar(latest) or 0


def _manifest(session: Session, rendered: VersionRendered) -> DocumentEntry | None:
    """Return the manifest in force of the version's generation."""
    if _latest_generation(session, rendered.study_instance_uid) != rendered.generation:
        return None
    row = session.get(StudyManifestRow, (rendered.study_instance_uid, rendered.generation))
    found = documents_by_uuid(session, [row.entry_uuid]) if row else []
    return next((one for one in found if one.status == AvailabilityStatus.APPROVED), None)


def _former(session: Session, manifest: DocumentEntry, recipe: str) -> DocumentEntry | None:
    """Return the version of the recipe that is in force for the manifest."""
    wanted = Wanted({AssociationType.TRANSFORMS}, {AvailabilityStatus.APPROVED})
    into = associations_at(session, [manifest.entry_uuid], wanted, [End.TARGET])
    for entry in documents_by_uuid(session, [one.source for one in into]):
        same = entry.format_code.key == version_format(recipe).key
        if same and entry.status == AvailabilityStatus.APPROVED:
            return entry
    return None


def _entry(
    manifest: DocumentEntry, rendered: VersionRendered, stored: StoredBytes
) -> DocumentEntry:
    """Describe the version as its manifest is described, whose subject it shares."""
    made = version_format(rendered.recipe)
    return replace(
        manifest,
        entry_uuid=f"urn:uuid:{rendered.version_id}",
        unique_id=f"2.25.{uuid.UUID(rendered.version_id).int}",
        mime_type=MEDIA_TYPE,
        format_code=made,
        creation_time=dtm(rendered.occurred_at),
        title=f"{made.display}: {manifest.title}",
        local_titles=(),
        sha1=stored.sha1,
        size=stored.size,
        logical_id="",
        version=1,
    )


def _submission(
    entry: DocumentEntry, manifest: DocumentEntry, former: DocumentEntry | None
) -> Submission:
    relations = [(AssociationType.TRANSFORMS, manifest.entry_uuid)]
    if former is not None:
        relations.append((AssociationType.REPLACES, former.entry_uuid))
    return derived_submission(entry, entry.type_code, relations)
