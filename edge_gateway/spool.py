"""At an edge: what leaves the spool, and when. Never before the hub's receipt and the set days."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_gateway import marks, reasons
from edge_gateway.marks import Marks
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

    def __init__(
        self, archive: ArchiveService, clock: Clock, rule: SpoolRule, safe: Safe, noted: Marks
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._rule = rule
        self._safe = safe
        self._noted = noted

    def make_room(self) -> int:
        """Let go what may go until there is the room that is wanted; return how many instances."""
        released = 0
        for uid in self._candidates():
            if self._archive.backend.free_bytes() >= self._rule.wanted_free_bytes:
                break
            self._noted.put(marks.RELEASING, uid)
            released += self._archive.release(uid)
        self._noted.change(marks.RELEASING, "")
        if released:
            log.info("the spool let instances go", extra={"instances": released})
        return released

    def finish(self) -> None:
        """Remove the bytes that an end in the middle of a release left; run at every start."""
        if uid := self._noted.get(marks.RELEASING):
            self._archive.finish_release(uid)
            self._noted.put(marks.RELEASING)

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
