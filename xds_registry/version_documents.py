"""Versions of the record as documents: each a transformation of its study's manifest (XFRM).

What the ledger says is in force is what is registered, all of a study at once. A version that is
made anew for the same manifest replaces the one before (RPLC). A new generation of the manifest
deprecates the transformations of the former one by itself (ITI TF-2 3.42.4.1.3.3), and the versions
of that generation are transformations of the new one. The bytes are the ledger's own: a document
of the repository names them where they lie.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.events import VersionRendered
from hub_kernel.outbox import Subscriber
from xds_registry import store
from xds_registry.derived_submission import Relation, derived_submissions
from xds_registry.errors import DocumentCorruptError
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    dtm,
)
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.store_content import entry_of
from xds_registry.store_reading import documents, documents_by_uuid
from xds_registry.store_replacing import deprecate
from xds_registry.store_rows import entry_row
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables import (
    DocumentEntryRow,
    RepositoryDocumentRow,
    StudyManifestRow,
    XdsAssociationRow,
)

MEDIA_TYPE = "application/json"
FORMAT_SCHEME = "urn:eirhub:versions"
_DISPLAYS = {
    "diagnostic": "EIR diagnostic version",
    "clinical": "EIR clinical reference version",
    "public": "EIR public viewing version",
}


class StandingVersion(Protocol):
    """A version that is in force, as the ledger of versions has it."""

    @property
    def version_id(self) -> str:
        """A UUID, of which its document takes its names."""
        ...

    @property
    def recipe(self) -> str:
        """What it is a version by."""
        ...

    @property
    def generation(self) -> int:
        """The generation of the study that it shows."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was recorded, aware."""
        ...

    @property
    def document_key(self) -> str:
        """Where the archive's backend keeps its description (JSON); empty where there is none."""
        ...


StandingVersions = Callable[[Session, str], Sequence[StandingVersion]]
"""Returns the versions of a study that are in force, read in the session that is given."""


def no_versions(_session: Session, _study_instance_uid: str) -> Sequence[StandingVersion]:
    """Return no version: for a registry without a ledger beside it."""
    return ()


def version_format(recipe: str) -> Code:
    """Return the formatCode of versions of a recipe."""
    return Code(recipe, FORMAT_SCHEME, _DISPLAYS.get(recipe, f"EIR version {recipe}"))


def is_version(entry: DocumentEntry) -> bool:
    """Tell whether the entry is a version of a study, which readers find as the study itself."""
    return entry.format_code.scheme == FORMAT_SCHEME


@dataclass(frozen=True)
class VersionDrift:
    """Where what is registered of a study's versions differs from the ledger (`version_drift`)."""

    missing: tuple[StandingVersion, ...]
    left: tuple[DocumentEntry, ...]
    wrong: tuple[tuple[StandingVersion, DocumentEntry], ...]
    behind: tuple[StandingVersion, ...]

    @property
    def is_none(self) -> bool:
        """Whether everything agrees that is of the same generation."""
        return not self.missing and not self.left and not self.wrong


def version_drift(
    session: Session, study_instance_uid: str, standing: StandingVersions, *, lock: bool = False
) -> VersionDrift:
    """Compare the versions of a study that are in force with those registered, one by one.

    `missing` are in force without an approved entry, `left` are approved entries of what is in
    force no more, and `wrong` approved ones of another hash, size or place than the ledger's
    description. `behind` are of a former generation: what follows them is still to be rendered.
    What waits for its manifest, and what it will replace, is none of them, nor is what an older hub
    registered without a description in the ledger. With `lock` nobody else registers versions of
    this manifest before the transaction ends.
    """
    found = _manifest(session, study_instance_uid, lock=lock)
    generation = found[1] if found else 0
    in_force = standing(session, study_instance_uid)
    approved = {one.entry_uuid: one for one in _approved(session, study_instance_uid)}
    due = {_entry_uuid(one): one for one in in_force if one.generation == generation}
    coming = {one.recipe for one in in_force if one.generation > generation}
    agreed = [(due[uuid], entry) for uuid, entry in approved.items() if uuid in due]
    return VersionDrift(
        missing=tuple(
            one for uuid, one in due.items() if one.document_key and uuid not in approved
        ),
        left=tuple(
            entry
            for uuid, entry in approved.items()
            if uuid not in due and entry.format_code.code not in coming
        ),
        wrong=_wrong(session, agreed),
        behind=tuple(one for one in in_force if one.generation < generation),
    )


