"""Move one identifier from the person behind one regional ID to the person behind another.

That is what a region's own master index says by ITI-64 (ADT^A43): a local identifier was linked to
the wrong person. Lines in the log, nothing rewritten: documents, studies and answers follow the
identifier, and a person can take the decision back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import NotLinkedError
from patient_index.link_log import LINK, MERGE, Change, LinkWriter, Step
from patient_index.merging import known_row, merged_into
from patient_index.model import Decided, MoveOutcome
from patient_index.tables import KnownIdentifier
from patient_index.transactions import LinksMovedError, Work


@dataclass(frozen=True)
class LinkMove:
    """`former` was linked to the person of `former_person`; it is one of `person`'s, as `local`.

    Where `local` differs from `former`, `former` is merged into it and used no longer; as it is
    where the identifier that is moved named the former person itself.
    """

    local: PatientIdentifier
    person: PatientIdentifier
    former: PatientIdentifier
    former_person: PatientIdentifier


def move_identifiers(work: Work, moves: Sequence[LinkMove], decided: Decided) -> MoveOutcome:
    """Carry out `moves` in order, all of them or, when it raises, none.

    One that was carried out before changes nothing.

    Raises:
        UnknownIdentifierError: an identifier was never observed.
        NotLinkedError: says of which move the identifiers are not linked as it says.
    """
    changed, persons = 0, []
    for number, move in enumerate(moves):
        sides = _locked(work, move)
        persons += [sides.goal, sides.origin]
        changed += _moved(work, sides, number, decided)
    return MoveOutcome(tuple(dict.fromkeys(persons)), changed)


class _Sides(NamedTuple):
    """The rows of a move, and today's person of each of its regional IDs and identifiers."""

    local: KnownIdentifier
    person: KnownIdentifier
    former: KnownIdentifier
    former_person: KnownIdentifier
    place: dict[int, str]

    @property
    def goal(self) -> str:
        return self.place[self.person.id]

    @property
    def origin(self) -> str:
        return self.place[self.former_person.id]


def _locked(work: Work, move: LinkMove) -> _Sides:
    named = (move.local, move.person, move.former, move.former_person)
    rows = [known_row(work.session, one) for one in named]
    before = _places(work, rows)
    LinkWriter(work).lock(set(before.values()))
    if _places(work, rows) != before:
        raise LinksMovedError("links changed while an identifier was moved")
    return _Sides(rows[0], rows[1], rows[2], rows[3], before)


def _places(work: Work, rows: Sequence[KnownIdentifier]) -> dict[int, str]:
    lines = LinkWriter(work).current({row.id for row in rows})
    return {one: line.global_id for one, line in lines.items()}


def _moved(work: Work, sides: _Sides, number: int, decided: Decided) -> bool:
    """Carry out one move; False when there is nothing to do."""
    replaced = sides.former.id != sides.local.id
    into = sides.local if replaced else sides.person
    merges = replaced or sides.former.id == sides.former_person.id
    merged = merged_into(work.session, [sides.former.id, into.id])
    here = sides.place[sides.former.id]
    if replaced and sides.place[sides.local.id] != sides.goal:
        raise NotLinkedError(number, former=False)
    if _is_done(sides, into, merged if merges else None):
        return False
    if here != sides.origin:
        raise NotLinkedError(number, former=True)
    if merges and merged:  # whoever was merged before is neither moved nor moved to
        raise NotLinkedError(number, former=sides.former.id in merged)
    change = Change(
        action=MERGE if merges else LINK,
        survivor=sides.goal,
        subsumed=here,
        decided=decided,
        survivor_identifier_id=into.id,
        subsumed_identifier_id=sides.former.id,
    )
    links = LinkWriter(work)
    if here == sides.goal:
        links.record(change)
    else:
        links.move([Step(sides.former, sides.goal)], change)
    return True


def _is_done(sides: _Sides, into: KnownIdentifier, merged: dict[int, int] | None) -> bool:
    """Tell whether the links are as a move wants them; `merged` is None where it merges nothing."""
    if sides.place[sides.former.id] != sides.goal:
        return False
    if merged is None or sides.former.id == into.id:
        return True
    return merged.get(sides.former.id) == into.id
