"""Shared links: a citizen's door to the public version of one study, by link and passcode.

What is stored opens nothing: the token by its hash, the passcode by argon2 over an HMAC under a key
that is not in the database, for six digits alone could be tried out on a stolen copy.
"""

import hmac
import re
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from access_control.credentials import (
    SecretHasher,
    is_plain_row,
    new_passcode,
    new_token,
    token_hash,
)
from access_control.errors import InvalidLinkError, LinkRefusedError
from access_control.inert import inert
from access_control.link_attempts import (
    Attempt,
    AttemptLimits,
    asked_link,
    count_attempt,
    forgive,
    is_locked,
)
from access_control.model import Subject, SubjectKind
from access_control.tables import (
    SharedLinkAttemptRow,
    SharedLinkGrantRow,
    SharedLinkRow,
    SharedLinkVisitRow,
)
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.identifiers import require_uid

MOST_VIEWS = 1_000_000
_PASSCODE = re.compile(r"[0-9]{6,8}")
_LONGEST_ADDRESS = _LONGEST_RECIPIENT = 64


@dataclass(frozen=True)
class LinkPolicy:
    """Limits of every link: `failures` wrong passcodes in a row lock it for good.

    So do `failures_in_all` in its whole life: who guesses between honest openings gains nothing.
    """

    failures: int = 10
    failures_in_all: int = 30
    passcode_digits: int = 6
    grant_s: float = 1800.0
    longest_life_days: float = 90.0


@dataclass(frozen=True)
class ShareRequest:
    """What is to be shared, by whom, until when; without a passcode a random one is made.

    `max_views` caps how often the link is opened, None does not.
    """

    study_instance_uid: str
    global_id: str
    created_by: str
    expires_at: datetime
    passcode: str | None = field(default=None, repr=False)
    max_views: int | None = None


@dataclass(frozen=True)
class NewLink:
    """A link just made; token and passcode are shown now and never again, by two ways."""

    link_id: str
    token: str = field(repr=False)
    passcode: str = field(repr=False)


@dataclass(frozen=True)
class LinkGrant:
    """The right to see one study's public version until `ends_at`, or until the link dies.

    `grant_token` belongs in a cookie; it is empty in what `SharedLinks.grant` returns.
    """

    link_id: str
    study_instance_uid: str
    global_id: str
    ends_at: datetime
    grant_token: str = field(default="", repr=False)

    def as_subject(self) -> Subject:
        """Return whoever holds the link as the one who asks, for `decide` and the audit record."""
        return Subject(
            SubjectKind.LINK, self.link_id, "link", bound_study_uid=self.study_instance_uid
        )


@dataclass(frozen=True)
class LinkVisit:
    """One successful opening, as the citizen reads it: who opened my images.

    `recipient` is how a health app called whoever used it, empty for a browser.
    """

    link_id: str
    opened_at: datetime
    address: str
    recipient: str = ""


@dataclass(frozen=True)
class LinkStatus:
    """A link as the one who made it sees it."""

    link_id: str
    study_instance_uid: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    locked: bool
    views: int
    max_views: int | None


