"""The words between edge and hub: what is offered, what was received, how far a study has come."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True)
class Offer:
    """One instance an edge wants to hand over. `dataset_sha256` is 64 hex digits.

    The AE titles and the character set habit are those the edge saw; what the site's numbers mean
    (the assigning authority) is the hub's own knowledge and never taken from an offer. `emergency`
    says before the bytes do that the order was urgent.
    """

    site_id: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    dataset_bytes: int
    dataset_sha256: str
    calling_ae_title: str
    called_ae_title: str
    charset_habit: str = ""
    emergency: bool = False


@dataclass(frozen=True)
class HubReceipt:
    """The hub's word that it holds these bytes durably: on it the edge may one day let them go."""

    sop_instance_uid: str
    dataset_sha256: str
    outcome: str
    received_at: datetime


@dataclass(frozen=True)
class Standing:
    """How far an upload is: bytes the hub holds durably, and its receipt once it is archived."""

    upload_id: str
    offset: int
    length: int
    receipt: HubReceipt | None = None


@dataclass(frozen=True)
class HeldInstance:
    """One instance as one side of the ledger holds it."""

    sop_instance_uid: str
    study_instance_uid: str
    dataset_sha256: str
    dataset_bytes: int
    received_at: datetime


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is at the hub. `damaged` counts instances whose bytes changed there."""

    study_instance_uid: str
    site_id: str
    instances: int
    damaged: int
    complete: bool
    completed_at: datetime | None
    registered: bool
    rendered: bool


@dataclass(frozen=True)
class EdgeFigures:
    """What an edge says of itself with every contact; times are the edge's own.

    `reason` is a word of `edge_gateway.reasons`, empty while everything flows.
    """

    waiting: int = 0
    waiting_bytes: int = 0
    oldest_waiting_at: datetime | None = None
    parked: int = 0
    free_bytes: int = 0
    total_bytes: int = 0
    reason: str = ""
    version: str = ""


@dataclass(frozen=True)
class EdgeContact:
    """The last time an edge spoke to the hub, and what it said."""

    site_id: str
    last_contact_at: datetime
    figures: EdgeFigures


@dataclass(frozen=True)
class StudyDeliveries:
    """At an edge: how many instances of a study the hub has taken, are owed, were refused.

    `problem` names why (`edge_gateway.problems`) for one of those that were refused.
    """

    delivered: int = 0
    waiting: int = 0
    parked: int = 0
    problem: str = ""


class DifferenceKind(StrEnum):
    """How the two sides of the ledger can differ."""

    MISSING_AT_HUB = "missing_at_hub"
    OTHER_BYTES = "other_bytes"
    DAMAGED_AT_HUB = "damaged_at_hub"
    UNREGISTERED = "unregistered"
    NOT_RENDERED = "not_rendered"


# What sending the instance again mends; the rest is the hub's own work or a person's.
MENDED_BY_RESENDING = frozenset({DifferenceKind.MISSING_AT_HUB, DifferenceKind.DAMAGED_AT_HUB})


@dataclass(frozen=True)
class Difference:
    """One difference; `sop_instance_uid` is empty where it is about the whole study."""

    kind: DifferenceKind
    study_instance_uid: str
    sop_instance_uid: str = ""


@dataclass(frozen=True)
class Proof:
    """What the hub found when it read instances again: which it holds whole, and what differs."""

    proved: frozenset[str]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """What comparing found: how much was compared, and every difference, in order."""

    instances: int = 0
    studies: int = 0
    differences: tuple[Difference, ...] = field(default=())

    def counts(self) -> dict[str, int]:
        """Return the number of differences by kind, every kind named."""
        return {
            kind.value: sum(1 for found in self.differences if found.kind is kind)
            for kind in DifferenceKind
        }
