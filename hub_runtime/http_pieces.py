"""What an HTTP connection still has to send, without a copy of it.

waitress copies every answer into a buffer of its own, from there each time into what it offers the
kernel, and beyond a megabyte into a temporary file: more work than making most answers.
"""

from collections import deque
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import ClientDisconnected, HTTPChannel

MOST_WAITING_BYTES = 4 << 20
"""A thread that has made more than this waits for its reader (`outbuf_high_watermark`)."""


class Pieces:
    """Pieces of an answer in order: the very objects that were handed over (waitress's buffer)."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many bytes are left."""
        return self._bytes

    def append(self, data: bytes) -> None:
        """Add a piece, which nobody changes any more."""
        self._pieces.append(memoryview(data))
        self._bytes += len(data)

    def get(self, most: int = -1) -> memoryview:
        """Return the beginning of what is left: at most one piece, and at most that many bytes."""
        first = self._pieces[0]
        return first if most < 0 else first[:most]

    def skip(self, count: int, allow_prune: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (waitress's own signature)
        """Drop so many bytes of the first piece."""
        first = self._pieces[0]
        if count > len(first):
            raise ValueError("more than was given out")
        self._bytes -= count
        if count == len(first):
            self._pieces.popleft()
        else:
            self._pieces[0] = first[count:]

    def close(self) -> None:
        """Forget what is left."""
        self._pieces.clear()
        self._bytes = 0


class PiecewiseChannel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """A connection whose answers wait as pieces, not as copies."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.outbufs = [Pieces()]

    def write_soon(self, data: Any) -> int:
        """Send what the kernel takes at once, keep the rest; wait while too much is kept.

        Raises:
            ClientDisconnected: nobody is there any more.
        """
        if not self.connected:
            raise ClientDisconnected
        if not data:
            return 0
        with self.outbuf_lock:
            self._flush_outbufs_below_high_watermark()
            if not self.connected:
                raise ClientDisconnected
            if isinstance(data, ReadOnlyFileBasedBuffer):  # a file: it is read as it is sent
                self.outbufs += [data, Pieces()]
            else:
                self.outbufs[-1].append(data)
            self.total_outbufs_len += len(data)
            flushed, failed = self._flush_exception(self._flush_some, do_close=False)
            if failed or not flushed or self.total_outbufs_len:
                self.server.pull_trigger()
        return len(data)
