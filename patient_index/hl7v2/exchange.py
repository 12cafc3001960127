"""What every transaction works with, and what it says about itself for the audit trail."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal, Protocol

from sqlalchemy.orm import Session

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from patient_index.domains import DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.hl7v2.results import ResultSink
from patient_index.hl7v2.writing import Asked
from patient_index.lookup import PatientLookup
from patient_index.service import PatientIndex


@dataclass(frozen=True)
class Peer:
    """Who is at the other end: the address, and the SHA-256 of the certificate it showed, if any.

    `replayed_by` is the person who sends a corrected message again in the sender's name.
    """

    address: str
    certificate: str = ""
    replayed_by: str = ""


@dataclass(frozen=True)
class AskedQuery:
    """QPD-3 of a query as it was sent, and the two characters that part it."""

    parameters: str
    repetition: str
    component: str


@dataclass(frozen=True)
class ExchangeRecord:
    """One message and what became of it, without a patient's name or number in `detail`.

    `global_ids` are the persons it was about, or who were shown. `asked` is the query as it came:
    whoever keeps the record strikes out what names somebody.
    """

    transaction: str
    action: Literal["feed", "query", "report"]
    outcome: Literal["success", "refused", "failure"]
    sender: str
    address: str
    detail: str
    global_ids: tuple[str, ...] = ()
    replayed_by: str = ""
    asked: "AskedQuery | None" = None


class ExchangeTrail(Protocol):
    """Puts exchanges on record; an answer is only given once it has returned."""

    def __call__(self, record: ExchangeRecord, session: Session | None = None) -> None:
        """Write one record: as part of the transaction of `session`, else durable on return."""
        ...


class Discretion(Protocol):
    """Who may be told of whom; access control knows."""

    def __call__(self, sender: str, global_ids: Collection[str]) -> frozenset[str]:
        """Return which of these persons the sender may find: those who refuse are left out."""
        ...


@dataclass(frozen=True)
class Hl7Parts:
    """What the transactions work with; made and closed by whoever makes the node.

    Without `results` the node takes no observation results. `time_zone` is that of whoever names
    none.
    """

    database: Database
    clock: Clock
    domains: DomainDirectory
    patients: PatientIndex
    feed: PatientFeed
    lookup: PatientLookup
    audit: ExchangeTrail
    may_find: Discretion
    results: ResultSink | None = None
    time_zone: tzinfo = UTC


@dataclass(frozen=True)
class Done:
    """What a transaction reports; `recorded` when that is on record already, with the change."""

    global_ids: tuple[str, ...] = ()
    detail: str = ""
    recorded: bool = False


@dataclass(frozen=True)
class Asking:
    """One message being answered; `transaction` and `action` are what its record says."""

    parts: Hl7Parts
    asked: Asked
    peer: Peer
    message_key: str
    transaction: str
    action: Literal["feed", "query", "report"]
    most_answers: int = 100
    query: AskedQuery | None = None

    @property
    def sender(self) -> str:
        """The sender as the settings name it: "MSH-3|MSH-4"."""
        return self.asked.sender_name

    def may_find(self, global_id: str) -> bool:
        """Tell whether the sender may be told of this person."""
        return global_id in self.findable((global_id,))

    def findable(self, global_ids: Iterable[str]) -> frozenset[str]:
        """Return which of these persons the sender may be told of."""
        return self.parts.may_find(self.sender, tuple(global_ids))

    def record(self, done: Done, session: Session | None = None) -> None:
        """Put what was done on record: with the change that `session` makes, else by itself."""
        record = ExchangeRecord(
            transaction=self.transaction,
            action=self.action,
            outcome="success",
            sender=self.sender,
            address=self.peer.address,
            detail=detail_of(self.asked, done.detail),
            global_ids=done.global_ids,
            replayed_by=self.peer.replayed_by,
            asked=self.query,
        )
        self.parts.audit(record, session)


def detail_of(asked: Asked, words: str) -> str:
    """Return what a record says, one line; the trail strikes out what looks like a name by "^"."""
    said = f"{asked.message_type[:3]}-{asked.event[:3]} {asked.control_id[:64]}: {words}"
    return "".join(char if char.isprintable() else "?" for char in said)
