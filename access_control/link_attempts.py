"""Wrong passcodes of shared links, counted under lock before any of them is judged."""

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from access_control.tables import SharedLinkAttemptRow, SharedLinkRow

_NO_LINK = ""


@dataclass(frozen=True)
class AttemptLimits:
    """How many wrong passcodes lock a link: in a row, and in all its life."""

    in_a_row: int
    in_all: int


@dataclass(frozen=True)
class AskedLink:
    """What an attempt is judged by."""

    link_id: str
    passcode_hash: str
    expires_at: datetime
    revoked_at: datetime | None
    views: int
    max_views: int | None


@dataclass(frozen=True)
class Attempt:
    """An attempt that counts as failed until it proves otherwise.

    `link` is what it may open, None if nothing; `remaining` says how many more are left then.
    """

    link: AskedLink | None
    remaining: int = 0


def asked_link(session: Session, hashed_token: str) -> AskedLink | None:
    """Return the link of a token, None where it was never given out.

    Asked so that a row is answered in both cases: to read one takes longer than to read none, and
    the time of a refusal would tell.
    """
    columns = (func.max(getattr(SharedLinkRow, one.name)) for one in fields(AskedLink))
    query = select(*columns).where(SharedLinkRow.token_hash == hashed_token)
    found = AskedLink(*session.execute(query).one())
    return found if found.link_id else None


def count_attempt(
    session: Session, link: AskedLink | None, limits: AttemptLimits, now: datetime
) -> Attempt:
    """Count an attempt at `link`; a token of no link counts too, and writes just as much."""
    row = _locked_row(session, link.link_id if link else _NO_LINK, now)
    row.failures, row.failures_in_all = row.failures + 1, row.failures_in_all + 1
    row.last_at = now
    left = min(limits.in_a_row - row.failures, limits.in_all - row.failures_in_all)
    if link is None or left < 0 or link.revoked_at is not None or link.expires_at <= now:
        return Attempt(None)
    if link.max_views is not None and link.views >= link.max_views:
        return Attempt(None)
    return Attempt(link, left)


def forgive(session: Session, link_id: str, now: datetime) -> None:
    """The attempt just counted was right: it fails no more, and the row of failures is broken."""
    row = _locked_row(session, link_id, now)
    row.failures = 0
    row.failures_in_all = max(0, row.failures_in_all - 1)


def is_locked(row: SharedLinkAttemptRow, limits: AttemptLimits) -> bool:
    """Say whether no further attempt would be judged."""
    return row.failures >= limits.in_a_row or row.failures_in_all >= limits.in_all


def _locked_row(session: Session, link_id: str, now: datetime) -> SharedLinkAttemptRow:
    """The row that counts for `link_id`, locked and read afresh; made when there is none."""
    query = (
        select(SharedLinkAttemptRow)
        .where(SharedLinkAttemptRow.link_id == link_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        try:
            with session.begin_nested():
                session.add(
                    SharedLinkAttemptRow(
                        link_id=link_id, failures=0, failures_in_all=0, last_at=now
                    )
                )
        except IntegrityError:  # two first attempts at the same time: the other one made the row
            session.expire_all()
        row = session.scalars(query).one()
    return row
