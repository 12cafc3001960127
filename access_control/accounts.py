"""Local accounts: who may sign in, and what repeated failures lead to."""

import logging
import re
import unicodedata
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from access_control.credentials import LONGEST_SECRET, SecretHasher, new_password, token_hash
from access_control.errors import (
    AccountExistsError,
    AccountLockedError,
    BadCredentialsError,
    InvalidAccountError,
)
from access_control.inert import inert
from access_control.model import ANONYMOUS, Role, Subject, SubjectKind
from access_control.policy import REGIONAL_ROLES
from access_control.tables import SignInFailureRow, UserAccountRow, UserSessionRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

_log = logging.getLogger(__name__)
_USERNAME = re.compile(r"[\w.@+-]{1,64}")
_SHORTEST_PASSWORD = 8
_LONGEST_DISPLAY = 128
_LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True)
class LockoutPolicy:
    """After `failures` failed sign-ins, each within `lock_s` of the last, a name waits `lock_s`."""

    failures: int = 5
    lock_s: float = 900.0


@dataclass(frozen=True)
class AddedUser:
    """A new account; `password` is shown to whoever made it, once, and is stored nowhere."""

    user_id: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Account:
    """An account as an administrator sees it."""

    user_id: str
    username: str
    display_name: str
    roles: frozenset[Role]
    sites: frozenset[str] | None
    language: str
    enabled: bool


