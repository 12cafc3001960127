"""Whose a document or a study of another community is, learnt from what that community answered.

A document of another community is retrieved by its uniqueId alone, which names nobody. Whoever was
found by a query is remembered with the person, so that site, role and consent hold for the
retrieval as they do for the hub's own documents. What nobody has asked for before is unlinked, and
as everywhere the whole region's alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.pairs import is_any_of
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.tables_gateways import ForeignObjectRow

_BATCH = 400
_LONGEST_ID = 128
_LONGEST_CX = 256

Address = tuple[str, str]
"""homeCommunityId, and the uniqueId of a document or the UID of a study."""


@dataclass(frozen=True)
class ForeignObject:
    """One document or study of another community; `linked_identifier` is the CX of its person."""

    home_community_id: str
    unique_id: str
    linked_identifier: str

    @property
    def address(self) -> Address:
        """What it is asked for by."""
        return self.home_community_id, self.unique_id


class ForeignObjects:
    """Remembers whose foreign documents and studies are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, objects: Iterable[ForeignObject]) -> None:
        """Keep what is new or has changed; durable on return."""
        wanted = {one.address: one.linked_identifier for one in objects if _fits(one)}
        with self._database.read() as session:
            known = _known(session, wanted)
        news = {key: cx for key, cx in wanted.items() if known.get(key) != cx}
        if not news:
            return
        with self._database.unit_of_work() as work:
            for (home, unique_id), cx in news.items():
                _put(work.session, home, unique_id, cx)

    def linked(self, session: Session, addresses: Collection[Address]) -> Mapping[Address, str]:
        """Return the CX of the person of each object that is remembered."""
        return _known(session, addresses)


def may_see(linked_identifier: str, people: LinkedPeople, gate: Gate) -> bool:
    """Decide about the person behind a CX; empty or unlinked ones are the whole region's alone."""
    return gate.sees_person(people.person_of(linked_identifier) or linked_identifier)


def _fits(one: ForeignObject) -> bool:
    return 0 < len(one.unique_id) <= _LONGEST_ID and len(one.linked_identifier) <= _LONGEST_CX


def _known(session: Session, addresses: Iterable[Address]) -> dict[Address, str]:
    wanted = list(addresses)
    found: dict[Address, str] = {}
    home, unique_id = ForeignObjectRow.home_community_id, ForeignObjectRow.unique_id
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        # Communities are few and have many objects each, so the objects are asked for too.
        named = unique_id.in_({one for _, one in batch})
        asked = select(ForeignObjectRow).where(is_any_of(home, unique_id, batch), named)
        rows = session.scalars(asked)
        found |= {(row.home_community_id, row.unique_id): row.linked_identifier for row in rows}
    return found


def _put(session: Session, home: str, unique_id: str, cx: str) -> None:
    """Insert or change one row; another request may be doing the same."""
    row = session.get(ForeignObjectRow, (home, unique_id))
    if row is not None:
        row.linked_identifier = cx
        return
    try:
        with session.begin_nested():
            session.add(
                ForeignObjectRow(home_community_id=home, unique_id=unique_id, linked_identifier=cx)
            )
    except IntegrityError:
        pass  # it has just been put there