class SharedLinks:
    """Links in the database. `key` is 32 secret bytes from outside it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: bytes,
        *,
        policy: LinkPolicy | None = None,
        hasher: SecretHasher | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._policy = policy or LinkPolicy()
        self._hasher = hasher or SecretHasher()
        self._limits = AttemptLimits(self._policy.failures, self._policy.failures_in_all)

    def create(self, request: ShareRequest) -> NewLink:
        """Make a link to one study and return it with its passcode.

        Raises:
            InvalidLinkError: expiry, passcode or view cap break a rule.
            InvalidUidError: the study is not named by a UID.
        """
        now = self._clock.now()
        self._check(request, now)
        passcode = request.passcode or new_passcode(self._policy.passcode_digits)
        token = new_token()
        row = SharedLinkRow(
            link_id=str(uuid.uuid4()),
            token_hash=token_hash(token),
            passcode_hash=self._hasher.hash(self._peppered(passcode)),
            study_instance_uid=request.study_instance_uid,
            global_id=request.global_id,
            created_by=request.created_by,
            created_at=now,
            expires_at=request.expires_at,
            max_views=request.max_views,
            views=0,
        )
        with self._database.unit_of_work() as work:
            work.session.add(row)
            work.session.add(
                SharedLinkAttemptRow(
                    link_id=row.link_id, failures=0, failures_in_all=0, last_at=now
                )
            )
        return NewLink(row.link_id, token, passcode)

    def open(self, token: str, passcode: str, address: str, *, recipient: str = "") -> LinkGrant:
        """Open a link; the visit is on record and counts towards its cap.

        Every refusal is the same error after the same work: one counted write, one argon2. An
        attempt is counted before it is judged, so guessing in parallel gains nothing.

        Raises:
            LinkRefusedError: whatever the reason.
        """
        attempt = self._count_attempt(token)
        link = attempt.link
        stored = link.passcode_hash if link else None
        if not self._hasher.matches(stored, self._peppered(passcode)) or link is None:
            raise LinkRefusedError(attempt.remaining if link else None)
        return self._admit(link.link_id, inert(address, _LONGEST_ADDRESS), recipient)

    def grant(self, grant_token: str) -> LinkGrant | None:
        """Return what `grant_token` opens; None once it or its link is over or revoked."""
        now = self._clock.now()
        with self._database.read() as session:
            found = session.execute(
                select(SharedLinkGrantRow.ends_at, SharedLinkRow)
                .join(SharedLinkRow, SharedLinkRow.link_id == SharedLinkGrantRow.link_id)
                .where(
                    SharedLinkGrantRow.token_hash == token_hash(grant_token),
                    SharedLinkGrantRow.ends_at > now,
                    _is_alive(now),
                )
            ).one_or_none()
            if found is None:
                return None
            ends_at, link = found
            return LinkGrant(link.link_id, link.study_instance_uid, link.global_id, ends_at)

    def behind(self, token: str) -> LinkGrant | None:
        """Return what a living link leads to, without its passcode; None for any other token.

        For a signed-in reader who scans its code, and for whoever proves by other means to have
        opened it. Says nothing about rights: ask `decide` about the study.
        """
        with self._database.read() as session:
            link = session.scalars(
                select(SharedLinkRow).where(
                    SharedLinkRow.token_hash == token_hash(token), _is_alive(self._clock.now())
                )
            ).one_or_none()
            if link is None:
                return None
            return LinkGrant(link.link_id, link.study_instance_uid, link.global_id, link.expires_at)

    def revoke(self, link_id: str) -> None:
        """End the link and everything opened with it, at once; again changes nothing.

        Raises:
            NotFoundError: there is no such link.
        """
        with self._database.unit_of_work() as work:
            row = work.session.get(SharedLinkRow, inert(link_id, 36))
            if row is None:
                raise NotFoundError("no link of this id")
            row.revoked_at = row.revoked_at or self._clock.now()

    def revoke_all(
        self,
        study_instance_uid: str,
        *,
        keep: str | None,
        ended: Callable[[Session, list[str]], None],
    ) -> None:
        """End every living link to the study but those made for the person `keep` (a global ID).

        `ended` is called in the same transaction with the identifiers of those that die.
        """
        with self._database.unit_of_work() as work:
            dead = self.end_all(work.session, study_instance_uid, keep=keep)
            if dead:
                ended(work.session, dead)

    def end_all(
        self, session: Session, study_instance_uid: str, *, keep: str | None = None
    ) -> list[str]:
        """End links as `revoke_all` in the caller's transaction; return which died."""
        now = self._clock.now()
        rows = session.scalars(
            select(SharedLinkRow).where(
                SharedLinkRow.study_instance_uid == study_instance_uid, _is_alive(now)
            )
        ).all()
        dead = [row for row in rows if keep is None or row.global_id != keep]
        for row in dead:
            row.revoked_at = now
        return [row.link_id for row in dead]

    def links_of(self, study_instance_uid: str) -> tuple[LinkStatus, ...]:
        """Return every link ever made to the study, newest first."""
        query = (
            select(SharedLinkRow, SharedLinkAttemptRow)
            .join(SharedLinkAttemptRow, SharedLinkAttemptRow.link_id == SharedLinkRow.link_id)
            .where(SharedLinkRow.study_instance_uid == inert(study_instance_uid, 64))
            .order_by(SharedLinkRow.created_at.desc(), SharedLinkRow.link_id)
        )
        with self._database.read() as session:
            return tuple(self._status(row, attempts) for row, attempts in session.execute(query))

    def visits(self, link_id: str) -> tuple[LinkVisit, ...]:
        """Return who opened the link, newest first."""
        return self._visits(SharedLinkVisitRow.link_id == inert(link_id, 36))

    def views_of(self, study_instance_uid: str) -> tuple[LinkVisit, ...]:
        """Return who opened the study by any link, newest first: the citizen's access log."""
        return self._visits(SharedLinkRow.study_instance_uid == inert(study_instance_uid, 64))

    def purge(self) -> int:
        """Delete grants that are over; return how many. For a periodic job."""
        over = SharedLinkGrantRow.ends_at <= self._clock.now()
        with self._database.unit_of_work() as work:
            ended = work.session.scalars(select(SharedLinkGrantRow.token_hash).where(over)).all()
            work.session.execute(delete(SharedLinkGrantRow).where(over))
        return len(ended)

    def _check(self, request: ShareRequest, now: datetime) -> None:
        require_uid(request.study_instance_uid, "Study Instance UID")
        longest = timedelta(days=self._policy.longest_life_days)
        if not now < request.expires_at <= now + longest:
            raise InvalidLinkError(f"link: must end within {longest.days} days from now")
        given = request.passcode
        if given is not None and (not _PASSCODE.fullmatch(given) or is_plain_row(given)):
            raise InvalidLinkError(
                "passcode: 6 to 8 digits, not all alike, not counting up or down"
            )
        if request.max_views is not None and not 1 <= request.max_views <= MOST_VIEWS:
            raise InvalidLinkError(f"link: a view cap is a number from 1 to {MOST_VIEWS}")

    def _count_attempt(self, token: str) -> Attempt:
        with self._database.unit_of_work() as work:
            link = asked_link(work.session, token_hash(token))
            return count_attempt(work.session, link, self._limits, self._clock.now())

    def _admit(self, link_id: str, address: str, recipient: str) -> LinkGrant:
        """Count the view under lock: of two who open the last view at once, one is refused."""
        now, token = self._clock.now(), new_token()
        with self._database.unit_of_work() as work:
            link = work.session.scalars(
                select(SharedLinkRow)
                .where(SharedLinkRow.link_id == link_id, _is_alive(now))
                .with_for_update()
            ).one_or_none()
            if link is None or (link.max_views is not None and link.views >= link.max_views):
                raise LinkRefusedError
            link.views += 1
            forgive(work.session, link_id, now)
            ends_at = min(link.expires_at, now + timedelta(seconds=self._policy.grant_s))
            work.session.add(
                SharedLinkGrantRow(token_hash=token_hash(token), link_id=link_id, ends_at=ends_at)
            )
            work.session.add(
                SharedLinkVisitRow(
                    visit_id=str(uuid.uuid4()),
                    link_id=link_id,
                    opened_at=now,
                    address=address,
                    recipient=inert(recipient, _LONGEST_RECIPIENT),
                )
            )
            return LinkGrant(link_id, link.study_instance_uid, link.global_id, ends_at, token)

    def _visits(self, condition: ColumnElement[bool]) -> tuple[LinkVisit, ...]:
        query = (
            select(SharedLinkVisitRow)
            .join(SharedLinkRow, SharedLinkRow.link_id == SharedLinkVisitRow.link_id)
            .where(condition)
            .order_by(SharedLinkVisitRow.opened_at.desc(), SharedLinkVisitRow.visit_id)
        )
        with self._database.read() as session:
            return tuple(
                LinkVisit(row.link_id, row.opened_at, row.address, row.recipient)
                for row in session.scalars(query)
            )

    def _status(self, row: SharedLinkRow, attempts: SharedLinkAttemptRow) -> LinkStatus:
        return LinkStatus(
            link_id=row.link_id,
            study_instance_uid=row.study_instance_uid,
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            locked=is_locked(attempts, self._limits),
            views=row.views,
            max_views=row.max_views,
        )

    def _peppered(self, passcode: str) -> str:
        """The passcode as typed, spaces, hyphens and full-width digits forgiven, under the key."""
        plain = re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", passcode[:64]))
        return hmac.new(self._key, plain.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _is_alive(now: datetime) -> ColumnElement[bool]:
    return SharedLinkRow.revoked_at.is_(None) & (SharedLinkRow.expires_at > now)
