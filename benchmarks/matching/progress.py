"""A line that says how far a long step is."""

import sys
import time
from types import TracebackType


class Progress:
    """Use as a context manager; writes to standard error, twice a second, to a file every 20 s."""

    def __init__(self, what: str, total: int) -> None:
        """Start a step of `total` parts."""
        self._what, self._total = what, max(total, 1)
        self._live = sys.stderr.isatty()
        self._pause_s = 0.5 if self._live else 20.0
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> "Progress":
        """Return itself."""
        return self

    def at(self, done: int) -> None:
        """Say that so many parts are done."""
        now = time.monotonic()
        if now - self._shown < self._pause_s:
            return
        self._shown = now
        spent = now - self._started
        left = spent / max(done, 1) * (self._total - done)
        share = 100 * done / self._total
        self._write(f"{self._what}: {share:3.0f} %  {spent:.0f} s, {left:.0f} s left")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line."""
        self._write(f"{self._what}: {time.monotonic() - self._started:.1f} s")
        if self._live:
            sys.stderr.write("\n")

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r{line:<78}" if self._live else f"{line}\n")
        sys.stderr.flush()
