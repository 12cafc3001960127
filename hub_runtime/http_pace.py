"""How slowly an HTTP peer may send and take: a byte a second holds a connection for no longer.

waitress counts every byte as life, and never looks at a connection whose answer is still being
made. Here only so many bytes in a while are progress, either way.
"""

import time
from typing import Any

from hub_runtime.http_pieces import PiecewiseChannel

PROGRESS_BYTES = 65_536
"""What a peer must send, or take, within `web.request_timeout_s`, or all there is of it."""


class PacedChannel(PiecewiseChannel):
    """A connection that knows when its peer last got on."""

    _moved_at = 0.0
    _since = 0

    @property
    def last_activity(self) -> float:
        """When the peer last sent or took enough (Unix time); waitress's own name."""
        return self._moved_at

    @last_activity.setter
    def last_activity(self, now: float) -> None:
        # waitress writes it for the first time at the start, later for each byte.
        self._moved_at = self._moved_at or now

    @property
    def is_owed(self) -> bool:
        """Whether bytes wait for the peer to take them."""
        return bool(self.total_outbufs_len)

    def received(self, data: bytes) -> bool:
        """Take what the peer sent, as any channel; the start and the end of a request count."""
        begins = self.request is None
        taken = bool(super().received(data))
        self._got_on(len(data), wholly=begins or self.request is None)
        return taken

    def write_soon(self, data: Any) -> int:
        """Queue what is to be sent, as any channel; the peer's time begins with the first byte."""
        if not self.is_owed:
            self._got_on(0, wholly=True)
        return super().write_soon(data)

    def _flush_some(self, do_close: bool = True) -> bool:  # noqa: FBT001, FBT002 (waitress's own signature)
        before = self.total_outbufs_len
        sent = bool(super()._flush_some(do_close=do_close))
        if sent:
            self._got_on(before - self.total_outbufs_len, wholly=not self.is_owed)
        return sent

    def _got_on(self, moved: int, *, wholly: bool) -> None:
        self._since += moved
        if wholly or self._since >= PROGRESS_BYTES:
            self._moved_at, self._since = time.time(), 0


def cut_slow_peers(server: Any, now: float) -> None:
    """Close every connection of a waitress server whose peer did not get on for its timeout.

    One whose answer is being made stays, unless the peer leaves what is ready of it lying. For the
    thread of the server's event loop alone.
    """
    cutoff = now - server.adj.channel_timeout
    for channel in list(server.active_channels.values()):
        if channel.last_activity < cutoff and (channel.is_owed or not channel.requests):
            # Not left to the loop: it would wait until the peer takes something.
            channel.will_close = True
            channel.handle_close()
