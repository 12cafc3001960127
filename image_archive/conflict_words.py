"""The words of the conflict desk: what can be decided about which case, and how it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from image_archive.model import QuarantineReason


class Verdict(StrEnum):
    """What a person says is to become of the parked instances of a case."""

    KEEP_FIRST = "keep-first"  # what is archived stays; the parked bytes go after the retention
    REPLACE = "replace"  # the parked bytes go live under their UID; the first are parked instead
    KEEP_BOTH = "keep-both"  # the parked instances are archived under new UIDs, and say so
    ACCEPT = "accept"  # it is the same person after all: archived as sent
    RETRY = "retry"  # what was not taken in is tried once more


class CaseStatus(StrEnum):
    """How a parked dataset stands."""

    OPEN = "open"
    PENDING = "pending"
    CLOSED = "closed"
    DISCARDED = "discarded"


class DecisionState(StrEnum):
    """How far a decision has been carried out."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


VERDICTS: Mapping[QuarantineReason, tuple[Verdict, ...]] = {
    QuarantineReason.CONFLICTING_INSTANCE: (
        Verdict.KEEP_FIRST,
        Verdict.REPLACE,
        Verdict.KEEP_BOTH,
    ),
    QuarantineReason.CONFLICTING_STUDY: (Verdict.KEEP_FIRST, Verdict.KEEP_BOTH),
    QuarantineReason.CONTRADICTING_PATIENT: (
        Verdict.KEEP_FIRST,
        Verdict.ACCEPT,
        Verdict.KEEP_BOTH,
    ),
    QuarantineReason.UNREADABLE: (Verdict.KEEP_FIRST, Verdict.RETRY),
    QuarantineReason.UNKNOWN_SENDER: (Verdict.KEEP_FIRST, Verdict.RETRY),
}
"""What can be decided about a case of each reason."""

AT_ONCE = frozenset({Verdict.KEEP_FIRST, Verdict.REPLACE})
"""Verdicts that one transaction carries out, and that can be taken back."""


@dataclass(frozen=True)
class Decided:
    """Who decides, why, and under which patient ID the instances belong, where that changes."""

    by: str
    reason: str
    patient_id: str = ""


@dataclass(frozen=True)
class Decision:
    """What was decided about a case."""

    decision_id: int
    case_key: str
    verdict: Verdict
    state: DecisionState
    patient_id: str
    decided_by: str
    decided_at: datetime
    reason: str
    undone_by: str
    undone_at: datetime | None

    @property
    def can_be_undone(self) -> bool:
        """Whether taking it back leaves everything as it was."""
        return self.verdict in AT_ONCE and self.state is DecisionState.DONE
