"""Narrows a search to what its asker may see: whole records of people known at the asker's sites.

The treatment relation is between a site and a person, so what is found is asked about in batches,
one identity query each, before limit and offset are counted. So is what the person refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import select

from hub_kernel.pairs import is_any_of
from patient_index.queries import current_links
from patient_index.tables import KnownIdentifier

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from access_control.model import Site, Subject
    from hub_kernel.database import Database
    from hub_kernel.identifiers import PatientIdentifier
    from image_archive.model import StudyRecord
    from image_archive.query import IndexQuery

T = TypeVar("T")

Find = Callable[["IndexQuery"], Sequence[tuple["StudyRecord", T]]]
Withheld = Callable[[Sequence["StudyRecord"]], Collection[str]]

_BATCH = 400
_SPARE = 50
_MOST_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Narrowed(Generic[T]):
    """What of a search its asker may see; `more` when there is, or may be, more of it."""

    rows: list[T]
    more: bool


@dataclass(frozen=True)
class Reach:
    """Where a subject's rights hold: sites, and the OIDs of their assigning authorities."""

    site_ids: frozenset[str]
    issuer_oids: frozenset[str]


def reach_of(subject: Subject, sites: Collection[Site]) -> Reach | None:
    """Return the reach of `subject`; None is the whole region."""
    if subject.sites is None:
        return None
    own = [site for site in sites if site.site_id in subject.sites]
    return Reach(
        frozenset(site.site_id for site in own),
        frozenset(site.assigning_authority.oid for site in own),
    )


def narrowed(
    database: Database,
    reach: Reach | None,
    query: IndexQuery,
    find: Find[T],
    withheld: Withheld,
) -> Narrowed[T]:
    """Return rows `offset` to `offset + limit` of those `find` gives that may be seen.

    They lie within `reach`, and `withheld` does not name their study.
    """
    wanted = query.offset + (query.limit or 0)
    # Who sees the region loses few rows, so little more than wanted is looked at.
    batch = _BATCH if reach else min(_BATCH, wanted + _SPARE)
    seen: list[T] = []
    for start in range(0, _MOST_LOOKED_AT, batch):
        found = find(replace(query, limit=batch, offset=start))
        within = _within(database, reach, found)
        hidden = withheld([study for study, _ in within])
        seen.extend(row for study, row in within if study.study_instance_uid not in hidden)
        if len(found) < batch or len(seen) > wanted:
            return Narrowed(seen[query.offset : wanted], more=len(seen) > wanted)
    return Narrowed(seen[query.offset : wanted], more=True)


def _within(
    database: Database, reach: Reach | None, found: Sequence[tuple[StudyRecord, T]]
) -> Sequence[tuple[StudyRecord, T]]:
    if reach is None:
        return found
    visible = _visible(database, reach, [study.patient for study, _ in found])
    return [
        (study, row)
        for study, row in found
        if study.site_id in reach.site_ids or _key(study.patient) in visible
    ]


# As the patient index compares identifiers: value and OID, whatever the namespace is called.
_Key = tuple[str, str]


def _key(patient: PatientIdentifier) -> _Key:
    return patient.value.strip(), patient.issuer.oid


def _visible(
    database: Database, reach: Reach, patients: Collection[PatientIdentifier]
) -> frozenset[_Key]:
    own = {_key(patient) for patient in patients if patient.issuer.oid in reach.issuer_oids}
    elsewhere = {_key(patient) for patient in patients} - own
    if not elsewhere or not reach.issuer_oids:
        return frozenset(own)
    with database.read() as session:
        return frozenset(own) | _known_at(session, elsewhere, reach.issuer_oids)


def _known_at(
    session: Session, patients: Collection[_Key], issuer_oids: Collection[str]
) -> frozenset[_Key]:
    """Return those of `patients` whose person has an identifier of one of the issuers."""
    links, same_person = current_links(), current_links()
    own = select(KnownIdentifier.id).where(KnownIdentifier.issuer_oid.in_(issuer_oids))
    rows = session.execute(
        select(KnownIdentifier.value, KnownIdentifier.issuer_oid)
        .join(links, links.c.identifier_id == KnownIdentifier.id)
        .join(same_person, same_person.c.global_id == links.c.global_id)
        .where(
            is_any_of(KnownIdentifier.value, KnownIdentifier.issuer_oid, tuple(patients)),
            same_person.c.identifier_id.in_(own),
        )
        .distinct()
    )
    return frozenset((value, oid) for value, oid in rows)
