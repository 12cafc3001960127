"""The one door for everything that is said about patients: HL7 v2, FHIR and the pages (ITI-8, 104).

Every change is one unit of work: rows, links, events, the memory of the message and the record of
who said it commit together: a message repeated after a crash is carried out once, and what cannot
be put on record does not happen.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from patient_index.domains import DomainDirectory
from patient_index.errors import UnknownDecisionError
from patient_index.merging import Merger, merge_of
from patient_index.model import (
    Decided,
    FeedOutcome,
    MergeOutcome,
    MoveOutcome,
    PatientStatement,
)
from patient_index.moving import LinkMove, move_identifiers
from patient_index.registration import Registrar
from patient_index.rows import add
from patient_index.service import PatientIndex
from patient_index.statements import stated
from patient_index.tables_feed import FeedMessage
from patient_index.transactions import Work

T = TypeVar("T")

Recorded = Callable[[Session, T], None]
"""Puts an outcome on record in the transaction of the change; raising undoes the change."""

REGISTER = "register"
_LONGEST_KEY = 100
_SEEN = select(FeedMessage.outcome).where(FeedMessage.message_key == bindparam("key"))


class PatientFeed:
    """Carries out what senders say; safe to use from many threads and processes.

    Whether the sender may issue the first identifier is asked at the edge, which knows the sender
    (`DomainDirectory.require_may_assign`). Further identifiers that `statement.source` does not
    issue are kept as claims: they lead to the person, and become real when their issuer speaks.

    `recorded` is called last in the transaction of the change, for a repeated message too.
    """

    def __init__(self, index: PatientIndex, domains: DomainDirectory) -> None:
        self._index = index
        self._domains = domains

    def register(
        self,
        statement: PatientStatement,
        message_key: str | None = None,
        recorded: Recorded[FeedOutcome] | None = None,
    ) -> FeedOutcome:
        """Store what is said and link the patient to whoever it is (A01, A04, A05, A28).

        `message_key` names the message; seen before, the same outcome is returned and nothing is
        done. `created` says that the first identifier was not known before; `linked_by` is the rule
        that joined it to a known person; `review_id` is the question that a person has to answer.

        Raises:
            InvalidStatementError: names the field that breaks a rule.
            UnknownDomainError: an issuer is not known here.
        """
        self._require_domains(statement)
        ready = stated(statement, self._index.clock.now().date(), self._issues(statement.source))
        return self._once(
            _Verb(REGISTER, FeedOutcome),
            message_key,
            lambda work: Registrar(work, self._index.matcher).register(ready),
            recorded,
        )

    def update(
        self,
        statement: PatientStatement,
        message_key: str | None = None,
        recorded: Recorded[FeedOutcome] | None = None,
    ) -> FeedOutcome:
        """Store what is said of a patient already known (A08, A31), and look again who it is.

        A patient not yet known is registered: messages overtake each other, and refusing this one
        would lose what it says.

        Raises:
            InvalidStatementError: names the field that breaks a rule.
            UnknownDomainError: an issuer is not known here.
        """
        return self.register(statement, message_key, recorded)

    def merge(
        self,
        survivor: PatientIdentifier,
        subsumed: PatientIdentifier,
        decided: Decided,
        message_key: str | None = None,
        recorded: Recorded[MergeOutcome] | None = None,
    ) -> MergeOutcome:
        """Join two patients of one issuer, as it says they are one (A40).

        A merge with itself, across authorities, of an identifier already merged, or that would
        close a loop changes nothing: `ignored` says which, and the log keeps it.

        Raises:
            UnknownIdentifierError: one of the two was never registered.
            UnknownDomainError: an issuer is not known here.
        """
        for one in (survivor, subsumed):
            self._domains.complete(one.issuer.namespace, one.issuer.oid)
        return self._once(
            _Verb("merge", MergeOutcome),
            message_key,
            lambda work: Merger(work).merge_identifiers(survivor, subsumed, decided),
            recorded,
        )

    def unmerge(
        self,
        survivor: PatientIdentifier,
        subsumed: PatientIdentifier,
        decided: Decided,
        message_key: str | None = None,
        recorded: Recorded[MergeOutcome] | None = None,
    ) -> MergeOutcome:
        """Take back the merge of these two; what it moved returns to where it was.

        Raises:
            UnknownIdentifierError: one of the two was never registered.
            UnknownDecisionError: they are not merged.
        """

        def take_back(work: Work) -> MergeOutcome:
            merge = merge_of(work.session, survivor, subsumed)
            if merge is None:
                raise UnknownDecisionError("these two identifiers are not merged")
            decision_id = Merger(work).take_back(merge.id, decided)
            return MergeOutcome(merge.survivor, None, merge.subsumed, decision_id)

        return self._once(_Verb("unmerge", MergeOutcome), message_key, take_back, recorded)

    def move(
        self,
        moves: Sequence[LinkMove],
        decided: Decided,
        message_key: str | None = None,
        recorded: Recorded[MoveOutcome] | None = None,
    ) -> MoveOutcome:
        """Move identifiers to other persons, as the region's own index says (A43); all or none.

        Raises:
            UnknownIdentifierError: an identifier was never registered.
            NotLinkedError: says of which move the identifiers are not linked as it says.
        """
        return self._once(
            _Verb("move", _move_outcome),
            message_key,
            lambda work: move_identifiers(work, moves, decided),
            recorded,
        )

    def forget_messages(self, before: datetime) -> int:
        """Forget messages carried out before a time, that no sender repeats; return how many."""

        def forget(work: Work) -> int:
            gone = work.session.execute(
                delete(FeedMessage)
                .where(FeedMessage.received_at < before)
                .returning(FeedMessage.message_key)
            )
            return len(gone.all())

        return self._index.write(forget)

    def _require_domains(self, statement: PatientStatement) -> None:
        mothers = statement.demographics.mothers_identifiers
        for one in (*(typed.identifier for typed in statement.identifiers), *mothers):
            self._domains.complete(one.issuer.namespace, one.issuer.oid)

    def _issues(self, source: str) -> Callable[[PatientIdentifier], bool]:
        def may_issue(identifier: PatientIdentifier) -> bool:
            domain = self._domains.complete("", identifier.issuer.oid)
            return self._domains.may_assign(source, domain)

        return may_issue

    def _once(
        self,
        verb: "_Verb[T]",
        message_key: str | None,
        change: Callable[[Work], T],
        recorded: Recorded[T] | None,
    ) -> T:
        carry_out = change if message_key is None else _remembering(verb, message_key, change)

        def on_record(work: Work) -> T:
            outcome = carry_out(work)
            if recorded is not None:
                # Last: the audit trail is locked from here to the commit.
                recorded(work.session, outcome)
            return outcome

        return self._index.write(on_record)


def _move_outcome(global_ids: Sequence[str], changed: int) -> MoveOutcome:
    return MoveOutcome(tuple(global_ids), changed)


@dataclass(frozen=True)
class _Verb(Generic[T]):
    """What a message does, and how its outcome is read back."""

    name: str
    outcome: Callable[..., T]


def _remembering(
    verb: _Verb[T], message_key: str, change: Callable[[Work], T]
) -> Callable[[Work], T]:
    """Return the change, which does nothing a second time for the same message."""
    key = _stored_key(verb.name, message_key)

    # Registering what is known changes nothing, so the common case, a new message, is not
    # looked for first: a repeated one stumbles over its own key and is answered next time.
    look_first = verb.name != REGISTER

    def remembered(work: Work) -> T:
        if look_first or work.again:
            seen = work.session.scalar(_SEEN, {"key": key})
            if seen is not None:
                return verb.outcome(**json.loads(seen))
        outcome: Any = change(work)
        row = {
            "message_key": key,
            "outcome": json.dumps(asdict(outcome)),
            "received_at": work.now,
        }
        add(work.session, FeedMessage, [row])
        return outcome  # type: ignore[no-any-return]

    return remembered


def _stored_key(verb: str, message_key: str) -> str:
    if len(message_key) > _LONGEST_KEY:
        message_key = hashlib.sha256(message_key.encode()).hexdigest()
    return f"{verb}:{message_key}"
