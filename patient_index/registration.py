"""Write what a source says about a patient, and let the rules link persons, in one unit of work."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from sqlalchemy import Select, Table, and_, bindparam, func, or_, select
from sqlalchemy.sql.expression import ColumnElement

from hub_kernel.database import Base
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.pairs import bound, is_any_bound
from hub_kernel.person_names import PersonName, name_keys
from patient_index import candidates
from patient_index.link_log import FIRST_SEEN, LinkWriter
from patient_index.linking import Linker, Newcomer
from patient_index.matcher import Matcher, key_of
from patient_index.model import Demographics, FeedOutcome
from patient_index.rows import add, add_one, table_of
from patient_index.statements import Statement
from patient_index.tables import (
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    LinkLog,
    ObservedDemographics,
)
from patient_index.tables_feed import (
    ClaimedIdentifier,
    MatchKey,
    PersonRelation,
    StatedPhone,
    StatementDetail,
)
from patient_index.text_keys import folded, phone_digits, sound_key
from patient_index.transactions import Work, hold

MOTHER = "mother"


@dataclass(frozen=True)
class _Holder:
    identifier_id: int
    global_id: str


class Registrar:
    """Writes inside the unit of work it is given; commits nothing itself."""

    def __init__(self, work: Work, matcher: Matcher | None) -> None:
        self._work = work
        self._session = work.session
        self._now = work.now
        self._matcher = matcher
        self._links = LinkWriter(work)

    def register(self, statement: Statement) -> FeedOutcome:
        """Store the statement, apply the rules, return the global ID of its first identifier."""
        newcomer = self._prepared(statement)
        hold(self._session, [*newcomer.keys, *map(key_of, _names_of(statement))])
        known = self._known(statement.own)
        holder = known.get(_key(statement.own[0]))
        # Its own ID first, whatever the rules say next: an undone link has somewhere to return to.
        global_id = holder.global_id if holder else self._links.issue()
        unknown = [one for one in statement.own if _key(one) not in known]
        added = self._add_identifiers(unknown, global_id)
        identifier_id = holder.identifier_id if holder else added[0]
        news = self._store(identifier_id, statement, is_new=holder is None)
        if not (news or added):
            return FeedOutcome(global_id, created=False)
        self._add_keys(identifier_id, newcomer.keys, is_new=holder is None)
        linked = Linker(self._work, self._links, self._matcher).apply(
            Newcomer(
                identifier_id,
                global_id,
                statement,
                explicit={
                    one.identifier_id: one.global_id
                    for one in known.values()
                    if one.global_id != global_id
                },
                record=newcomer.record,
                keys=newcomer.keys,
                is_new=holder is None,
            )
        )
        return FeedOutcome(
            linked.global_id,
            created=holder is None,
            linked_by=linked.rule,
            review_id=linked.review_id,
        )

    def _prepared(self, statement: Statement) -> Newcomer:
        """Make keys before anything is locked; likeness is not for the provisional."""
        name = statement.demographics.name
        if self._matcher is None or statement.provisional or not name.confident:
            return Newcomer(0, "", statement)
        record = self._matcher.record(
            statement.demographics, candidates.compared_identifiers(statement)
        )
        return Newcomer(0, "", statement, record=record, keys=self._matcher.keys(record))

    def _known(self, identifiers: Sequence[PatientIdentifier]) -> dict[tuple[str, str], _Holder]:
        rows = self._session.execute(_known_query(), bound("pairs", list(map(_key, identifiers))))
        return {(value, oid): _Holder(one, global_id) for value, oid, one, global_id in rows}

    def _add_identifiers(
        self, identifiers: Sequence[PatientIdentifier], global_id: str
    ) -> list[int]:
        added = [
            add_one(
                self._session,
                KnownIdentifier,
                {
                    "value": one.value.strip(),
                    "issuer_oid": one.issuer.oid,
                    "issuer_namespace": one.issuer.namespace,
                    "registered_at": self._now,
                },
            )
            for one in identifiers
        ]
        self._links.register(added, global_id, FIRST_SEEN)
        return added

    def _store(self, identifier_id: int, statement: Statement, *, is_new: bool) -> bool:
        """Store what is new in the statement; tell whether anything was."""
        fingerprint = statement.fingerprint
        if not is_new:
            fingerprint = self._fingerprint_of_news(identifier_id, statement)
            if not fingerprint:
                return False
        self._add_demographics(identifier_id, statement, fingerprint)
        self._add_numbers(identifier_id, statement, is_new=is_new)
        for entity, wanted, stamp in (
            (ClaimedIdentifier, _claims(identifier_id, statement), self._stamp("claimed_at")),
            (PersonRelation, _relations(identifier_id, statement), self._stamp("stated_at")),
            (StatedPhone, _phones(identifier_id, statement), {}),
        ):
            self._add_missing(entity, wanted, stamp, is_new=is_new)
        return True

    def _fingerprint_of_news(self, identifier_id: int, statement: Statement) -> str:
        """Return under which fingerprint the statement is stored, "" when it says nothing new."""
        mine = ObservedDemographics.identifier_id == identifier_id
        latest = self._session.scalar(
            select(ObservedDemographics.fingerprint)
            .where(mine)
            .order_by(ObservedDemographics.id.desc())
            .limit(1)
        )
        said = ObservedDemographics.fingerprint == statement.fingerprint
        if latest == statement.fingerprint:
            return ""
        if self._session.scalar(select(ObservedDemographics.id).where(mine, said)) is None:
            return statement.fingerprint
        if not statement.repeatable:
            return ""
        # A feed has returned to what it said before something else: stored again, as the latest.
        count = self._session.scalar(
            select(func.count()).select_from(ObservedDemographics).where(mine)
        )
        return hashlib.sha256(f"{statement.fingerprint}/{count}".encode()).hexdigest()

    def _add_demographics(self, identifier_id: int, statement: Statement, fingerprint: str) -> None:
        said = statement.demographics
        name, keys = _storable(said.name), name_keys(said.name)
        row = {
            "identifier_id": identifier_id,
            "fingerprint": fingerprint,
            "name_alphabetic": name.alphabetic[:255],
            "name_ideographic": name.ideographic[:255],
            "name_phonetic": name.phonetic[:255],
            "name_confident": name.confident,
            "name_rule": name.rule[:64],
            "key_hanzi": keys.hanzi[:255],
            "key_pinyin": keys.pinyin[:255],
            "key_initials": keys.initials[:255],
            "key_alphabetic": keys.alphabetic[:255],
            "birth_date": said.birth_date,
            "sex": said.sex[:16],
            "observed_at": self._now,
        }
        observed_id = add_one(self._session, ObservedDemographics, row)
        if statement.details or statement.provisional:
            add(self._session, StatementDetail, [_detail(observed_id, statement)])

    def _add_numbers(self, identifier_id: int, statement: Statement, *, is_new: bool) -> None:
        numbers = statement.numbers
        if not numbers:
            return
        # Locked until commit (SQLite locks everything anyway): two sites that bring the same
        # number at the same moment decide one after the other, and the second sees the first.
        rows = self._session.execute(
            _numbers_query(), {"values": [number.value for number in numbers]}
        )
        known = {(row.value, row.kind): row.id for row in rows}
        for one in numbers:
            if (one.value, one.kind.value) not in known:
                row = {"value": one.value, "kind": one.kind.value}
                known[one.value, one.kind.value] = add_one(self._session, IdentityNumberRow, row)
        wanted = [
            {"identifier_id": identifier_id, "number_id": known[one.value, one.kind.value]}
            for one in numbers
        ]
        self._add_missing(IdentityEvidence, wanted, self._stamp("observed_at"), is_new=is_new)

    def _add_keys(self, identifier_id: int, keys: Sequence[int], *, is_new: bool) -> None:
        wanted: list[dict[str, object]] = [
            {"identifier_id": identifier_id, "key": key} for key in keys
        ]
        self._add_missing(MatchKey, wanted, {}, is_new=is_new)

    def _add_missing(
        self,
        entity: type[Base],
        wanted: list[dict[str, object]],
        stamp: Mapping[str, object],
        *,
        is_new: bool = False,
    ) -> None:
        """Insert those of `wanted` that the table does not hold; all keys tell rows apart."""
        if not wanted:
            return
        distinct = {tuple(row.items()): row for row in wanted}
        if not is_new:
            table = table_of(entity)
            columns = [table.c[name] for name in wanted[0]]
            same = or_(*(_is_row(table, row) for row in wanted))
            for stored in self._session.execute(select(*columns).where(same)):
                distinct.pop(tuple(zip(wanted[0], stored, strict=True)), None)
        add(self._session, entity, [row | dict(stamp) for row in distinct.values()])

    def _stamp(self, column: str) -> dict[str, object]:
        return {column: self._now}


# Built once: putting a statement together costs more than running it.
@cache
def _known_query() -> Select[str, str, int, str]:
    return (
        select(
            KnownIdentifier.value,
            KnownIdentifier.issuer_oid,
            LinkLog.identifier_id,
            LinkLog.global_id,
        )
        .join(LinkLog, LinkLog.identifier_id == KnownIdentifier.id)
        .where(is_any_bound(KnownIdentifier.value, KnownIdentifier.issuer_oid, "pairs"))
        .order_by(LinkLog.position)
    )


@cache
def _numbers_query() -> Select[int, str, str]:
    return (
        select(IdentityNumberRow.id, IdentityNumberRow.value, IdentityNumberRow.kind)
        .where(IdentityNumberRow.value.in_(bindparam("values", expanding=True)))
        .order_by(IdentityNumberRow.id)
        .with_for_update()
    )


def _key(identifier: PatientIdentifier) -> tuple[str, str]:
    return identifier.value.strip(), identifier.issuer.oid


def _names_of(statement: Statement) -> Iterable[str]:
    """What two statements about one person may have in common beside their match keys."""
    identifiers = (*statement.own, *(one.identifier for one in statement.claims))
    yield from (f"identifier:{value}:{oid}" for value, oid in map(_key, identifiers))
    yield from (f"number:{number.value}" for number in statement.numbers)


def _is_row(table: Table, row: Mapping[str, object]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in row.items()))


def _storable(name: PersonName) -> PersonName:
    """A device may send NUL, which no PostgreSQL text holds."""
    groups = (name.alphabetic, name.ideographic, name.phonetic)
    if not any("\0" in group for group in groups):
        return name
    return replace(
        name,
        alphabetic=name.alphabetic.replace("\0", ""),
        ideographic=name.ideographic.replace("\0", ""),
        phonetic=name.phonetic.replace("\0", ""),
    )


def _claims(identifier_id: int, statement: Statement) -> list[dict[str, object]]:
    return [
        {
            "identifier_id": identifier_id,
            "value": one.identifier.value.strip(),
            "issuer_oid": one.identifier.issuer.oid,
            "issuer_namespace": one.identifier.issuer.namespace,
            "kind": one.kind.value,
        }
        for one in statement.claims
    ]


def _relations(identifier_id: int, statement: Statement) -> list[dict[str, object]]:
    return [
        {
            "identifier_id": identifier_id,
            "relation": MOTHER,
            "value": one.value.strip(),
            "issuer_oid": one.issuer.oid,
            "issuer_namespace": one.issuer.namespace,
        }
        for one in statement.demographics.mothers_identifiers
    ]


def _phones(identifier_id: int, statement: Statement) -> list[dict[str, object]]:
    digits = map(phone_digits, statement.demographics.phones)
    return [{"digits": one, "identifier_id": identifier_id} for one in digits if one]


def _detail(observed_id: int, statement: Statement) -> dict[str, object]:
    said: Demographics = statement.demographics
    return {
        "observed_id": observed_id,
        "source": statement.source,
        "provisional": statement.provisional,
        "details": statement.details,
        "key_street": folded(said.address.street or said.address.text),
        "key_city": folded(said.address.city),
        "key_province": folded(said.address.province),
        "key_postal_code": folded(said.address.postal_code),
        "key_mother": sound_key(said.mother_name),
    }
