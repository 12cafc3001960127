"""Say that a study is complete once it has gone quiet; a late instance opens it again."""

from datetime import timedelta

from sqlalchemy import or_, select, update

from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted, new_event
from image_archive.model import StudyState
from image_archive.tables import STUDY

_STUDIES_PER_TRANSACTION = 100
_OF_A_STUDY = (
    STUDY.c.id,
    STUDY.c.study_instance_uid,
    STUDY.c.site_id,
    STUDY.c.generation,
    STUDY.c.emergency,
)
# A study dated farther ahead was received under a clock that has been set back since; it would not
# be complete before that clock is right again. A late instance reopens it.
_FAR_AHEAD = timedelta(days=1)


def complete_quiet_studies(database: Database, quiet_period_s: float) -> int:
    """Complete every study without a new instance for `quiet_period_s`; return how many.

    The state and the event `StudyCompleted` are one transaction. `generation` is 1 the first time
    and grows by 1 with each completion after a late instance.
    """
    completed = 0
    while True:
        found = _complete_some(database, timedelta(seconds=quiet_period_s))
        completed += found
        if found < _STUDIES_PER_TRANSACTION:
            return completed


def _complete_some(database: Database, quiet_period: timedelta) -> int:
    """Complete up to a hundred studies; looks first, so that an idle hub writes nothing."""
    now = database.clock.now()
    last = STUDY.c.last_received_at
    due = (
        select(*_OF_A_STUDY)
        .where(STUDY.c.state == StudyState.RECEIVING.value)
        .where(or_(last <= now - quiet_period, last > now + _FAR_AHEAD))
        .order_by(last)
        .limit(_STUDIES_PER_TRANSACTION)
    )
    with database.read() as session:
        if session.execute(due.limit(1)).first() is None:
            return 0
    with database.unit_of_work() as work:
        # Locked on PostgreSQL, where an instance could arrive between this and the update.
        rows = work.session.execute(due.with_for_update(skip_locked=True)).all()
        for row in rows:
            work.session.execute(
                update(STUDY)
                .where(STUDY.c.id == row.id)
                .values(
                    state=StudyState.COMPLETE.value,
                    generation=row.generation + 1,
                    completed_at=work.clock.now(),
                )
            )
            work.publish(
                new_event(
                    StudyCompleted,
                    work.clock,
                    study_instance_uid=row.study_instance_uid,
                    site_id=row.site_id,
                    generation=row.generation + 1,
                    emergency=row.emergency,
                )
            )
    return len(rows)
