"""At an edge: what leaves the spool, and when.

Never before the hub's receipt and the set days, and only what the hub has read again and proved to
hold in that very moment. While it cannot be asked, nothing leaves.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_gateway import marks, reasons
from edge_gateway.errors import EdgeError
from edge_gateway.marks import Marks
from edge_gateway.model import HeldInstance
from hub_kernel.clock import Clock
from image_archive.service import ArchiveService

log = logging.getLogger(__name__)

_ASKED_AT_ONCE = 50
_BYTES_AT_ONCE = 268_435_456


@dataclass(frozen=True)
class HubsWord:
    """What the hub says of instances.

    `taken_before` a moment are those that its receipts name, oldest receipt first; `proved` are
    those that it reads again now and finds whole (`EdgeError`: it cannot be asked).
    """

    taken_before: Callable[[datetime], Iterable[HeldInstance]]
    proved: Callable[[Sequence[HeldInstance]], Collection[str]]


@dataclass(frozen=True)
class SpoolRule:
    """How long an instance stays whatever happens, and how much room there should be."""

    keep: timedelta
    wanted_free_bytes: int


class Spool:
    """Lets instances go while there is too little room, as far as the rule allows."""

    def __init__(
        self, archive: ArchiveService, clock: Clock, rule: SpoolRule, word: HubsWord, noted: Marks
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._rule = rule
        self._word = word
        self._noted = noted

    def make_room(self) -> int:
        """Let go what may go until there is the room that is wanted; return how many instances."""
        released = 0
        try:
            for uid in self._proved():
                self._noted.put(marks.RELEASING, uid)
                released += self._archive.release(uid)
        except EdgeError as error:
            log.warning("nothing leaves the spool unproved", extra={"error": str(error)})
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

    def _proved(self) -> Iterator[str]:
        """Yield what may leave, as long as there is too little room."""
        if not self._lacks_room():
            return
        for some in _parts(self._word.taken_before(self._clock.now() - self._rule.keep)):
            proved = self._word.proved(some)
            for one in some:
                if not self._lacks_room():
                    return
                if one.sop_instance_uid in proved:
                    yield one.sop_instance_uid

    def _lacks_room(self) -> bool:
        return self._archive.backend.free_bytes() < self._rule.wanted_free_bytes


def _parts(instances: Iterable[HeldInstance]) -> Iterator[list[HeldInstance]]:
    """Yield as many at a time as the hub reads again within one request."""
    part: list[HeldInstance] = []
    room = _BYTES_AT_ONCE
    for one in instances:
        if part and (len(part) == _ASKED_AT_ONCE or room < one.dataset_bytes):
            yield part
            part, room = [], _BYTES_AT_ONCE
        part.append(one)
        room -= one.dataset_bytes
    if part:
        yield part
