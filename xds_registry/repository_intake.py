"""Bytes into the repository and out of it: durable before a row names them, reclaimed after.

Before bytes are made durable a row says that they may come to lie there unnamed; the transaction
that names them takes it away. What a crash leaves in between is found by that row, with no listing
of the archive, and reclaimed once nobody can be about to name it any more. Who names bytes
and who reclaims them lock the same row, so neither can pass the other.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.received_parts import ReceivedPart
from xds_registry.tables import RepositoryDocumentRow
from xds_registry.tables_refused import RefusedDocumentRow
from xds_registry.tables_repository import RepositoryIntakeRow

# Far longer than any request may take from making bytes durable to naming them.
GRACE_S = 3600.0
_AT_ONCE = 500
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


class DocumentIntake:
    """Makes documents durable before a transaction names them, and reclaims what none does."""

    def __init__(
        self, database: Database, backend: ArchiveBackend, *, grace_s: float = GRACE_S
    ) -> None:
        self._database = database
        self._backend = backend
        self._grace = timedelta(seconds=grace_s)

    def make_durable(self, parts: Sequence[ReceivedPart]) -> None:
        """Make `parts` durable under their storage keys.

        Raises:
            ArchiveFullError, ArchiveBusyError, ArchiveUnavailableError: not all of them are.
        """
        keys = {part.storage_key for part in parts}
        if not keys:
            return
        self.expect(keys)
        for part in parts:
            part.make_durable(self._backend)

    def expect(self, keys: Collection[str]) -> None:
        """Say that bytes are about to be made durable under `keys`, and then claimed."""
        with self._database.unit_of_work() as work:
            for key in sorted(keys):
                _mark(work.session, key, work.clock.now())

    def claim(self, session: Session, keys: Collection[str]) -> None:
        """Take the bytes under `keys` for rows that the caller's transaction adds.

        Raises:
            XdsRefusalError: some were reclaimed meanwhile; the sender has to send them again.
        """
        for key in sorted(set(keys)):
            _mark(session, key, self._database.clock.now())
            try:
                self._backend.size(key)
            except NotFoundError as error:
                raise XdsRefusalError(ErrorCode.REPOSITORY_BUSY) from error
        session.flush()
        for key in sorted(set(keys)):
            session.delete(session.get_one(RepositoryIntakeRow, key))

    def release(self, session: Session, keys: Collection[str]) -> None:
        """Say that rows which named the bytes under `keys` are gone, in the caller's transaction.

        They are reclaimed by the next sweep, unless another row names them.
        """
        for key in sorted(set(keys)):
            _mark(session, key, _LONG_AGO)

    def sweep(self) -> int:
        """Reclaim bytes that nothing names and return how many objects that were."""
        latest = self._database.clock.now() - self._grace
        with self._database.read() as session:
            due = session.scalars(
                select(RepositoryIntakeRow.storage_key)
                .where(RepositoryIntakeRow.begun_at <= latest)
                .order_by(RepositoryIntakeRow.begun_at)
                .limit(_AT_ONCE)
            ).all()
        reclaimed = sum(self._reclaimed(key, latest) for key in due)
        if reclaimed:
            log.info("documents without a name reclaimed", extra={"count": reclaimed})
        return reclaimed

    def _reclaimed(self, key: str, latest: datetime) -> bool:
        with self._database.unit_of_work() as work:
            row = work.session.get(RepositoryIntakeRow, key, with_for_update=True)
            if row is None or row.begun_at > latest:
                return False
            work.session.delete(row)
            if _is_named(work.session, key):
                return False
            self._backend.delete(key)
            return True


def _mark(session: Session, key: str, at: datetime) -> None:
    """Let the row of `key` say `at`; another transaction may be adding or removing it just now."""
    while (row := session.get(RepositoryIntakeRow, key, with_for_update=True)) is None:
        try:
            with session.begin_nested():
                session.add(RepositoryIntakeRow(storage_key=key, begun_at=at))
        except IntegrityError:
            continue  # it has just been added
        else:
            return
    row.begun_at = at


def _is_named(session: Session, key: str) -> bool:
    return any(
        session.scalar(select(column).where(column == key).limit(1)) is not None
        for column in (RepositoryDocumentRow.storage_key, RefusedDocumentRow.storage_key)
    )