@dataclass(frozen=True)
class VersionDocuments:
    """Registers the description of every version of this archive's studies that is in force."""

    database: Database
    repository: DocumentRepository
    standing: StandingVersions
    content_type_code: Code

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here, beside what follows each manifest."""
        return [
            Subscriber("xds_registry.versions", VersionRendered, self._told, queue="registration")
        ]

    def register(self, study_instance_uid: str) -> int:
        """Register the versions in force of the manifest in force; return how many were not yet.

        A version without its manifest, or of another generation, is left to who ends this: whoever
        registers a manifest calls again, and every version is announced.

        Raises:
            DocumentCorruptError: the description of a version is lost.
        """
        with self.database.read() as session:
            owed = self._owed(session, study_instance_uid)
        if owed is None:
            return 0
        stored = {
            one.version_id: self.repository.described(one.document_key) for one in owed.versions
        }
        with self.database.unit_of_work() as work:
            owed = self._owed(work.session, study_instance_uid, lock=True)
            known = [one for one in owed.versions if one.version_id in stored] if owed else []
            if owed is None or not known:
                return 0
            entries = [_entry(owed.manifest, one, stored[one.version_id]) for one in known]
            for entry, one in zip(entries, known, strict=True):
                document = RepositoryDocument(entry.unique_id, MEDIA_TYPE, stored[one.version_id])
                self.repository.record(work.session, document)
            related = [(one, _relations(one, owed)) for one in entries]
            submission = derived_submissions(related, self.content_type_code)
            store.register(work.session, submission)
            work.publish(documents_registered(submission, work.clock))
        return len(known)

    def follow(self, study_instance_uid: str) -> None:
        """Register as `register` does, and put right what is registered otherwise than in force.

        Raises:
            DocumentCorruptError: the description of a version is lost or has changed.
        """
        self.register(study_instance_uid)
        with self.database.read() as session:
            found = version_drift(session, study_instance_uid, self.standing)
        if found.is_none:
            return
        with self.database.unit_of_work() as work:
            found = version_drift(work.session, study_instance_uid, self.standing, lock=True)
            deprecate(work.session, {one.entry_uuid for one in found.left})
            deprecated = {_entry_uuid(one): one for one in found.missing}
            known = documents_by_uuid(work.session, deprecated)
            again = [(deprecated[entry.entry_uuid], entry) for entry in known]
            for version, entry in (*found.wrong, *again):
                self._put_right(work.session, version, entry)

    def _put_right(self, session: Session, version: StandingVersion, entry: DocumentEntry) -> None:
        """Approve the entry of a version, with hash, size and place of its description."""
        stored = self.repository.described(version.document_key)
        if not version.document_key.endswith(stored.sha256):
            raise DocumentCorruptError(f"description {version.document_key} has changed")
        document = RepositoryDocument(entry.unique_id, MEDIA_TYPE, stored)
        for known in self.repository.find(session, [entry.unique_id]):
            self.repository.forget(session, known)
            session.flush()
        self.repository.record(session, document)
        right = replace(
            entry, sha1=stored.sha1, size=stored.size, status=AvailabilityStatus.APPROVED
        )
        session.execute(
            update(DocumentEntryRow)
            .where(DocumentEntryRow.entry_uuid == entry.entry_uuid)
            .values(status=right.status, content=entry_row(right, 0)["content"])
        )

    def _told(self, rendered: VersionRendered) -> None:
        self.register(rendered.study_instance_uid)

    def _owed(self, session: Session, study_uid: str, *, lock: bool = False) -> "_Owed | None":
        """Return what is to be registered, None where nothing is.

        With `lock` the manifest stays what it is, and nobody else registers versions of it, until
        the transaction ends; the ledger is read after that.
        """
        found = _manifest(session, study_uid, lock=lock)
        if found is None:
            return None
        manifest, generation = found
        versions = [
            one
            for one in self.standing(session, study_uid)
            if one.generation == generation and one.document_key
        ]
        registered = {
            one.entry_uuid for one in documents_by_uuid(session, map(_entry_uuid, versions))
        }
        owed = [one for one in versions if _entry_uuid(one) not in registered]
        return _Owed(manifest, owed, _in_force(session, manifest)) if owed else None


@dataclass(frozen=True)
class _Owed:
    """Versions to register, of what manifest, and by format what they may replace."""

    manifest: DocumentEntry
    versions: Sequence[StandingVersion]
    former: dict[str, DocumentEntry]


def is_own_version(session: Session, unique_id: str) -> bool:
    """Tell whether the hub registered this document as a version of a study in its archive."""
    held = session.get(RepositoryDocumentRow, unique_id) is not None
    return held and any(map(is_version, store.documents_by_unique_id(session, [unique_id])))


def _manifest(session: Session, study_uid: str, *, lock: bool) -> tuple[DocumentEntry, int] | None:
    """Return the manifest of the last generation with that number; None where none is in force."""
    last = session.execute(
        select(StudyManifestRow.entry_uuid, StudyManifestRow.generation)
        .where(StudyManifestRow.study_instance_uid == study_uid)
        .order_by(StudyManifestRow.generation.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    wanted = select(DocumentEntryRow).where(DocumentEntryRow.entry_uuid == last.entry_uuid)
    row = session.scalars(wanted.with_for_update() if lock else wanted).one()
    if row.status != AvailabilityStatus.APPROVED:
        return None
    return entry_of(row), last.generation


def _in_force(session: Session, manifest: DocumentEntry) -> dict[str, DocumentEntry]:
    """Return the versions of the manifest that are in force, by their format."""
    found = _transformations(session, XdsAssociationRow.target == manifest.entry_uuid)
    return {one.format_code.key: one for one in found}


def _approved(session: Session, study_uid: str) -> list[DocumentEntry]:
    """Return the approved versions of any manifest of a study."""
    manifests = select(StudyManifestRow.entry_uuid).where(
        StudyManifestRow.study_instance_uid == study_uid
    )
    return _transformations(session, XdsAssociationRow.target.in_(manifests))


def _transformations(session: Session, of: ColumnElement[bool]) -> list[DocumentEntry]:
    sources = select(XdsAssociationRow.source).where(
        of, XdsAssociationRow.association_type == AssociationType.TRANSFORMS
    )
    found = documents(
        session,
        DocumentEntryRow.entry_uuid.in_(sources),
        DocumentEntryRow.status == AvailabilityStatus.APPROVED,
    )
    return [one for one in found if is_version(one)]


def _wrong(
    session: Session, pairs: Sequence[tuple[StandingVersion, DocumentEntry]]
) -> tuple[tuple[StandingVersion, DocumentEntry], ...]:
    names = [entry.unique_id for _, entry in pairs]
    if not names:
        return ()
    rows = session.scalars(
        select(RepositoryDocumentRow).where(RepositoryDocumentRow.unique_id.in_(names))
    )
    held = {row.unique_id: (row.storage_key, row.sha1, row.size) for row in rows}
    return tuple(
        (version, entry)
        for version, entry in pairs
        if version.document_key
        and held.get(entry.unique_id) != (version.document_key, entry.sha1, entry.size)
    )


def _entry_uuid(version: StandingVersion) -> str:
    return f"urn:uuid:{version.version_id}"


def _entry(manifest: DocumentEntry, version: StandingVersion, stored: StoredBytes) -> DocumentEntry:
    """Describe the version as its manifest is described, whose subject it shares."""
    made = version_format(version.recipe)
    return replace(
        manifest,
        entry_uuid=_entry_uuid(version),
        unique_id=f"2.25.{uuid.UUID(version.version_id).int}",
        mime_type=MEDIA_TYPE,
        format_code=made,
        creation_time=dtm(version.created_at),
        title=f"{made.display}: {manifest.title}",
        local_titles=(),
        sha1=stored.sha1,
        size=stored.size,
        logical_id="",
        version=1,
    )


def _relations(entry: DocumentEntry, owed: _Owed) -> list[Relation]:
    relations = [(AssociationType.TRANSFORMS, owed.manifest.entry_uuid)]
    former = owed.former.get(entry.format_code.key)
    if former is not None:
        relations.append((AssociationType.REPLACES, former.entry_uuid))
    return relations
