"""What is late, and why: one reason for each study, the first that fits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_gateway.model import EdgeContact

LATE = timedelta(minutes=10)
SILENT = timedelta(minutes=5)


class LateReason(StrEnum):
    """Why a study is not where it should be; pages and the API say it in words."""

    DAMAGED = "damaged"
    EDGE_SILENT = "edge_silent"
    EDGE_REFUSED = "edge_refused"
    EDGE_FULL = "edge_full"
    HUB_NOT_READY = "hub_not_ready"
    PARKED = "parked"
    QUEUED = "queued"
    UNREGISTERED = "unregistered"
    NOT_RENDERED = "not_rendered"


@dataclass(frozen=True)
class Situation:
    """What is known of one study when it is judged; `awaited_since` is the edge's receipt."""

    damaged: int
    awaited: int
    awaited_since: datetime | None
    completed_at: datetime | None
    registered: bool
    rendered: bool
    contact: EdgeContact | None


def late_reason(situation: Situation, now: datetime) -> LateReason | None:
    """Return why the study is late, None when it is not."""
    return next((reason for reason, holds in _RULES if holds(situation, now)), None)


def is_silent(contact: EdgeContact, now: datetime) -> bool:
    """Tell whether an edge has not spoken for longer than any honest pause."""
    return now - contact.last_contact_at > SILENT


def _awaited_late(situation: Situation, now: datetime) -> bool:
    since = situation.awaited_since
    return situation.awaited > 0 and since is not None and now - since > LATE


def _says(word: str) -> Callable[[Situation, datetime], bool]:
    def holds(situation: Situation, now: datetime) -> bool:
        contact = situation.contact
        return (
            _awaited_late(situation, now) and contact is not None and contact.figures.reason == word
        )

    return holds


def _edge_silent(situation: Situation, now: datetime) -> bool:
    contact = situation.contact
    return _awaited_late(situation, now) and (contact is None or is_silent(contact, now))


def _parked(situation: Situation, now: datetime) -> bool:
    contact = situation.contact
    return (
        _awaited_late(situation, now)
        and contact is not None
        and contact.figures.parked > 0
        and contact.figures.waiting == 0
    )


def _completed_late(situation: Situation, now: datetime) -> bool:
    completed = situation.completed_at
    return completed is not None and now - completed > LATE


_RULES: tuple[tuple[LateReason, Callable[[Situation, datetime], bool]], ...] = (
    (LateReason.DAMAGED, lambda situation, _now: situation.damaged > 0),
    (LateReason.EDGE_SILENT, _edge_silent),
    (LateReason.EDGE_REFUSED, _says("not_admitted")),
    (LateReason.EDGE_FULL, _says("spool_full")),
    (LateReason.HUB_NOT_READY, _says("hub_not_ready")),
    (LateReason.PARKED, _parked),
    (LateReason.QUEUED, _awaited_late),
    (LateReason.UNREGISTERED, lambda s, now: not s.registered and _completed_late(s, now)),
    (LateReason.NOT_RENDERED, lambda s, now: not s.rendered and _completed_late(s, now)),
)
