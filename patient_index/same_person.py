"""Who is one person, asked for many identifiers at once, in few queries."""

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from hub_kernel.database import Database
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.pairs import is_any_of
from patient_index import queries
from patient_index.tables import KnownIdentifier

_VALUES_PER_QUERY = 400
_Key = tuple[str, str]


class SamePerson:
    """Reads the link log; every method is one snapshot of it as it stands now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_person(self, global_id: str) -> tuple[PatientIdentifier, ...]:
        """Return every identifier that resolves to the global ID, oldest first."""
        with self._database.read() as session:
            return queries.identifiers_of(session, global_id)

    def of_holders(
        self, identifiers: Collection[PatientIdentifier]
    ) -> Mapping[PatientIdentifier, tuple[PatientIdentifier, ...]]:
        """Return, for each identifier, every identifier of its holder; one query per 400.

        An identifier that was never observed stands for itself alone.
        """
        by_key: dict[_Key, list[PatientIdentifier]] = {}
        for identifier in identifiers:
            by_key.setdefault((identifier.value.strip(), identifier.issuer.oid), []).append(
                identifier
            )
        with self._database.read() as session:
            relatives = _relatives(session, sorted(by_key))
        return {
            identifier: tuple(relatives.get(key, (identifier,)))
            for key, group in by_key.items()
            for identifier in group
        }


def _relatives(session: Session, keys: list[_Key]) -> dict[_Key, list[PatientIdentifier]]:
    """Return the identifiers of whoever has each of these, themselves included."""
    asked = aliased(KnownIdentifier)
    its, theirs = queries.current_links(), queries.current_links()
    found: dict[_Key, list[PatientIdentifier]] = {}
    for start in range(0, len(keys), _VALUES_PER_QUERY):
        rows = session.execute(
            select(asked.value, asked.issuer_oid, KnownIdentifier)
            .join(its, its.c.identifier_id == asked.id)
            .join(theirs, theirs.c.global_id == its.c.global_id)
            .join(KnownIdentifier, KnownIdentifier.id == theirs.c.identifier_id)
            .where(
                is_any_of(asked.value, asked.issuer_oid, keys[start : start + _VALUES_PER_QUERY])
            )
        )
        for value, oid, row in rows:
            found.setdefault((value, oid), []).append(queries.identifier(row))
    return found
