"""The one window for everything that is asked about patients: PIX, PDQ, matching (ITI-9, 21, 119).

Nothing here writes. What is answered follows the link log, now or as it was at an earlier time.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index import finding, queries, resolving
from patient_index.candidates import compared_identifiers_of, records, sharing_keys
from patient_index.domains import DomainDirectory
from patient_index.errors import UnknownIdentifierError
from patient_index.grading import Compared, graded
from patient_index.matcher import Matcher
from patient_index.model import Page, PatientStatement, Person, PersonCriteria, ScoredPerson
from patient_index.people import whole_persons
from patient_index.service import PatientIndex

_MOST_PERSONS = 1000


class PatientLookup:
    """Answers questions about persons; safe to use from many threads."""

    def __init__(self, index: PatientIndex, domains: DomainDirectory) -> None:
        self._index = index
        self._domains = domains

    def cross_references(
        self,
        identifier: PatientIdentifier,
        target_oids: Collection[str] | None = None,
        *,
        as_of: datetime | None = None,
    ) -> tuple[PatientIdentifier, ...]:
        """Return the identifiers of whoever has this one, in the target domains or in all.

        The global ID comes first, then the others from the oldest on, the one asked about last:
        the answer is never empty without targets. Identifiers that a site merged away are left
        out, but may be asked about. Numbers that sources stated without issuing them are included.

        Raises:
            UnknownDomainError: the identifier's issuer, or a target, is not known here.
            UnknownIdentifierError: nobody has this identifier.
        """
        domain = self._domains.complete(identifier.issuer.namespace, identifier.issuer.oid)
        for oid in target_oids or ():
            self._domains.complete("", oid)
        asked = PatientIdentifier(identifier.value.strip(), domain.authority)
        with self._index.database.read() as session:
            found = resolving.references(session, asked, self._index.issuer.oid, as_of)
        if found is None:
            raise UnknownIdentifierError("nobody here has this patient identifier")
        own = self._index.global_identifier(found.global_id)
        others = [one for one in found.identifiers if _key(one) not in {_key(asked), _key(own)}]
        last = [asked] if _key(asked) != _key(own) else []
        everything = dict.fromkeys((own, *others, *last))
        return tuple(
            one for one in everything if target_oids is None or one.issuer.oid in target_oids
        )

    def resolve(
        self, identifier: PatientIdentifier, *, as_of: datetime | None = None
    ) -> str | None:
        """Return the global ID of whoever has this identifier: local, global, or a card stated."""
        with self._index.database.read() as session:
            return resolving.holder(session, identifier, self._index.issuer.oid, as_of)

    def person(self, global_id: str, *, as_of: datetime | None = None) -> Person | None:
        """Return everything known of a person, None when nothing resolves to that global ID."""
        with self._index.database.read() as session:
            found = whole_persons(session, [global_id], as_of=as_of)
            return found[0] if found else None

    def person_of(
        self, identifier: PatientIdentifier, *, as_of: datetime | None = None
    ) -> Person | None:
        """Return everything known of whoever has this identifier."""
        with self._index.database.read() as session:
            holder = resolving.holder(session, identifier, self._index.issuer.oid, as_of)
            found = whole_persons(session, [holder], as_of=as_of) if holder else []
            return found[0] if found else None

    def find(
        self,
        criteria: PersonCriteria,
        *,
        issuers: Collection[AssigningAuthority] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return up to `limit` persons who fit, continuing after `cursor`.

        `issuers` limits the answer to people known there; None is everybody. Pages follow the
        global ID, so that what is registered meanwhile shifts nothing.
        """
        limit = max(1, min(limit, _MOST_PERSONS))
        scope = None if issuers is None else frozenset(one.oid for one in issuers)
        asked = finding.Asked(criteria, scope, limit + 1, cursor or "", self._index.issuer.oid)
        with self._index.database.read() as session:
            ids = finding.find(session, asked)
            persons = tuple(whole_persons(session, ids[:limit]))
        return Page(persons, ids[limit - 1] if len(ids) > limit else None)

    def match(self, statement: PatientStatement, limit: int = 10) -> list[ScoredPerson]:
        """Return who may be meant, the likeliest first; nothing is stored or linked.

        An identifier that somebody has counts before everything else. Without weights only
        identifiers are compared.
        """
        with self._index.database.read() as session:
            stated = resolving.holders(session, statement.identifiers, self._index.issuer.oid)
            compared = self._compared(session, statement, set(stated))
            found = graded(compared, stated)[: max(0, limit)]
            persons = {
                one.global_id: one
                for one in whole_persons(session, [one.global_id for one in found])
            }
        return [
            ScoredPerson(persons[one.global_id], one.score, one.grade, one.explanation)
            for one in found
            if one.global_id in persons
        ]

    def _compared(
        self, session: Session, statement: PatientStatement, stated: set[str]
    ) -> Compared:
        matcher: Matcher | None = self._index.matcher
        if matcher is None:
            return Compared(None, ())
        today = self._index.clock.now().date()
        record = matcher.record(
            statement.demographics, compared_identifiers_of(statement.identifiers, today)
        )
        sharing = sharing_keys(session, matcher.keys(record), ())
        holding = queries.identifiers_by_person(session, stated) if stated else {}
        ids = {*sharing, *(row.id for rows in holding.values() for row in rows)}
        known = records(session, matcher, ids)
        return Compared(matcher, tuple(matcher.compared(record, known)))


def _key(identifier: PatientIdentifier) -> tuple[str, str]:
    return identifier.value, identifier.issuer.oid
