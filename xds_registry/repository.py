"""The document repository: bytes under `documents/`, one row per uniqueId (XDS.b).

The ledger of versions keeps its descriptions itself, and the repository names them there.
Bytes are durable before a row names them, and are read again and compared before they are given
out: a document is delivered as it was stored, or not at all.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub_kernel.clock import Clock
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from xds_registry.errors import DocumentCorruptError, ErrorCode, XdsRefusalError
from xds_registry.received_parts import storage_key
from xds_registry.tables import RepositoryDocumentRow

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class StoredBytes:
    """Bytes that are durable in the archive; `sha1` is what XDS metadata calls the hash."""

    storage_key: str
    sha256: str
    sha1: str
    size: int


@dataclass(frozen=True)
class RepositoryDocument:
    """A document of this repository."""

    unique_id: str
    mime_type: str
    stored: StoredBytes


class DocumentRepository:
    """Keeps documents in the archive `backend`; `repository_unique_id` is its name to others."""

    def __init__(self, backend: ArchiveBackend, clock: Clock, repository_unique_id: str) -> None:
        self._backend = backend
        self._clock = clock
        self.repository_unique_id = repository_unique_id

    def store(self, data: bytes) -> StoredBytes:
        """Make `data` durable and return what to record; the same bytes are stored once."""
        sha256 = hashlib.sha256(data).hexdigest()
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        stored = StoredBytes(storage_key(sha256), sha256, sha1, len(data))
        if not self._is_intact(stored):
            pending = self._backend.create()
            try:
                pending.write(data)
                pending.publish(stored.storage_key)
            finally:
                pending.discard()
        return stored

    def described(self, storage_key: str) -> StoredBytes:
        """Return what to record of bytes that another part of the hub keeps, durable, for good.

        Raises:
            DocumentCorruptError: they are gone.
        """
        sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        size = 0
        for chunk in self._read(storage_key):
            sha1.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
        return StoredBytes(storage_key, sha256.hexdigest(), sha1.hexdigest(), size)

    def record(self, session: Session, document: RepositoryDocument) -> None:
        """Name stored bytes in the caller's transaction; naming them again changes nothing.

        Raises:
            XdsRefusalError: the uniqueId already names other bytes.
        """
        known = self.find(session, [document.unique_id])
        if known:
            if known[0].stored.size != document.stored.size:
                raise XdsRefusalError(ErrorCode.NON_IDENTICAL_SIZE, document.unique_id)
            if known[0].stored.sha256 != document.stored.sha256:
                raise XdsRefusalError(ErrorCode.NON_IDENTICAL_HASH, document.unique_id)
            return
        session.add(
            RepositoryDocumentRow(
                unique_id=document.unique_id,
                storage_key=document.stored.storage_key,
                mime_type=document.mime_type,
                sha256=document.stored.sha256,
                sha1=document.stored.sha1,
                size=document.stored.size,
                stored_at=self._clock.now(),
            )
        )

    def find(self, session: Session, unique_ids: Collection[str]) -> list[RepositoryDocument]:
        """Return the documents with these uniqueIds, those that exist, in no particular order."""
        rows = session.scalars(
            select(RepositoryDocumentRow).where(RepositoryDocumentRow.unique_id.in_(unique_ids))
        )
        return [_document(row) for row in rows]

    def forget(self, session: Session, document: RepositoryDocument) -> None:
        """Remove the name of stored bytes, in the caller's transaction; the bytes stay."""
        session.delete(session.get_one(RepositoryDocumentRow, document.unique_id))

    def verify(self, document: RepositoryDocument) -> None:
        """Read the whole document and compare.

        Raises:
            DocumentCorruptError: the bytes are missing or have changed.
        """
        if not self._is_intact(document.stored):
            raise DocumentCorruptError(f"document {document.stored.storage_key} is not intact")

    def chunks(self, document: RepositoryDocument) -> Iterator[bytes]:
        """Yield the document's bytes; only chunks, never the whole, are held in memory.

        Raises:
            DocumentCorruptError: the bytes are gone, or differ from what was stored; known at the
                last chunk, which is then withheld.
        """
        digest = hashlib.sha256()
        held = b""
        for chunk in self._read(document.stored.storage_key):
            digest.update(chunk)
            if held:
                yield held
            held = chunk
        if digest.hexdigest() != document.stored.sha256:
            raise DocumentCorruptError(f"document {document.stored.storage_key} is not intact")
        if held:
            yield held

    def _is_intact(self, stored: StoredBytes) -> bool:
        digest = hashlib.sha256()
        try:
            for chunk in self._read(stored.storage_key):
                digest.update(chunk)
        except DocumentCorruptError:
            return False
        return digest.hexdigest() == stored.sha256

    def _read(self, storage_key: str) -> Iterator[bytes]:
        try:
            stream = self._backend.open(storage_key)
        except (NotFoundError, OSError) as error:
            raise DocumentCorruptError(f"document {storage_key} cannot be opened") from error
        with stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk


def _document(row: RepositoryDocumentRow) -> RepositoryDocument:
    return RepositoryDocument(
        row.unique_id,
        row.mime_type,
        StoredBytes(row.storage_key, row.sha256, row.sha1, row.size),
    )
