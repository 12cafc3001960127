"""What is registered about one person beside the hub's own manifests, for readers of the record.

Reports, ECGs, letters and the manifests of other archives. Who may read is the caller's question;
whose a document is, is asked of the patient index every time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from xds_registry.imaging_manifests import referenced_studies
from xds_registry.linked_people import LinkedPeople
from xds_registry.mado.registration import FORMAT_CODE
from xds_registry.model import AvailabilityStatus, DocumentEntry, DocumentType
from xds_registry.report_documents import is_report
from xds_registry.repository import DocumentRepository, RepositoryDocument
from xds_registry.store_reading import documents_by_uuid, documents_of
from xds_registry.study_removal import own_documents
from xds_registry.tables import StudyManifestRow
from xds_registry.version_documents import is_version

_BATCH = 500
_EVERY = tuple(AvailabilityStatus)


@dataclass(frozen=True)
class PersonDocument:
    """One current document. `global_id` is None while nobody is linked to its identifier.

    `is_here` tells whether this repository is the one that holds it.
    """

    entry: DocumentEntry
    global_id: str | None
    is_here: bool


@dataclass(frozen=True)
class OpenedDocument:
    """The bytes of a document, compared with what was stored; `chunks` may be called again."""

    media_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


class PersonDocuments:
    """Finds and opens documents; `people` gives the links as they are at one moment."""

    def __init__(
        self,
        database: Database,
        repository: DocumentRepository,
        people: Callable[[], LinkedPeople],
    ) -> None:
        self._database = database
        self._repository = repository
        self._people = people

    def of(self, global_id: str) -> list[PersonDocument]:
        """Return a person's current documents, oldest first, without what the hub registers."""
        linked = self._people().linked_to(global_id)
        with self._database.read() as session:
            entries = documents_of(session, linked, [AvailabilityStatus.APPROVED])
            own = _own_manifests(session, [entry.entry_uuid for entry in entries])
        listed = {uid for e in entries if e.entry_uuid in own for uid in referenced_studies(e)}
        return [
            self._document(entry, global_id)
            for entry in entries
            if entry.entry_uuid not in own
            and not self._is_second_form(entry, listed)
            and not ((is_version(entry) or is_report(entry)) and self._is_ours(entry))
        ]

    def unique_ids(self, global_id: str) -> frozenset[str]:
        """Return the uniqueIds of all that is or was registered of a person, by whomever."""
        linked = self._people().linked_to(global_id)
        with self._database.read() as session:
            return frozenset(entry.unique_id for entry in documents_of(session, linked, _EVERY))

    def made_of(self, study_instance_uid: str) -> list[str]:
        """Return the uniqueIds of what the hub registers of a study, its reports included."""
        with self._database.read() as session:
            return [entry.unique_id for entry in own_documents(session, study_instance_uid)]

    def find(self, entry_uuid: str) -> PersonDocument | None:
        """Return a current document by its entryUUID, or None where there is none."""
        with self._database.read() as session:
            entries = documents_by_uuid(session, [entry_uuid])
        for entry in entries:
            if entry.status == AvailabilityStatus.APPROVED:
                return self._document(entry, self._people().person_of(entry.linked_identifier))
        return None

    def open(self, unique_id: str) -> OpenedDocument | None:
        """Return the document's bytes, or None where this repository holds none of that uniqueId.

        Raises:
            DocumentCorruptError: the bytes are missing or are no longer those that were stored.
        """
        with self._database.read() as session:
            held = self._repository.find(session, [unique_id])
        if not held:
            return None
        self._repository.verify(held[0])
        return self._opened(held[0])

    def _opened(self, document: RepositoryDocument) -> OpenedDocument:
        return OpenedDocument(
            document.mime_type,
            document.stored.size,
            lambda: self._repository.chunks(document),
        )

    def _document(self, entry: DocumentEntry, global_id: str | None) -> PersonDocument:
        here = entry.repository_unique_id == self._repository.repository_unique_id
        stable = entry.document_type == DocumentType.STABLE
        return PersonDocument(entry, global_id, is_here=here and stable)

    def _is_ours(self, entry: DocumentEntry) -> bool:
        return entry.repository_unique_id == self._repository.repository_unique_id

    def _is_second_form(self, entry: DocumentEntry, own_studies: set[str]) -> bool:
        """Tell whether this is a manifest of ours in its FHIR form."""
        is_manifest = self._is_ours(entry) and entry.format_code.key == FORMAT_CODE.key
        return is_manifest and bool(own_studies.intersection(referenced_studies(entry)))


def _own_manifests(session: Session, uuids: list[str]) -> set[str]:
    """Return those of `uuids` that are manifests of the studies in this hub's archive."""
    found: set[str] = set()
    for batch in _batches(uuids):
        found.update(
            session.scalars(
                select(StudyManifestRow.entry_uuid).where(StudyManifestRow.entry_uuid.in_(batch))
            )
        )
    return found


def _batches(uuids: list[str]) -> Iterable[list[str]]:
    return [uuids[start : start + _BATCH] for start in range(0, len(uuids), _BATCH)]
