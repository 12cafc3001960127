"""Documents and the metadata that describes them, brought together (ITI TF-2 3.41.4.1.3).

The repository's half of a submission, whatever form it came in: each entry has its document, what
metadata says of hash and size is true, and what it does not say is added.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO

from sqlalchemy.orm import Session

from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.imaging_manifests import manifest_faults, note_if_manifest
from xds_registry.model import UNTOLD_SIZE, DocumentEntry, DocumentType, Submission
from xds_registry.received_parts import ReceivedPart
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.repository_intake import DocumentIntake

# Stands for a document that did not come, so that its entry is not said to lack hash and size too.
_NO_DOCUMENT = ReceivedPart("", 1, "0" * 40, "", BytesIO)


@dataclass(frozen=True)
class Provided:
    """A submission whose entries say what the repository knows, and everything wrong with it."""

    submission: Submission
    refusals: tuple[XdsRefusalError, ...]


class Provider:
    """Joins documents to their entries and names their bytes."""

    def __init__(self, repository: DocumentRepository, intake: DocumentIntake) -> None:
        self._repository = repository
        self._intake = intake

    def described(self, submission: Submission, documents: Mapping[str, ReceivedPart]) -> Provided:
        """Return `submission` with repositoryUniqueId, hash and size of every document in it.

        `documents` are by the id of their entry as it was sent. Nothing is raised, so that all that
        is wrong with a submission can be said at once.
        """
        refusals = [*_unmatched(submission, documents), *_repeated(submission)]
        entries = []
        for entry in submission.entries:
            part = documents.get(entry.entry_uuid, _NO_DOCUMENT)
            if part is not _NO_DOCUMENT:
                refusals += _untrue(entry, part)
                refusals += manifest_faults(entry, part.open)
            entries.append(self._completed(entry, part))
        return Provided(replace(submission, entries=tuple(entries)), tuple(refusals))

    def name(
        self, session: Session, entries: Iterable[DocumentEntry], documents: Iterable[ReceivedPart]
    ) -> None:
        """Name the bytes of `documents`, durable by now, by the uniqueIds of their entries.

        Raises:
            XdsRefusalError: a uniqueId names other bytes; or the bytes were reclaimed meanwhile.
        """
        by_hash = {(part.sha1, part.size): part for part in documents}
        self._intake.claim(session, [part.storage_key for part in by_hash.values()])
        for entry in entries:
            part = by_hash.get((entry.sha1, entry.size))
            if part is None or entry.repository_unique_id != self._repository.repository_unique_id:
                continue
            stored = StoredBytes(part.storage_key, part.sha256, part.sha1, part.size)
            document = RepositoryDocument(entry.unique_id, entry.mime_type, stored)
            self._repository.record(session, document)
            note_if_manifest(session, entry, part.open)

    def _completed(self, entry: DocumentEntry, part: ReceivedPart) -> DocumentEntry:
        return replace(
            entry,
            sha1=part.sha1,
            size=part.size,
            repository_unique_id=self._repository.repository_unique_id,
        )


def _unmatched(
    submission: Submission, documents: Mapping[str, ReceivedPart]
) -> Iterator[XdsRefusalError]:
    """Table 4.2.4.1-2: XDSMissingDocument, XDSMissingDocumentMetadata."""
    entries = {entry.entry_uuid: entry for entry in submission.entries}
    for entry_id, entry in entries.items():
        if entry_id not in documents and entry.document_type == DocumentType.STABLE:
            yield XdsRefusalError(ErrorCode.MISSING_DOCUMENT, _place(entry_id))
    for document_id in documents:
        if document_id not in entries:
            place = f"//xdsb:Document[@id='{document_id}']"
            yield XdsRefusalError(ErrorCode.MISSING_DOCUMENT_METADATA, place)


def _repeated(submission: Submission) -> Iterator[XdsRefusalError]:
    unique_ids = [submission.submission_set.unique_id]
    unique_ids += [item.unique_id for item in submission.entries]
    unique_ids += [item.unique_id for item in submission.folders]
    counted = Counter(filter(None, unique_ids))
    for unique_id, times in counted.items():
        if times > 1:
            yield XdsRefusalError(ErrorCode.REPOSITORY_DUPLICATE_IN_MESSAGE, unique_id)


def _untrue(entry: DocumentEntry, part: ReceivedPart) -> Iterator[XdsRefusalError]:
    """Tell what the metadata says that the document denies; hexadecimal digits have no case."""
    place = _place(entry.entry_uuid)
    if entry.sha1 and entry.sha1.lower() != part.sha1:
        yield _metadata_error(f"{place}/rim:Slot[@name='hash']", part.sha1, entry.sha1)
    if entry.size not in {0, UNTOLD_SIZE, part.size}:
        yield _metadata_error(f"{place}/rim:Slot[@name='size']", str(part.size), str(entry.size))


def _metadata_error(place: str, allowed: str, came: str) -> XdsRefusalError:
    return XdsRefusalError(ErrorCode.REPOSITORY_METADATA, place, allowed, came=came)


def _place(entry_id: str) -> str:
    return f"//rim:ExtrinsicObject[@id='{entry_id}']"
