"""Tokens of machines: workstations and systems that ask by HTTP with `Authorization: Bearer`."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from access_control.accounts import check_rights
from access_control.credentials import new_token, token_hash
from access_control.errors import AccountExistsError, InvalidAccountError
from access_control.inert import inert
from access_control.model import Role, Subject, SubjectKind
from access_control.tables import MachineTokenRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

PREFIX = "eirhub_"  # lets secret scanners recognise a token that was left in a file
_SEEN_EVERY = timedelta(seconds=60)
_LONGEST_NAME = 128


@dataclass(frozen=True)
class MachineToken:
    """A token as an administrator sees it; the token itself is known to its machine alone."""

    token_id: str
    name: str
    roles: frozenset[Role]
    sites: frozenset[str] | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class MachineTokens:
    """Tokens in the database, by hash; each has roles, sites, an end, and can be revoked."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        name: str,
        roles: Collection[Role],
        sites: Collection[str] | None,
        expires: datetime,
    ) -> str:
        """Return a new token for the machine `name`, valid until `expires`; shown only now.

        `sites` is where the roles hold, None for the whole region.

        Raises:
            InvalidAccountError: the name, the rights or the end make no sense.
            AccountExistsError: a token of this name exists, revoked ones included.
        """
        now = self._clock.now()
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InvalidAccountError(f"token name: 1 to {_LONGEST_NAME} printable characters")
        if expires <= now:
            raise InvalidAccountError("token: its end must lie in the future")
        check_rights(roles, sites)
        token = PREFIX + new_token()
        row = MachineTokenRow(
            token_id=str(uuid.uuid4()),
            token_hash=token_hash(token),
            name=name,
            roles=sorted(roles),
            sites=None if sites is None else sorted(sites),
            created_at=now,
            expires_at=expires,
        )
        try:
            with self._database.unit_of_work() as work:
                work.session.add(row)
        except IntegrityError as taken:
            raise AccountExistsError(f"a token named {name} exists") from taken
        return token

    def subject(self, token: str) -> Subject | None:
        """Return the machine `token` stands for; None if unknown, expired or revoked.

        Use is written down once a minute, not on every request.
        """
        if not token.startswith(PREFIX):
            return None
        now = self._clock.now()
        with self._database.reading() as connection:
            asked = {"hash": token_hash(token), "now": now}
            row = connection.execute(_IN_FORCE, asked).one_or_none()
        if row is None:
            return None
        if row.last_used_at is None or now - row.last_used_at >= _SEEN_EVERY:
            with self._database.unit_of_work() as work:
                work.session.execute(
                    update(MachineTokenRow)
                    .where(MachineTokenRow.token_id == row.token_id)
                    .values(last_used_at=now)
                )
        return Subject(
            SubjectKind.MACHINE, row.token_id, row.name, roles=_roles(row), sites=_sites(row)
        )

    def revoke(self, token_id: str) -> None:
        """End the token at once; revoking it again changes nothing.

        Raises:
            NotFoundError: there is no such token.
        """
        with self._database.unit_of_work() as work:
            row = work.session.get(MachineTokenRow, inert(token_id, 36))
            if row is None:
                raise NotFoundError("no token of this id")
            row.revoked_at = row.revoked_at or self._clock.now()

    def all(self) -> tuple[MachineToken, ...]:
        """Return every token, revoked and expired ones included, by name."""
        with self._database.read() as session:
            rows = session.scalars(select(MachineTokenRow).order_by(MachineTokenRow.name))
            return tuple(_machine_token(row) for row in rows)


# Asked by every request that nobody remembers: made once, and without the objects of the mapper.
_TOKENS = MachineTokenRow.__table__.c
_IN_FORCE = select(
    _TOKENS.token_id, _TOKENS.name, _TOKENS.roles, _TOKENS.sites, _TOKENS.last_used_at
).where(
    _TOKENS.token_hash == bindparam("hash"),
    _TOKENS.expires_at > bindparam("now"),
    _TOKENS.revoked_at.is_(None),
)


def _machine_token(row: MachineTokenRow) -> MachineToken:
    return MachineToken(
        token_id=row.token_id,
        name=row.name,
        roles=_roles(row),
        sites=_sites(row),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _roles(row: Any) -> frozenset[Role]:
    """Return the roles in a row, be it mapped or a plain one."""
    return frozenset(Role(role) for role in row.roles)


def _sites(row: Any) -> frozenset[str] | None:
    return None if row.sites is None else frozenset(row.sites)
