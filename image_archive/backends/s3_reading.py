"""Streams over part of an object in a bucket: fetched as read, further ahead as reading goes on."""

import io
from collections.abc import Callable
from dataclasses import dataclass

FIRST_BYTES = 262_144
_MOST_BYTES = 8_388_608


@dataclass(frozen=True)
class Fetched:
    """Bytes of an object from `start` on; `size` and `tag` are the whole object's."""

    start: int
    data: memoryview
    size: int
    tag: str


class ObjectPart(io.RawIOBase):
    """The bytes of an object from `start` to `end`, as a stream that begins at 0.

    Each fetch that goes on where the last one ended is twice as long, up to 8 MiB: a header costs
    one short request, a long object few. `identity` is another one for an object published anew.
    """

    def __init__(
        self, fetch: Callable[[int, int], Fetched], first: Fetched, start: int, end: int
    ) -> None:
        super().__init__()
        self.identity = first.tag
        self._fetch = fetch
        self._window = first
        self._ahead = FIRST_BYTES
        self._start = start
        self._end = max(start, end)
        self._at = start

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is at hand, at most to the end of the part."""
        wanted = min(len(buffer), self._end - self._at)
        if wanted <= 0:
            return 0
        offset = self._at - self._window.start
        if not 0 <= offset < len(self._window.data):
            self._move(wanted)
            offset = 0
        taken = self._window.data[offset : offset + wanted]
        buffer[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move inside the part; positions count from its start."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._end}
        self._at = min(max(base[whence] + offset, self._start), self._end)
        return self._at - self._start

    def _move(self, wanted: int) -> None:
        goes_on = self._at == self._window.start + len(self._window.data)
        self._ahead = min(self._ahead * 2, _MOST_BYTES) if goes_on else FIRST_BYTES
        length = max(self._ahead, min(wanted, _MOST_BYTES))
        self._window = self._fetch(self._at, min(self._at + length, self._end))
