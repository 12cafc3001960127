"""Server-side sessions of signed-in people; the browser holds a random token, we hold its hash."""

import base64
import hmac
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update

from access_control.accounts import account_subject
from access_control.credentials import new_token, token_hash
from access_control.errors import InvalidAccountError
from access_control.model import Subject, SubjectKind
from access_control.tables import UserAccountRow, UserSessionRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database

_SEEN_EVERY = timedelta(seconds=60)


@dataclass(frozen=True)
class SessionLifetime:
    """A session ends after `idle_s` without a request, and `absolute_s` after sign-in at last."""

    idle_s: float = 3600.0
    absolute_s: float = 12 * 3600.0


class Sessions:
    """Sessions in the database: every process of the hub knows them, ending one is at once."""

    def __init__(
        self, database: Database, clock: Clock, lifetime: SessionLifetime | None = None
    ) -> None:
        lifetime = lifetime or SessionLifetime()
        self._database = database
        self._clock = clock
        self._idle = timedelta(seconds=lifetime.idle_s)
        self._absolute = timedelta(seconds=lifetime.absolute_s)

    def start(self, subject: Subject, *, replaces: str = "") -> str:
        """Begin a session of a user and return its token, always a new one.

        `replaces` is the token the browser came with, if any; its session ends in the same
        transaction, so nobody can plant a session and wait for a sign-in.

        Raises:
            InvalidAccountError: `subject` is not an enabled user of this hub.
        """
        token, now = new_token(), self._clock.now()
        with self._database.unit_of_work() as work:
            user = work.session.get(UserAccountRow, subject.subject_id)
            if subject.kind is not SubjectKind.USER or user is None or not user.enabled:
                raise InvalidAccountError("only an enabled user can have a session")
            if replaces:
                work.session.execute(delete(UserSessionRow).where(_of(replaces)))
            work.session.add(
                UserSessionRow(
                    token_hash=token_hash(token),
                    user_id=user.user_id,
                    started_at=now,
                    last_seen_at=now,
                    ends_at=now + self._absolute,
                )
            )
        return token

    def subject(self, token: str) -> Subject | None:
        """Return who the session of `token` belongs to, with today's rights; None if it is over.

        Being seen is written down once a minute, not on every request.
        """
        return self.subject_of(self.reference(token))

    @staticmethod
    def reference(token: str) -> str:
        """Return what names the session of `token` and opens nothing by itself."""
        return token_hash(token)

    def subject_of(self, reference: str) -> Subject | None:
        """Return what `subject` returns for the session that `reference` names."""
        now = self._clock.now()
        with self._database.read() as session:
            found = session.execute(
                select(UserSessionRow, UserAccountRow)
                .join(UserAccountRow, UserAccountRow.user_id == UserSessionRow.user_id)
                .where(
                    UserSessionRow.token_hash == reference,
                    UserSessionRow.ends_at > now,
                    UserSessionRow.last_seen_at > now - self._idle,
                    UserAccountRow.enabled.is_(True),
                )
            ).one_or_none()
            if found is None:
                return None
            row, user = found
            subject, last_seen_at = account_subject(user), row.last_seen_at
        if now - last_seen_at >= min(_SEEN_EVERY, self._idle / 10):
            with self._database.unit_of_work() as work:
                work.session.execute(
                    update(UserSessionRow)
                    .where(UserSessionRow.token_hash == reference)
                    .values(last_seen_at=now)
                )
        return subject

    def end(self, token: str) -> None:
        """End the session of `token`; nothing happens when there is none."""
        with self._database.unit_of_work() as work:
            work.session.execute(delete(UserSessionRow).where(_of(token)))

    def csrf(self, token: str) -> str:
        """Return the text that forms of this session must send back; it is stored nowhere.

        It is derived from the session's own token, changes with it, and does not reveal it.
        Without a session it is a text that nobody can send back.
        """
        key = (token or new_token()).encode("utf-8", "surrogatepass")
        derived = hmac.digest(key, b"eirhub csrf", "sha256")
        return base64.urlsafe_b64encode(derived).rstrip(b"=").decode()

    def purge(self) -> int:
        """Delete sessions that are over; return how many. For a periodic job."""
        now = self._clock.now()
        over = or_(UserSessionRow.ends_at <= now, UserSessionRow.last_seen_at <= now - self._idle)
        with self._database.unit_of_work() as work:
            ended = work.session.scalars(select(UserSessionRow.token_hash).where(over)).all()
            work.session.execute(delete(UserSessionRow).where(over))
        return len(ended)


def _of(token: str) -> ColumnElement[bool]:
    return UserSessionRow.token_hash == token_hash(token)
