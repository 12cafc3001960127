"""What every transaction works with, and what it says about itself for the audit trail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from patient_index.domains import DomainDirectory
from patient_index.feed import PatientFeed
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
class ExchangeRecord:
    """One message and what became of it, without a patient's name or number in `detail`.

    `global_ids` are the persons it was about, or who were shown.
    """

    transaction: str
    action: Literal["feed", "query"]
    outcome: Literal["success", "refused", "failure"]
    sender: str
    address: str
    detail: str
    global_ids: tuple[str, ...] = ()
    replayed_by: str = ""


@dataclass(frozen=True)
class Hl7Parts:
    """What the transactions work with; made and closed by whoever makes the node.

    `audit` records one exchange; an answer is only given once it has returned.
    """

    database: Database
    clock: Clock
    domains: DomainDirectory
    patients: PatientIndex
    feed: PatientFeed
    lookup: PatientLookup
    audit: Callable[[ExchangeRecord], None]


@dataclass(frozen=True)
class Asking:
    """One message being answered."""

    parts: Hl7Parts
    asked: Asked
    peer: Peer
    message_key: str
    most_answers: int = 100

    @property
    def sender(self) -> str:
        """The sender as the settings name it: "MSH-3|MSH-4"."""
        return self.asked.sender_name


@dataclass(frozen=True)
class Done:
    """What a transaction reports when it has written its answer."""

    global_ids: tuple[str, ...] = ()
    detail: str = ""
