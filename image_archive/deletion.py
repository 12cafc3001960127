"""Delete a study for good: its rows in one transaction with what stays of it, then its bytes.

A crash before the commit leaves everything. After it nothing shows the study any more, and the
objects still to go are named in a table: `finish` goes on where the last one stopped, and start-up
does not take them for instances without a row.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.orm import Session

from hub_kernel.database import Database, UnitOfWork
from hub_kernel.errors import NotFoundError
from image_archive import holdings
from image_archive.backend import ArchiveBackend
from image_archive.errors import StudyStillNeededError
from image_archive.model import StudyState
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY
from image_archive.tables_deletion import DELETED_INSTANCE, DELETED_OBJECT, DELETED_STUDY

_OBJECTS_PER_STEP = 200
_ROWS_PER_INSERT = 500
_UNDECIDED = ("open", "pending")

StillNamed = Callable[[Session, str], bool]
"""Tells whether something else that is kept names the object under a key."""


@dataclass(frozen=True)
class Reasons:
    """Who deletes and why, for what stays of the study."""

    by: str
    reason: str


@dataclass(frozen=True)
class DeletedStudy:
    """How much of a study was deleted."""

    study_instance_uid: str
    instances: int
    dataset_bytes: int


def delete_rows(
    work: UnitOfWork, study_instance_uid: str, made: Collection[str], reasons: Reasons
) -> DeletedStudy:
    """Remove a study from the index in the caller's transaction, and name the bytes that must go.

    `made` are the keys of what was made of its instances. The bytes are removed by `finish`, after
    the commit.

    Raises:
        NotFoundError: there is no such study.
        StudyStillNeededError: it is still arriving, somebody has yet to decide about something that
            arrived for it, or one of its rows is the newest of its table.
    """
    session = work.session
    study = session.execute(
        select(STUDY).where(STUDY.c.study_instance_uid == study_instance_uid).with_for_update()
    ).first()
    if study is None:
        raise NotFoundError("archive: no such study")
    if needed := _why_needed(session, study):
        raise StudyStillNeededError(needed)
    rows = session.execute(
        select(INSTANCE)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .where(SERIES.c.study_row_id == study.id)
    ).all()
    gone = DeletedStudy(study_instance_uid, len(rows), sum(row.dataset_bytes for row in rows))
    _note(session, _tombstone(work, study, gone, reasons), rows, made)
    holdings.subtract(session, study.site_id, study.id)
    series = select(SERIES.c.id).where(SERIES.c.study_row_id == study.id)
    session.execute(delete(INSTANCE).where(INSTANCE.c.series_row_id.in_(series)))
    session.execute(delete(SERIES).where(SERIES.c.study_row_id == study.id))
    session.execute(delete(STUDY).where(STUDY.c.id == study.id))
    return gone


def finish(database: Database, backend: ArchiveBackend, still_named: StillNamed) -> int:
    """Remove the bytes of what was deleted; return how many objects went.

    What something else names stays: renditions with the same bytes are kept once.

    Raises:
        ArchiveError: the backend fails; the next call goes on there.
    """
    gone = 0
    while True:
        with database.read() as session:
            due = session.execute(
                select(DELETED_OBJECT).order_by(DELETED_OBJECT.c.id).limit(_OBJECTS_PER_STEP)
            ).all()
            spared = {row.id for row in due if still_named(session, row.storage_key)}
        for row in due:
            if row.id not in spared:
                backend.delete(row.storage_key)
                gone += 1
        with database.unit_of_work() as work:
            work.session.execute(
                delete(DELETED_OBJECT).where(DELETED_OBJECT.c.id.in_([row.id for row in due]))
            )
            _close(work)
        if len(due) < _OBJECTS_PER_STEP:
            return gone


def is_indexed(session: Session, key: str) -> bool:
    """Return whether an instance or parked bytes are kept under the key."""
    return any(
        session.scalar(select(column).where(column == key).limit(1)) is not None
        for column in (INSTANCE.c.storage_key, QUARANTINE.c.storage_key)
    )


def why_needed(session: Session, study_instance_uid: str) -> str:
    """Return why `delete_rows` would refuse a study now; empty where it would not."""
    study = session.execute(
        select(STUDY).where(STUDY.c.study_instance_uid == study_instance_uid)
    ).first()
    return _why_needed(session, study) if study is not None else "it is gone"


def _why_needed(session: Session, study: Row) -> str:  # type: ignore[type-arg]
    if study.state != StudyState.COMPLETE.value:
        return "it is still arriving"
    undecided = select(QUARANTINE.c.id).where(
        QUARANTINE.c.study_instance_uid == study.study_instance_uid,
        QUARANTINE.c.status.in_(_UNDECIDED),
    )
    if session.scalar(undecided.limit(1)) is not None:
        return "something that arrived for it waits at the conflict desk"
    # SQLite gives the number of a deleted newest row away again, and whoever receives remembers
    # studies by number: that number must never become another patient's.
    newest = (
        (study.id, select(func.max(STUDY.c.id))),
        (_last_series(session, study.id), select(func.max(SERIES.c.id))),
        (_last_instance(session, study.id), select(func.max(INSTANCE.c.id))),
    )
    if any(number is not None and number == session.scalar(last) for number, last in newest):
        return "nothing has arrived since"
    return ""


def _tombstone(
    work: UnitOfWork,
    study: Row,  # type: ignore[type-arg]
    gone: DeletedStudy,
    reasons: Reasons,
) -> int:
    """Write down what is deleted; return its number."""
    written = insert(DELETED_STUDY).values(
        study_instance_uid=study.study_instance_uid,
        site_id=study.site_id,
        issuer_oid=study.issuer_oid,
        patient_id=study.patient_id,
        study_date=study.study_date,
        modalities=study.modalities,
        received_at=study.received_at,
        last_received_at=study.last_received_at,
        instances=gone.instances,
        dataset_bytes=gone.dataset_bytes,
        deleted_by=reasons.by,
        reason=reasons.reason,
        deleted_at=work.clock.now(),
    )
    number: int = work.session.execute(written.returning(DELETED_STUDY.c.id)).scalar_one()
    return number


def _last_series(session: Session, study_row_id: int) -> int | None:
    last: int | None = session.scalar(
        select(func.max(SERIES.c.id)).where(SERIES.c.study_row_id == study_row_id)
    )
    return last


def _last_instance(session: Session, study_row_id: int) -> int | None:
    last: int | None = session.scalar(
        select(func.max(INSTANCE.c.id))
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .where(SERIES.c.study_row_id == study_row_id)
    )
    return last


def _note(session: Session, number: int, rows: Collection[Row], made: Collection[str]) -> None:  # type: ignore[type-arg]
    instances = [
        {
            "deleted_study_id": number,
            "sop_instance_uid": row.sop_instance_uid,
            "dataset_sha256": row.dataset_sha256,
            "dataset_bytes": row.dataset_bytes,
        }
        for row in rows
    ]
    keys = dict.fromkeys([*(row.storage_key for row in rows), *made])
    objects = [{"deleted_study_id": number, "storage_key": key} for key in keys]
    for table, values in ((DELETED_INSTANCE, instances), (DELETED_OBJECT, objects)):
        for start in range(0, len(values), _ROWS_PER_INSERT):
            session.execute(insert(table), values[start : start + _ROWS_PER_INSERT])


def _close(work: UnitOfWork) -> None:
    """Say of every study of which nothing is left that it is gone."""
    owed = select(DELETED_OBJECT.c.id).where(
        DELETED_OBJECT.c.deleted_study_id == DELETED_STUDY.c.id
    )
    work.session.execute(
        update(DELETED_STUDY)
        .where(DELETED_STUDY.c.finished_at.is_(None), ~owed.exists())
        .values(finished_at=work.clock.now())
    )
