"""Rate caps by the hour of the day: how fast bytes may leave for one destination."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dicom_router.routing.windows import Window

_LONGEST_NAP_S = 0.5
_BURST_S = 0.25


@dataclass(frozen=True)
class RateCap:
    """At most so many bytes a second within `during`; the first cap whose window is open holds."""

    during: Window | None
    bytes_per_s: int


class Pacer:
    """Spreads the bytes for one destination over time; all its associations share one.

    `local_now` tells the time in the time zone of the region. A wait ends early when `stopping` is
    set, so that a slow line does not hold up the end of the hub.
    """

    def __init__(
        self,
        caps: Sequence[RateCap],
        local_now: Callable[[], datetime],
        stopping: threading.Event,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caps = caps
        self._local_now = local_now
        self._stopping = stopping
        self._monotonic = monotonic
        self._free_at = 0.0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Wait until `count` more bytes may leave."""
        cap = self.bytes_per_s()
        if cap is None or not count:
            return
        with self._lock:
            begins = max(self._free_at, self._monotonic() - _BURST_S)
            self._free_at = begins + count / cap
            until = begins
        while (rest := until - self._monotonic()) > 0 and not self._stopping.is_set():
            self._stopping.wait(min(rest, _LONGEST_NAP_S))

    def bytes_per_s(self) -> int | None:
        """Return the cap that holds now, None without one."""
        now = self._local_now() if self._caps else None
        for cap in self._caps:
            if cap.during is None or (now is not None and cap.during.contains(now)):
                return cap.bytes_per_s
        return None
