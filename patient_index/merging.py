"""Merge two persons and take any change of links back: lines in the log, nothing rewritten.

IHE has a merge (ITI-8 A40) and says that it is not reversible; here it is.
"""

from dataclasses import dataclass
from functools import cache

from sqlalchemy import Select, bindparam, exists, select
from sqlalchemy.orm import Session, aliased

from hub_kernel.identifiers import PatientIdentifier
from patient_index import queries
from patient_index.errors import (
    UnknownDecisionError,
    UnknownIdentifierError,
    UnknownPersonError,
)
from patient_index.link_log import (
    APART,
    IGNORED,
    LINK,
    MERGE,
    REGISTER,
    UNLINK,
    UNMERGE,
    Change,
    LinkWriter,
    Step,
)
from patient_index.model import Decided, Ignored, MergeOutcome
from patient_index.tables import KnownIdentifier, LinkLog
from patient_index.tables_feed import LinkDecision, LinkStep
from patient_index.transactions import LinksMovedError, Work

_IGNORED_BECAUSE = {
    Ignored.ITSELF: "a patient cannot be merged into itself",
    Ignored.WRONG_AUTHORITY: "both identifiers of a merge must be of one assigning authority",
    Ignored.ALREADY_MERGED: "the subsumed identifier was merged before",
    Ignored.LOOP: "the survivor was itself merged into the subsumed identifier",
    Ignored.SURVIVOR_MERGED: "the survivor was itself merged into another identifier",
}


@dataclass(frozen=True)
class _Side:
    """One side of a merge: the identifier named, and the person it resolves to."""

    row: KnownIdentifier
    global_id: str


@dataclass(frozen=True)
class _Moved:
    """One identifier that a decision moved, from and to where."""

    row: KnownIdentifier
    before: str
    after: str