class Accounts:
    """The hub's own users, kept in the database; passwords by argon2 hash."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lockout: LockoutPolicy | None = None,
        hasher: SecretHasher | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._lockout = lockout or LockoutPolicy()
        self._hasher = hasher or SecretHasher()

    def add_user(
        self,
        username: str,
        password: str | None,
        roles: Collection[Role],
        sites: Collection[str] | None,
        display_name: str,
    ) -> AddedUser:
        """Add a user who may sign in at once; without `password` a random one is made.

        `sites` is where the roles hold, None for the whole region.

        Raises:
            InvalidAccountError: a value breaks a rule, which the message names.
            AccountExistsError: the name is taken (names differ by more than case and width).
        """
        name = folded_username(username)
        if not _USERNAME.fullmatch(name):
            raise InvalidAccountError("user name: 1 to 64 letters, digits, and . @ + - _")
        check_rights(roles, sites)
        chosen = new_password() if password is None else _checked_password(password)
        row = UserAccountRow(
            user_id=str(uuid.uuid4()),
            username=name,
            display_name=_checked_display(display_name or username),
            password_hash=self._hasher.hash(chosen),
            roles=sorted(roles),
            sites=None if sites is None else sorted(sites),
            language="zh",
            enabled=True,
            created_at=self._clock.now(),
        )
        try:
            with self._database.unit_of_work() as work:
                work.session.add(row)
        except IntegrityError as taken:
            raise AccountExistsError(f"the user name {name} is taken") from taken
        return AddedUser(row.user_id, name, chosen)

    def authenticate(self, username: str, password: str, address: str) -> Subject:
        """Return the subject that `username` and `password` prove.

        An attempt is counted before it is judged, so guessing in parallel gains nothing. Unknown,
        disabled and existing names answer alike, cost alike and are locked alike.

        Raises:
            BadCredentialsError: no enabled account has this name and password.
            AccountLockedError: too many failures lately; says until when.
        """
        name = folded_username(username)
        self._count_attempt(name, address)
        with self._database.read() as session:
            row = _row_of(session, name)
            stored = row.password_hash if row is not None and row.enabled else None
            subject = account_subject(row) if row is not None else ANONYMOUS
        if not self._hasher.matches(stored, password) or stored is None:
            raise BadCredentialsError
        self._welcome(name, password, stored)
        return subject

    def set_password(self, username: str, password: str | None) -> str:
        """Give `username` a new password, a random one without `password`; return it.

        Every session of the user ends, and a lock-out is lifted.

        Raises:
            NotFoundError: there is no such user.
            InvalidAccountError: the password is too short or too long.
        """
        chosen = new_password() if password is None else _checked_password(password)
        hashed, name = self._hasher.hash(chosen), folded_username(username)
        with self._database.unit_of_work() as work:
            row = _required_row(work.session, name)
            row.password_hash = hashed
            _end_sessions(work.session, row.user_id)
            work.session.execute(delete(SignInFailureRow).where(_failures_of(name)))
        return chosen

    def set_enabled(self, username: str, *, enabled: bool) -> None:
        """Let `username` sign in, or no longer; disabling ends every session at once.

        Raises:
            NotFoundError: there is no such user.
        """
        with self._database.unit_of_work() as work:
            row = _required_row(work.session, folded_username(username))
            row.enabled = enabled
            if not enabled:
                _end_sessions(work.session, row.user_id)

    def set_language(self, username: str, language: str) -> None:
        """Remember the language (ISO 639-1) `username` reads.

        Raises:
            NotFoundError: there is no such user.
            InvalidAccountError: `language` is not two small letters.
        """
        if not _LANGUAGE.fullmatch(language):
            raise InvalidAccountError("language: two small letters, as zh or en")
        with self._database.unit_of_work() as work:
            _required_row(work.session, folded_username(username)).language = language

    def subject_of(self, username: str) -> Subject:
        """Return who acts under this name where no password is asked: at the hub's own shell.

        Raises:
            NotFoundError: there is no such account, or it is disabled.
        """
        with self._database.read() as session:
            row = _required_row(session, folded_username(username))
            if not row.enabled:
                raise NotFoundError("this account is disabled")
            return account_subject(row)

    def all(self) -> tuple[Account, ...]:
        """Return every account, by name."""
        with self._database.read() as session:
            rows = session.scalars(select(UserAccountRow).order_by(UserAccountRow.username))
            return tuple(_account(row) for row in rows)

    def _count_attempt(self, name: str, address: str) -> None:
        """Count an attempt as failed until it proves otherwise; refuse when too many were."""
        now, lock = self._clock.now(), timedelta(seconds=self._lockout.lock_s)
        with self._database.unit_of_work() as work:
            work.session.execute(delete(SignInFailureRow).where(_is_forgotten(now, lock)))
            row = _locked_failures(work.session, name, now)
            if row.failures >= self._lockout.failures:
                raise AccountLockedError(row.last_at + lock)
            row.failures, row.last_at = row.failures + 1, now
            if row.failures == self._lockout.failures:
                _log.warning(
                    "sign-in locked for %.0f s, last from %s",
                    self._lockout.lock_s,
                    inert(address, 64),
                )

    def _welcome(self, name: str, password: str, stored: str) -> None:
        renewed = self._hasher.hash(password) if self._hasher.is_outdated(stored) else None
        with self._database.unit_of_work() as work:
            work.session.execute(delete(SignInFailureRow).where(_failures_of(name)))
            row = _row_of(work.session, name)
            if renewed and row is not None and row.password_hash == stored:
                row.password_hash = renewed


def check_rights(roles: Collection[Role], sites: Collection[str] | None) -> None:
    """Refuse rights that could never be used or never be narrowed.

    Raises:
        InvalidAccountError: no role, an unknown role, no site, or a regional role with sites.
    """
    if not roles or not all(isinstance(role, Role) for role in roles):
        raise InvalidAccountError(f"roles: one or more of {', '.join(Role)}")
    if sites is None:
        return
    if isinstance(sites, str) or not sites or not all(sites):
        raise InvalidAccountError("sites: one or more site ids, or none given for the whole region")
    regional = REGIONAL_ROLES & set(roles)
    if regional:
        raise InvalidAccountError(f"role {min(regional)} holds for the whole region, not for sites")


def account_subject(row: UserAccountRow) -> Subject:
    """Return the person behind an account as the one who asks."""
    return Subject(
        kind=SubjectKind.USER,
        subject_id=row.user_id,
        display=row.display_name,
        roles=frozenset(Role(role) for role in row.roles),
        sites=None if row.sites is None else frozenset(row.sites),
        language=row.language,
    )


def folded_username(username: str) -> str:
    """Return the one form of a user name: full-width, case and padding make no other person."""
    return unicodedata.normalize("NFKC", username).casefold().strip()


def _checked_password(password: str) -> str:
    if not _SHORTEST_PASSWORD <= len(password) <= LONGEST_SECRET:
        raise InvalidAccountError(f"password: {_SHORTEST_PASSWORD} to {LONGEST_SECRET} characters")
    return password


def _checked_display(name: str) -> str:
    if len(name) > _LONGEST_DISPLAY or not name.isprintable():
        raise InvalidAccountError(f"display name: at most {_LONGEST_DISPLAY} printable characters")
    return name


def _row_of(session: Session, name: str) -> UserAccountRow | None:
    return session.scalars(
        select(UserAccountRow).where(UserAccountRow.username == inert(name, 64))
    ).one_or_none()


def _required_row(session: Session, name: str) -> UserAccountRow:
    row = _row_of(session, name)
    if row is None:
        raise NotFoundError("no user of this name")
    return row


def _failures_of(name: str) -> ColumnElement[bool]:
    return SignInFailureRow.name_hash == token_hash(name)


def _is_forgotten(now: datetime, lock: timedelta) -> ColumnElement[bool]:
    """Failures older than the lock-out are void, so names that nobody has do not pile up."""
    return SignInFailureRow.last_at <= now - lock


def _locked_failures(session: Session, name: str, now: datetime) -> SignInFailureRow:
    """The row that counts for `name`, locked; made when there is none."""
    query = select(SignInFailureRow).where(_failures_of(name)).with_for_update()
    row = session.scalars(query).one_or_none()
    if row is None:
        try:
            with session.begin_nested():
                session.add(SignInFailureRow(name_hash=token_hash(name), failures=0, last_at=now))
        except IntegrityError:
            _log.debug("two first failures of one name at the same time")
        row = session.scalars(query).one()
    return row


def _end_sessions(session: Session, user_id: str) -> None:
    session.execute(delete(UserSessionRow).where(UserSessionRow.user_id == user_id))


def _account(row: UserAccountRow) -> Account:
    subject = account_subject(row)
    return Account(
        user_id=row.user_id,
        username=row.username,
        display_name=row.display_name,
        roles=subject.roles,
        sites=subject.sites,
        language=row.language,
        enabled=row.enabled,
    )
