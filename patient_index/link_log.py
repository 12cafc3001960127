"""Write the link log: who resolves to whom from now on, and the decision it belongs to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, select

from hub_kernel.events import LinkChanged, new_event
from patient_index import queries
from patient_index.explanations import encoded
from patient_index.model import Decided, Explanation
from patient_index.rows import add, add_one
from patient_index.tables import GlobalPerson, KnownIdentifier, LinkLog
from patient_index.tables_feed import LinkDecision, LinkStep
from patient_index.transactions import Work

REGISTER, LINK, UNLINK, MERGE, UNMERGE = "REGISTER", "LINK", "UNLINK", "MERGE", "UNMERGE"
IGNORED = "IGNORED"
APART = frozenset({UNLINK, UNMERGE})
"""What takes people apart: afterwards no rule puts them together again."""

FIRST_SEEN = Decided(by="rule", rule="new-identifier", reason="first seen")


@dataclass(frozen=True)
class Change:
    """One decision about links: which person lives on, which does not, why, and who says so."""

    action: str
    survivor: str
    subsumed: str
    decided: Decided
    explanation: Explanation = Explanation()
    survivor_identifier_id: int | None = None
    subsumed_identifier_id: int | None = None
    undoes: int | None = None


@dataclass(frozen=True)
class Step:
    """One identifier moves to a person."""

    row: KnownIdentifier
    global_id: str


class LinkWriter:
    """Appends to the log inside the unit of work it is given; commits nothing itself."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._session = work.session
        self._now = work.now

    def issue(self) -> str:
        """Issue a global ID that nothing resolves to yet."""
        issued = self._work.global_ids.new_global_id()
        add(self._session, GlobalPerson, [{"global_id": issued, "issued_at": self._now}])
        return issued

    def register(self, identifier_ids: Sequence[int], global_id: str, decided: Decided) -> None:
        """Log the first person of identifiers nobody has seen before."""
        lines = [self._line(one, 1, global_id, REGISTER, decided) for one in identifier_ids]
        add(self._session, LinkLog, lines)

    def lock(self, global_ids: Collection[str]) -> None:
        """Let nobody else change these persons until the transaction ends (SQLite: nobody can)."""
        self._session.execute(
            select(GlobalPerson.id)
            .where(GlobalPerson.global_id.in_(global_ids))
            .order_by(GlobalPerson.id)
            .with_for_update(key_share=True)
        ).all()

    def older(self, one: str, other: str) -> str:
        """Return whichever global ID was issued first."""
        first = self._session.scalar(
            select(GlobalPerson.global_id)
            .where(GlobalPerson.global_id.in_([one, other]))
            .order_by(GlobalPerson.id)
            .limit(1)
        )
        return first or one

    def current(self, identifier_ids: Collection[int]) -> dict[int, Row[int, int, int, str]]:
        """Return (identifier_id, id, position, global_id) of the line in force, by identifier."""
        rows = self._session.execute(
            select(LinkLog.identifier_id, LinkLog.id, LinkLog.position, LinkLog.global_id)
            .where(LinkLog.identifier_id.in_(identifier_ids))
            .order_by(LinkLog.position)
        )
        return {row.identifier_id: row for row in rows}

    def move(self, steps: Sequence[Step], change: Change) -> int:
        """Log that identifiers resolve to other persons from now on, and tell everybody.

        Returns the decision, by which all of it can be taken back.
        """
        decision_id = self.record(change)
        newest = self.current([step.row.id for step in steps])
        lines = [
            self._line(
                step.row.id,
                newest[step.row.id].position + 1,
                step.global_id,
                change.action,
                change.decided,
            )
            for step in steps
        ]
        add(self._session, LinkLog, lines)
        written = self.current([step.row.id for step in steps])
        made = [
            {
                "link_id": written[step.row.id].id,
                "decision_id": decision_id,
                "previous_global_id": newest[step.row.id].global_id,
            }
            for step in steps
        ]
        add(self._session, LinkStep, made)
        for step in steps:
            self._tell(step)
        return decision_id

    def record(self, change: Change) -> int:
        """Keep a decision, with or without lines in the log; return its number."""
        row = {
            "action": change.action,
            "survivor": change.survivor,
            "subsumed": change.subsumed,
            "survivor_identifier_id": change.survivor_identifier_id,
            "subsumed_identifier_id": change.subsumed_identifier_id,
            "rule": change.decided.rule[:64],
            "reason": change.decided.reason[:400],
            "decided_by": change.decided.by[:128],
            "explanation": encoded(change.explanation),
            "undoes": change.undoes,
            "decided_at": self._now,
        }
        return add_one(self._session, LinkDecision, row)

    def _tell(self, step: Step) -> None:
        self._work.unit.publish(
            new_event(
                LinkChanged,
                self._work.unit.clock,
                identifier=queries.identifier(step.row),
                global_id=step.global_id,
            )
        )

    def _line(
        self, identifier_id: int, position: int, global_id: str, action: str, decided: Decided
    ) -> dict[str, object]:
        return {
            "identifier_id": identifier_id,
            "position": position,
            "global_id": global_id,
            "action": action,
            "rule": decided.rule[:64],
            "reason": decided.reason[:400],
            "decided_by": decided.by[:128],
            "logged_at": self._now,
        }