class Merger:
    """Merges, and takes back, inside the unit of work it is given."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._session = work.session
        self._links = LinkWriter(work)

    def merge_identifiers(
        self, survivor: PatientIdentifier, subsumed: PatientIdentifier, decided: Decided
    ) -> MergeOutcome:
        """Carry out what a site says: these two of its identifiers are one patient (A40).

        Everything that resolved to the subsumed person resolves to the survivor from now on. What
        makes no sense is ignored, and the log says why.

        Raises:
            UnknownIdentifierError: one of the two was never observed.
        """
        kept, moved = self._side(survivor), self._side(subsumed)
        self._links.lock({kept.global_id, moved.global_id})
        kept, moved = self._unmoved(kept, survivor), self._unmoved(moved, subsumed)
        ignored = self._nonsense(kept, moved)
        change = Change(
            action=IGNORED if ignored else MERGE,
            survivor=kept.global_id,
            subsumed=moved.global_id,
            decided=decided,
            survivor_identifier_id=kept.row.id,
            subsumed_identifier_id=moved.row.id,
        )
        if ignored:
            return self._ignore(change, ignored)
        # Linked before: nothing moves, but from now on the site uses the survivor alone.
        steps = [] if kept.global_id == moved.global_id else self._steps(moved, kept.global_id)
        decision_id = self._links.move(steps, change) if steps else self._links.record(change)
        return MergeOutcome(kept.global_id, None, moved.global_id, decision_id)

    def merge_persons(self, survivor: str, subsumed: str, decided: Decided) -> MergeOutcome:
        """Carry out what a person decided: two global IDs are one person.

        Raises:
            UnknownPersonError: nothing resolves to one of the two.
        """
        self._links.lock({survivor, subsumed})
        groups = queries.identifiers_by_person(self._session, {survivor, subsumed})
        for global_id in (survivor, subsumed):
            if global_id not in groups:
                raise UnknownPersonError("no identifier resolves to this global ID")
        change = Change(
            action=MERGE,
            survivor=survivor,
            subsumed=subsumed,
            decided=decided,
            survivor_identifier_id=groups[survivor][0].id,
        )
        if survivor == subsumed:
            return self._ignore(change, Ignored.ITSELF)
        steps = [Step(row, survivor) for row in groups[subsumed]]
        decision_id = self._links.move(steps, change)
        return MergeOutcome(survivor, None, subsumed, decision_id)

    def take_back(self, decision_id: int, decided: Decided) -> int:
        """Undo one decision; return the decision that undid it.

        Every identifier that it moved, and that is still where it or a later merge of the survivor
        put it, returns to where it came from. What was moved elsewhere since stays there. Taking
        back the same decision again returns the first undoing.

        Raises:
            UnknownDecisionError: there is no such decision, or it changed nothing.
        """
        made = self._session.get(LinkDecision, decision_id)
        if made is None or made.action == IGNORED:
            raise UnknownDecisionError("no such decision, or one that changed nothing")
        undone = self._session.scalar(
            select(LinkDecision.id).where(LinkDecision.undoes == decision_id)
        )
        if undone is not None:
            return undone
        return self._undo(made, decided)

    def _undo(self, made: LinkDecision, decided: Decided) -> int:
        joined = made.action not in APART
        # Who was joined follows the survivor through later merges; who was taken apart returns to
        # wherever those they were taken from are now.
        beside = made.survivor_identifier_id if joined else None
        home = None if joined else made.subsumed_identifier_id
        moved = self._moved(made.id)
        ids = {one.row.id for one in moved} | {one for one in (beside, home) if one is not None}
        places = self._places(ids)
        self._links.lock({*places.values(), *(one.before for one in moved)})
        if places != self._places(ids):
            raise LinksMovedError("links changed while a decision was taken back")
        steps = []
        for one in moved:
            place = places[one.row.id]
            goal = one.before if home is None else places[home]
            stayed = place == one.after or (beside is not None and place == places[beside])
            if stayed and place != goal:
                steps.append(Step(one.row, goal))
        change = Change(
            action=_UNDONE_BY[made.action],
            survivor=made.subsumed,
            subsumed=made.survivor,
            decided=decided,
            survivor_identifier_id=made.subsumed_identifier_id,
            subsumed_identifier_id=made.survivor_identifier_id,
            undoes=made.id,
        )
        return self._links.move(steps, change) if steps else self._links.record(change)

    def _places(self, identifier_ids: set[int]) -> dict[int, str]:
        lines = self._links.current(identifier_ids)
        return {one: line.global_id for one, line in lines.items()}

    def _moved(self, decision_id: int) -> list[_Moved]:
        rows = self._session.execute(
            select(KnownIdentifier, LinkStep.previous_global_id, LinkLog.global_id)
            .join(LinkLog, LinkLog.identifier_id == KnownIdentifier.id)
            .join(LinkStep, LinkStep.link_id == LinkLog.id)
            .where(LinkStep.decision_id == decision_id)
            .order_by(KnownIdentifier.id)
        )
        return [_Moved(row, before, after) for row, before, after in rows]

    def _side(self, identifier: PatientIdentifier) -> _Side:
        row = known_row(self._session, identifier)
        return _Side(row, self._links.current([row.id])[row.id].global_id)

    def _unmoved(self, before: _Side, identifier: PatientIdentifier) -> _Side:
        """Read a side again now that its person is locked."""
        now = self._side(identifier)
        if now.global_id != before.global_id:
            raise LinksMovedError("links changed while two persons were merged")
        return now

    def _nonsense(self, kept: _Side, moved: _Side) -> Ignored | None:
        if kept.row.id == moved.row.id:
            return Ignored.ITSELF
        if kept.row.issuer_oid != moved.row.issuer_oid:
            return Ignored.WRONG_AUTHORITY
        if self._merged_into(kept.row.id) is not None:
            loop = self._leads_to(kept.row.id, moved.row.id)
            return Ignored.LOOP if loop else Ignored.SURVIVOR_MERGED
        if self._merged_into(moved.row.id) is not None:
            return Ignored.ALREADY_MERGED
        return None

    def _merged_into(self, identifier_id: int) -> int | None:
        found = merged_into(self._session, [identifier_id])
        return found.get(identifier_id)

    def _leads_to(self, start: int, goal: int) -> bool:
        """Follow merges from `start`; each identifier is merged at most once, so it ends."""
        seen: set[int] = set()
        following: int | None = start
        while following is not None and following not in seen:
            if following == goal:
                return True
            seen.add(following)
            following = self._merged_into(following)
        return False

    def _steps(self, moved: _Side, global_id: str) -> list[Step]:
        groups = queries.identifiers_by_person(self._session, [moved.global_id])
        return [Step(row, global_id) for row in groups.get(moved.global_id, ())]

    def _ignore(self, change: Change, ignored: Ignored) -> MergeOutcome:
        decided = Decided(change.decided.by, _IGNORED_BECAUSE[ignored], ignored.value)
        decision_id = self._links.record(
            Change(
                action=IGNORED,
                survivor=change.survivor,
                subsumed=change.subsumed,
                decided=decided,
                survivor_identifier_id=change.survivor_identifier_id,
                subsumed_identifier_id=change.subsumed_identifier_id,
            )
        )
        return MergeOutcome(change.survivor, ignored.value, change.subsumed, decision_id)


_UNDONE_BY = {MERGE: UNMERGE, UNMERGE: MERGE, LINK: UNLINK, UNLINK: LINK}


def known_row(session: Session, identifier: PatientIdentifier) -> KnownIdentifier:
    """Return the row of an identifier.

    Raises:
        UnknownIdentifierError: it was never observed.
    """
    row = session.scalar(select(KnownIdentifier).where(queries.is_identifier(identifier)))
    if row is None:
        raise UnknownIdentifierError("this patient identifier was never observed")
    return row


def merged_into(session: Session, identifier_ids: list[int]) -> dict[int, int]:
    """Return which of these identifiers a site has merged away, and into which; one query."""
    rows = session.execute(_merged_query(), {"ids": identifier_ids})
    return {moved: kept for moved, kept in rows if moved is not None and kept is not None}


@cache
def _merged_query() -> Select[int | None, int | None]:
    undoing = aliased(LinkDecision)
    return (
        select(LinkDecision.subsumed_identifier_id, LinkDecision.survivor_identifier_id)
        .where(
            LinkDecision.subsumed_identifier_id.in_(bindparam("ids", expanding=True)),
            LinkDecision.action == MERGE,
            ~exists().where(undoing.undoes == LinkDecision.id),
        )
        .order_by(LinkDecision.id)
    )


def merge_of(
    session: Session, survivor: PatientIdentifier, subsumed: PatientIdentifier
) -> LinkDecision | None:
    """Return the merge in force of two identifiers, if they are merged.

    Raises:
        UnknownIdentifierError: one of the two was never observed.
    """
    undoing = aliased(LinkDecision)
    return session.scalar(
        select(LinkDecision)
        .where(
            LinkDecision.action == MERGE,
            LinkDecision.survivor_identifier_id == known_row(session, survivor).id,
            LinkDecision.subsumed_identifier_id == known_row(session, subsumed).id,
            ~exists().where(undoing.undoes == LinkDecision.id),
        )
        .order_by(LinkDecision.id.desc())
        .limit(1)
    )


def relink(
    work: Work, identifier: PatientIdentifier, global_id: str, decided: Decided
) -> int | None:
    """Move one identifier to a person; return the decision, None when it is there already.

    Raises:
        UnknownIdentifierError: the identifier was never observed.
        UnknownPersonError: nothing resolves to that global ID.
    """
    row, links = known_row(work.session, identifier), LinkWriter(work)
    links.lock({global_id, links.current([row.id])[row.id].global_id})
    groups = queries.identifiers_by_person(work.session, [global_id])
    if global_id not in groups:
        raise UnknownPersonError("no identifier resolves to this global ID")
    current = links.current([row.id])[row.id].global_id
    if current == global_id:
        return None
    change = Change(
        action=LINK,
        survivor=global_id,
        subsumed=current,
        decided=decided,
        survivor_identifier_id=groups[global_id][0].id,
        subsumed_identifier_id=row.id,
    )
    return links.move([Step(row, global_id)], change)


def unlink(work: Work, identifier: PatientIdentifier, decided: Decided) -> str:
    """Make one identifier a person of its own again; return that person's global ID.

    Raises:
        UnknownIdentifierError: the identifier was never observed.
    """
    row, links = known_row(work.session, identifier), LinkWriter(work)
    first = _first_global_id(work.session, row)
    links.lock({first, links.current([row.id])[row.id].global_id})
    current: str = links.current([row.id])[row.id].global_id
    groups = queries.identifiers_by_person(work.session, [current, first])
    others = [one for one in groups.get(current, ()) if one.id != row.id]
    if not others:
        return current
    own = first if first not in groups else links.issue()
    change = Change(
        action=UNLINK,
        survivor=own,
        subsumed=current,
        decided=decided,
        survivor_identifier_id=row.id,
        subsumed_identifier_id=others[0].id,
    )
    links.move([Step(row, own)], change)
    return own


def _first_global_id(session: Session, row: KnownIdentifier) -> str:
    first = session.scalar(
        select(LinkLog.global_id).where(LinkLog.identifier_id == row.id, LinkLog.action == REGISTER)
    )
    return first or ""
