"""At an edge: what leaves the spool, and when. Never before the hub's receipt and the set days."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_gateway import reasons
from hub_kernel.clock import Clock
from image_archive.service import ArchiveService

log = logging.getLogger(__name__)

Safe = Callable[[datetime], Iterable[str]]
"""The SOP Instance UIDs of what the hub's receipts before a moment name, oldest receipt first."""


@dataclass(frozen=True)
class SpoolRule:
    """How long an instance stays whatever happens, and how much room there should be."""

    keep: timedelta
    wanted_free_bytes: int


class Spool:
    """Lets instances go while there is too little room, as far as the rule allows."""

    def __init__(self, archive: ArchiveService, clock: Clock, rule: SpoolRule, safe: Safe) -> None:
        self._archive = archive
        self._clock = clock
        self._rule = rule
        self._safe = safe

    def make_room(self) -> int:
        """Let go what may go until there is the room that is wanted; return how many instances."""
        released = 0
        for uid in self._candidates():
            if self._archive.backend.free_bytes() >= self._rule.wanted_free_bytes:
                break
            released += self._archive.release(uid)
        if released:
            log.info("the spool let instances go", extra={"instances": released})
        return released

    def reason(self) -> str:
        """Return what is wrong with the room there is, empty for nothing."""
        free = self._archive.backend.free_bytes()
        if free <= 0:
            return reasons.SPOOL_FULL
        if free < self._rule.wanted_free_bytes / 2:
            return reasons.SPOOL_LOW
        return ""

    def _candidates(self) -> Iterator[str]:
        if self._archive.backend.free_bytes() < self._rule.wanted_free_bytes:
            yield from self._safe(self._clock.now() - self._rule.keep)
