"""What an HTTP connection still has to send, without a copy of it.

waitress copies every answer into a buffer of its own, from there each time into what it offers the
kernel, and beyond a megabyte into a temporary file; and it sends every little piece by itself: more
work than making most answers. Here the thread that makes an answer hands its pieces to the kernel
as they are, small ones together with what follows. Only what a slow reader leaves is sent by the
event loop.
"""

import select
from collections import deque
from itertools import islice
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import ClientDisconnected, HTTPChannel

from hub_runtime.http_task import AnswerTask

MOST_WAITING_BYTES = 4 << 20
"""A thread that has made more than this waits for its reader (`outbuf_high_watermark`)."""

_SENT_ALONE_BYTES = 1 << 16
_MOST_TOGETHER = 16
_MOMENT_MS = 10


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

    def get(self, most: int = -1) -> list[memoryview]:  # noqa: ARG002 (waitress's own signature)
        """Return the first pieces of what is left, as many as are sent in one step."""
        return list(islice(self._pieces, _MOST_TOGETHER))

    def skip(self, count: int, allow_prune: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (waitress's own signature)
        """Drop so many bytes of the beginning."""
        if count > self._bytes:
            raise ValueError("more than was given out")
        self._bytes -= count
        while count:
            first = self._pieces.popleft()
            if count < len(first):
                self._pieces.appendleft(first[count:])
                return
            count -= len(first)

    def close(self) -> None:
        """Forget what is left."""
        self._pieces.clear()
        self._bytes = 0


class PiecewiseChannel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """A connection whose answers wait as pieces, not as copies."""

    task_class = AnswerTask
    _lags = False

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.outbufs = [Pieces()]

    def service(self) -> None:
        """Answer a request, as any channel; whether the reader lags is seen anew each time."""
        self._lags = False
        super().service()

    def write_soon(self, data: Any) -> int:
        """Send what the kernel takes at once, keep the rest; wait while too much is kept.

        A small piece waits for the next one, for `send_held`, or for the loop's next turn.

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
        if self.total_outbufs_len >= _SENT_ALONE_BYTES:
            self.send_held()
        return len(data)

    def send_held(self) -> None:
        """Hand to the kernel what is kept, waiting a moment at a time for a reader that keeps up.

        What one leaves that does not is the loop's to send: this thread has other readers.
        """
        waited = False
        while self.total_outbufs_len:
            with self.outbuf_lock:
                moved, failed = self._flush_exception(self._flush_some, do_close=False)
            if not self.total_outbufs_len and not failed:
                return
            in_vain = waited and not moved
            if failed or in_vain or self._lags or not self._has_room_in_a_moment():
                self._lags = True
                self.server.pull_trigger()
                return
            waited = True

    def send(self, data: bytes | list[memoryview], do_close: bool = True) -> int:  # noqa: FBT001, FBT002 (waitress's own signature)
        """Hand to the kernel what it takes, in one step; 0 where it takes nothing."""
        if not isinstance(data, list):
            return int(super().send(data, do_close=do_close))
        try:
            return int(self.socket.sendmsg(data))
        except BlockingIOError:
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            return 0

    def _has_room_in_a_moment(self) -> bool:
        """Say whether the kernel takes more soon; not where the peer is gone."""
        room = select.poll()
        try:
            room.register(self.socket, select.POLLOUT)
        except (OSError, ValueError):  # closed meanwhile
            return False
        return any(events == select.POLLOUT for _, events in room.poll(_MOMENT_MS))
