"""The words of routing: what is known of an instance, rules, deliveries, and what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from dicom_router.routing.windows import Window


class Priority(IntEnum):
    """The order of a queue: a lower number leaves first."""

    EMERGENCY = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3


class TransferChoice(StrEnum):
    """In which transfer syntax an instance leaves; all are lossless."""

    AS_STORED = "as-stored"
    HTJ2K_LOSSLESS = "htj2k-lossless"
    JPEG_LS_LOSSLESS = "jpeg-ls-lossless"
    UNCOMPRESSED = "uncompressed"


@dataclass(frozen=True)
class Facts:
    """What rules may look at. `archived_at` is aware and in the time zone of the region.

    `tags` holds, by DICOM keyword, the values of the attributes that the rules ask for; one that is
    absent or empty has no entry.
    """

    site_id: str
    modality: str
    sop_class_uid: str
    body_part: str
    archived_at: datetime
    emergency: bool = False
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class When:
    """The conditions of a rule; all that are given must hold, and none given always holds.

    Texts are patterns with * and ?, in any case; one that begins with ! excludes. A list holds when
    nothing in it excludes and, unless all of it excludes, something in it matches.
    """

    site: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    sop_class: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    emergency: bool | None = None
    during: Window | None = None
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """Where a rule sends and how. Outside `during` routine work waits; an emergency never does."""

    destination: str
    transfer: TransferChoice = TransferChoice.AS_STORED
    priority: Priority = Priority.ROUTINE
    during: Window | None = None


@dataclass(frozen=True)
class Rule:
    """One rule. After one with `stop` that matched no later rule is asked."""

    name: str
    when: When
    send: tuple[Delivery, ...]
    stop: bool = False


@dataclass(frozen=True)
class Check:
    """One condition held against one instance: what is wanted, what is there, whether it holds."""

    condition: str
    wanted: str
    found: str
    holds: bool


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule said. `skipped` names the rule that stopped the search before this one."""

    rule: Rule
    checks: tuple[Check, ...]
    skipped: str = ""

    @property
    def matched(self) -> bool:
        """True when the rule was asked and everything in it holds."""
        return not self.skipped and all(check.holds for check in self.checks)


@dataclass(frozen=True)
class Routed:
    """One delivery that will be made, and the name of the rule that said so."""

    rule: str
    delivery: Delivery


@dataclass(frozen=True)
class Decision:
    """What the rules make of an instance. `overruled` are deliveries an earlier rule had named."""

    routed: tuple[Routed, ...]
    overruled: tuple[Routed, ...]
    outcomes: tuple[RuleOutcome, ...]
