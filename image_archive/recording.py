"""Record arrivals in the index, many in one transaction, and translate the database's errors."""

import threading
from collections.abc import Sequence
from contextlib import closing

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from hub_kernel.database import Database
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveFullError,
    ArchiveUnavailableError,
)
from image_archive.index_writing import (
    Arrival,
    Finding,
    GroupWriter,
    KnownInstance,
    KnownStudy,
    ReceiptStatements,
    RememberedStudies,
    insert_quarantine,
    load_study,
)
from image_archive.model import Condition, QuarantineRecord
from image_archive.tables import INSTANCE

_SQLITE_IOERR, _SQLITE_FULL = 10, 13
_POSTGRESQL_DISK_FULL = "53100"


class ReceiptRecorder:
    """Records arrivals; safe from many threads, and from several processes on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = ReceiptStatements(database.engine.dialect)
        self._remembered = RememberedStudies()
        self._broken = threading.Event()

    def record(self, arrival: Arrival) -> Finding:
        """Return what became of the arrival, once that is durable in the index.

        Raises:
            ArchiveFullError: the database has no room; nothing was recorded.
            ArchiveUnavailableError: the database could not flush; nothing is acknowledged any more.
            ArchiveBusyError: the database refused; the same arrival may come again.
        """
        (finding,) = self.record_all([arrival])
        if isinstance(finding, ArchiveError):
            raise finding
        return finding

    def record_all(self, arrivals: Sequence[Arrival]) -> list[Finding | ArchiveError]:
        """Record arrivals in one transaction; return what became of each, or why nothing did.

        An instance the index knows is recognised, but callers look first: it costs a transaction.
        When the group fails as a whole, each is recorded alone: one must not spoil all.
        """
        if not arrivals:
            return []
        if self._broken.is_set():
            broken = ArchiveUnavailableError("index: a flush to disk failed; look at the disk")
            return [broken] * len(arrivals)
        try:
            return [*self._transaction(arrivals, careful=False)]
        except IntegrityError:
            pass
        except SQLAlchemyError as error:
            if len(arrivals) == 1:
                return [self._translated(error)]
        return [self._record_alone(arrival) for arrival in arrivals]

    def instance(self, sop_instance_uid: str) -> KnownInstance | None:
        """Return what the index has under that UID.

        Raises:
            ArchiveBusyError: the database refused.
        """
        try:
            with closing(self._database.engine.raw_connection()) as connection:
                return self._statements.find_instance(connection, sop_instance_uid)
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def study(self, study_instance_uid: str) -> KnownStudy | None:
        """Return the study of that UID, if there is one.

        Raises:
            ArchiveBusyError: the database refused.
        """
        known = self._remembered.get(study_instance_uid)
        if known is None:
            try:
                with self._database.engine.connect() as connection:
                    known = load_study(connection, study_instance_uid)
            except SQLAlchemyError as error:
                raise self._translated(error) from error
            if known:
                self._remembered.put({study_instance_uid: known})
        return known

    def _record_alone(self, arrival: Arrival) -> Finding | ArchiveError:
        try:
            return self._transaction([arrival], careful=True)[0]
        except SQLAlchemyError as error:
            return self._translated(error)

    def _transaction(self, arrivals: Sequence[Arrival], *, careful: bool) -> list[Finding]:
        with self._database.unit_of_work() as work:
            remembered = RememberedStudies() if careful else self._remembered
            group = GroupWriter(work, self._statements, remembered)
            findings = group.write(arrivals, careful=careful)
        self._remembered.put(group.studies)
        return findings

    def _translated(self, error: SQLAlchemyError) -> ArchiveError:
        original = error.orig if isinstance(error, DBAPIError) else None
        sqlite_code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if sqlite_code == _SQLITE_FULL or (
            getattr(original, "sqlstate", "") == _POSTGRESQL_DISK_FULL
        ):
            translated: ArchiveError = ArchiveFullError("index: no space left")
        elif sqlite_code == _SQLITE_IOERR:
            self._broken.set()
            translated = ArchiveUnavailableError("index: the database could not be written")
        else:
            translated = ArchiveBusyError(f"index: {type(error).__name__}")
        translated.__cause__ = error
        return translated

    def note_condition(self, sop_instance_uid: str, condition: Condition) -> None:
        """Record what was found of an instance's bytes; raises as `keep_apart`."""
        try:
            with self._database.unit_of_work() as work:
                work.session.execute(
                    update(INSTANCE)
                    .where(INSTANCE.c.sop_instance_uid == sop_instance_uid)
                    .values(condition=condition.value)
                )
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def keep_apart(self, record: QuarantineRecord) -> None:
        """Record bytes that are durable in quarantine; the same bytes again change nothing.

        Raises:
            ArchiveFullError: the database has no room.
            ArchiveUnavailableError: the database could not flush.
            ArchiveBusyError: the database refused.
        """
        try:
            with self._database.unit_of_work() as work:
                insert_quarantine(work.session.connection(), record)
        except SQLAlchemyError as error:
            raise self._translated(error) from error
