"""Keeping a pace over the instances of an archive: so many a minute, however long a run takes.

A job that never ends goes on where its last run stopped, for what lies before has had its turn and
reading past it again would take longer every year. Once a day, and after every start, it begins
anew: something may have been late.
"""

import time
from collections.abc import Callable

from image_archive.paging import Part

EVERY_S = 60.0
_BEGINS_ANEW_S = 86_400.0
# A machine that slept does not make up for the night in one run.
_MOST_MADE_UP_S = 600.0


class Steady:
    """Where one job is and how many have their turn now; `monotonic` tells seconds."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60.0
        self._monotonic = monotonic
        self._began_run = self._began_anew = monotonic() - EVERY_S
        self._through = 0

    def part(self) -> Part:
        """Return what has its turn in the run that begins now."""
        now = self._monotonic()
        passed = min(now - self._began_run, _MOST_MADE_UP_S)
        self._began_run = now
        if now - self._began_anew > _BEGINS_ANEW_S:
            self._began_anew, self._through = now, 0
        return Part(self._through, max(1, round(passed * self._per_s)))

    def came_to(self, row_id: int) -> None:
        """Note the last row that had its turn."""
        self._through = max(self._through, row_id)
