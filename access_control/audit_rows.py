"""Read the audit trail from its beginning to its end, whatever somebody has made of its rows."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from access_control.tables import AuditRecordRow

_BATCH = 500


def rows_after(session: Session, *, after: int) -> Iterator[tuple[object, AuditRecordRow | None]]:
    """Every record behind `after`, in order, with memory for one batch; None if it is unreadable.

    The sequence numbers are read apart, so that a value that cannot be read spoils one record only.
    """
    column = AuditRecordRow.sequence
    last: object = None
    while True:
        query = select(column).order_by(column).limit(_BATCH)
        if last is not None:
            query = query.where(column > last)
        elif after:
            query = query.where(column > after)
        numbers = session.scalars(query).all()
        if not numbers:
            return
        yield from _readable(session, numbers)
        last = numbers[-1]
        session.expunge_all()


def _readable(
    session: Session, numbers: Sequence[int]
) -> Iterator[tuple[object, AuditRecordRow | None]]:
    try:
        rows = session.scalars(
            select(AuditRecordRow)
            .where(AuditRecordRow.sequence.between(numbers[0], numbers[-1]))
            .order_by(AuditRecordRow.sequence)
        ).all()
        yield from ((row.sequence, row) for row in rows)
    except (TypeError, ValueError):
        yield from ((number, _one_row(session, number)) for number in numbers)


def _one_row(session: Session, number: int) -> AuditRecordRow | None:
    try:
        return session.get(AuditRecordRow, number)
    except (TypeError, ValueError):
        return None


def has_rows(session: Session, *, after: int) -> bool:
    """Tell whether any record follows `after`."""
    query = select(AuditRecordRow.sequence).where(AuditRecordRow.sequence > after).limit(1)
    return session.scalar(query) is not None
