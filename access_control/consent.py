"""What a person agrees to and refuses: written down for good, asked before every disclosure.

Without a statement the rights of `policy.GRANTS` hold. A statement covers the identifiers the
person had when it was made, so it follows them through merge and unmerge: a person with any
refused identifier is refused, until a later statement about all of them says otherwise.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from access_control.errors import InvalidConsentError
from access_control.model import NO_REFUSALS, Refusals
from access_control.tables_consent import ConsentEntryRow, ConsentIdentifierRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import ConsentRecorded, new_event
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.pairs import bound, is_any_bound

EVERYONE = "all"
"""Nobody may see anything of the person."""
SHARING = "sharing"
"""Nothing of the person may be opened by a shared link."""
_SITE = "site:"
_SCOPE = re.compile(r"all|sharing|site:[A-Za-z0-9._-]{1,64}")
_LONGEST_REASON = 400
_VALUES_PER_QUERY = 400

# As the patient index compares identifiers: value and OID, whatever the namespace is called.
_Key = tuple[str, str]


class ConsentKind(StrEnum):
    """What a statement says."""

    GRANT = "grant"
    REFUSE = "refuse"


@dataclass(frozen=True)
class ConsentEntry:
    """One statement: who wrote it down, when and why. `reason` names no patient."""

    entry_id: int
    global_id: str
    kind: ConsentKind
    scope: str
    by: str
    reason: str
    recorded_at: datetime


class PersonIdentifiers(Protocol):
    """Who is one person; the patient index knows."""

    def of_person(self, global_id: str) -> Collection[PatientIdentifier]:
        """Return every identifier that resolves to the global ID, now."""
        ...

    def of_holders(
        self, identifiers: Collection[PatientIdentifier]
    ) -> Mapping[PatientIdentifier, Collection[PatientIdentifier]]:
        """Return, for each identifier, every identifier of its holder, now."""
        ...


def site_scope(site_id: str) -> str:
    """Return the scope "who works at this site"."""
    return _SITE + site_id


class Consents:
    """Consents in the database: every process of the hub honours one from its commit on."""

    def __init__(self, database: Database, clock: Clock, people: PersonIdentifiers) -> None:
        self._database = database
        self._clock = clock
        self._people = people

    def record(
        self,
        global_id: str,
        kind: ConsentKind,
        scope: str,
        *,
        by: str,
        reason: str,
        also: Callable[[Session], None] | None = None,
    ) -> ConsentEntry:
        """Write down what the person says, for good; it holds from now on.

        `also` is called last in the same transaction, to put it on record.

        Raises:
            InvalidConsentError: no such scope, or no reason.
            NotFoundError: nothing resolves to that global ID.
        """
        if not _SCOPE.fullmatch(scope):
            raise InvalidConsentError("scope: all, sharing or site: and the ID of a site")
        said = reason.strip()
        if not said or len(said) > _LONGEST_REASON or not said.isprintable():
            raise InvalidConsentError(f"reason: 1 to {_LONGEST_REASON} printable characters")
        identifiers = tuple(self._people.of_person(global_id))
        covered = {_key(identifier) for identifier in identifiers}
        if not covered:
            raise NotFoundError("no identifier resolves to this global ID")
        row = ConsentEntryRow(
            global_id=global_id,
            kind=kind.value,
            scope=scope,
            reason=said,
            recorded_by=by[:128],
            recorded_at=self._clock.now(),
        )
        with self._database.unit_of_work() as work:
            _add(work.session, row, covered)
            recorded = new_event(
                ConsentRecorded,
                work.clock,
                global_id=global_id,
                identifiers=identifiers,
                sharing_ends=kind is ConsentKind.REFUSE and scope in {EVERYONE, SHARING},
            )
            work.publish(recorded)
            if also is not None:
                also(work.session)
        return _entry(row)

    def current(self, global_id: str) -> tuple[ConsentEntry, ...]:
        """Return the statement that holds for each scope, refusals first.

        Where two parts of a merged person have said different things the refusal holds.
        """
        keys = {_key(identifier) for identifier in self._people.of_person(global_id)}
        with self._database.read() as session:
            said = _statements(session, keys)
        latest: dict[tuple[_Key, str], ConsentEntry] = {}
        for key, entry in said:
            latest[key, entry.scope] = entry
        holding: dict[str, ConsentEntry] = {}
        for (_, scope), entry in latest.items():
            known = holding.get(scope)
            if known is None or _weight(entry) > _weight(known):
                holding[scope] = entry
        return tuple(
            sorted(
                holding.values(), key=lambda entry: (entry.kind is ConsentKind.GRANT, entry.scope)
            )
        )

    def history(self, global_id: str) -> tuple[ConsentEntry, ...]:
        """Return every statement that covers an identifier of the person, latest first."""
        keys = {_key(identifier) for identifier in self._people.of_person(global_id)}
        with self._database.read() as session:
            entries = {entry.entry_id: entry for _, entry in _statements(session, keys)}
        return tuple(entries[entry_id] for entry_id in sorted(entries, reverse=True))

    def refusals_of(self, global_id: str) -> Refusals:
        """Return what the person refuses now."""
        return self.refusals(self._people.of_person(global_id))

    def refusals(self, identifiers: Iterable[PatientIdentifier]) -> Refusals:
        """Return what the one person who has all of `identifiers` refuses now; one query."""
        with self._database.read() as session:
            return _refused(_statements(session, {_key(one) for one in identifiers}))

    def somebody_refuses(self) -> bool:
        """Say whether anybody has ever refused anything: without it nothing need be looked up."""
        refused = exists().where(ConsentEntryRow.kind == ConsentKind.REFUSE.value)
        with self._database.read() as session:
            return bool(session.scalar(select(refused)))

    def refusals_among(
        self, identifiers: Collection[PatientIdentifier]
    ) -> Mapping[PatientIdentifier, Refusals]:
        """Return what the holders of `identifiers` refuse now; who refuses nothing is left out.

        For lists: three queries for hundreds of identifiers, one while nobody has refused anything.
        """
        if not identifiers or not self.somebody_refuses():
            return {}
        holders = self._people.of_holders(identifiers)
        everything = {_key(one) for group in holders.values() for one in group}
        said: dict[_Key, list[ConsentEntry]] = {}
        with self._database.read() as session:
            for key, entry in _statements(session, everything):
                said.setdefault(key, []).append(entry)
        found = {
            identifier: _refused(
                [(key, entry) for key in set(map(_key, group)) for entry in said.get(key, ())]
            )
            for identifier, group in holders.items()
        }
        return {identifier: refusals for identifier, refusals in found.items() if refusals}


def _add(session: Session, row: ConsentEntryRow, covered: Collection[_Key]) -> None:
    session.add(row)
    session.flush()
    session.add_all(
        ConsentIdentifierRow(entry_id=row.entry_id, value=value, issuer_oid=oid)
        for value, oid in sorted(covered)
    )
    session.flush()


def _statements(session: Session, keys: Collection[_Key]) -> list[tuple[_Key, ConsentEntry]]:
    """Return what was said about each of these identifiers, oldest first."""
    found: list[tuple[_Key, ConsentEntry]] = []
    wanted = sorted(keys)
    for start in range(0, len(wanted), _VALUES_PER_QUERY):
        asked = bound("keys", wanted[start : start + _VALUES_PER_QUERY])
        rows = session.connection().execute(_SAID, asked)
        found.extend(((row.value, row.issuer_oid), _entry(row)) for row in rows)
    return found


# Asked before every disclosure: made once, and without the objects of the mapper.
_ENTRIES, _COVERED = ConsentEntryRow.__table__, ConsentIdentifierRow.__table__
_SAID = (
    select(_COVERED.c.value, _COVERED.c.issuer_oid, _ENTRIES)
    .join_from(_COVERED, _ENTRIES, _ENTRIES.c.entry_id == _COVERED.c.entry_id)
    .where(is_any_bound(_COVERED.c.value, _COVERED.c.issuer_oid, "keys"))
    .order_by(_ENTRIES.c.entry_id)
)


def _refused(said: Iterable[tuple[_Key, ConsentEntry]]) -> Refusals:
    latest = {(key, entry.scope): entry.kind for key, entry in said}
    scopes = {scope for (_, scope), kind in latest.items() if kind is ConsentKind.REFUSE}
    if not scopes:
        return NO_REFUSALS
    return Refusals(
        everyone=EVERYONE in scopes,
        sharing=SHARING in scopes,
        site_ids=frozenset(s.removeprefix(_SITE) for s in scopes if s.startswith(_SITE)),
    )


def _weight(entry: ConsentEntry) -> tuple[bool, int]:
    return entry.kind is ConsentKind.REFUSE, entry.entry_id


def _entry(row: Any) -> ConsentEntry:
    """Return the statement in a row, be it mapped or a plain one with the same columns."""
    return ConsentEntry(
        entry_id=row.entry_id,
        global_id=row.global_id,
        kind=ConsentKind(row.kind),
        scope=row.scope,
        by=row.recorded_by,
        reason=row.reason,
        recorded_at=row.recorded_at,
    )


def _key(identifier: PatientIdentifier) -> _Key:
    return identifier.value.strip(), identifier.issuer.oid
