"""The words of forwarding: the states of a ledger row, what is read from it, and how long to wait.

A row is one instance owed to one destination. It is never deleted and there is no last try.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dicom_router.forwarding.verdicts import Verdict

LONGEST_ROW_PAUSE = timedelta(hours=1)
LONGEST_BREAKER_PAUSE = timedelta(minutes=5)
_ROW_PAUSE_S, _BREAKER_PAUSE_S = 30.0, 5.0
_JITTER = 1.2
# A moment further ahead than any pause was written by a clock that has been set back since.
LATEST_ROW_DUE = LONGEST_ROW_PAUSE * _JITTER
LATEST_BREAKER_DUE = LONGEST_BREAKER_PAUSE * _JITTER


class State(StrEnum):
    """Where a row stands."""

    QUEUED = "queued"  # owed; goes when its turn comes
    LEASED = "leased"  # a worker has it in hand
    ACCEPTED = "accepted"  # the destination took it; its storage commitment is awaited
    SENT = "sent"  # the destination took it and promises no more than that: done
    COMMITTED = "committed"  # the destination is responsible for it from now on: done
    PARKED = "parked"  # a person has to decide


DONE = frozenset({State.SENT, State.COMMITTED})
OPEN_STATES = tuple(state for state in State if state not in DONE)


class BreakerState(StrEnum):
    """Whether a destination is being tried."""

    CLOSED = "closed"  # it works
    OPEN = "open"  # it failed and is left alone for a while
    PROBING = "probing"  # the pause is over; one instance is tried first
    HELD = "held"  # a person has stopped it


@dataclass(frozen=True)
class Promise:
    """One delivery that the rules, or a person, promise: what a new row is made of."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    site_id: str
    transfer_syntax_uid: str
    dataset_sha256: str
    dataset_bytes: int
    destination: str
    rule: str
    wanted_syntax: str
    priority: int
    schedule: str


@dataclass(frozen=True)
class Item:
    """One row of the ledger."""

    item_id: int
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    site_id: str
    transfer_syntax_uid: str
    dataset_sha256: str
    dataset_bytes: int
    destination: str
    rule: str
    wanted_syntax: str
    priority: int
    schedule: str
    state: State
    attempts: int
    due_at: datetime
    last_status: str
    last_comment: str
    sent_syntax_uid: str
    lease_owner: str
    queued_at: datetime
    last_attempt_at: datetime | None
    settled_at: datetime | None
    transaction_uid: str


@dataclass(frozen=True)
class Claim:
    """What a worker asks for: whose work, how much of it, and until when it is its own.

    `schedules` are those that are open now; `most_urgent_only` leaves everything but emergencies.
    """

    destination: str
    owner: str
    schedules: frozenset[str]
    limit: int = 32
    limit_bytes: int = 64 * 1024 * 1024
    lease_s: float = 900.0
    most_urgent_only: bool = False


@dataclass(frozen=True)
class Result:
    """What became of one leased row."""

    item_id: int
    verdict: Verdict
    status: str
    comment: str = ""
    sent_syntax_uid: str = ""


def row_pause(attempts: int) -> timedelta:
    """Return how long an instance waits after so many tries: growing, without a last one."""
    return _pause(_ROW_PAUSE_S, attempts, LONGEST_ROW_PAUSE)


def breaker_pause(failures: int) -> timedelta:
    """Return how long a destination is left alone after so many failures in a row."""
    return _pause(_BREAKER_PAUSE_S, failures, LONGEST_BREAKER_PAUSE)


def _pause(first_s: float, times: int, longest: timedelta) -> timedelta:
    grown = min(first_s * 2 ** min(max(times - 1, 0), 20), longest.total_seconds())
    return timedelta(seconds=grown * random.uniform(0.8, _JITTER))  # noqa: S311 (jitter)
