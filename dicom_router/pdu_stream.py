"""Walk through received PDUs in place: headers whole, contents as views into one buffer."""

from dicom_router.connection import Connection

_CAPACITY = 256 * 1024


class PduStream:
    """The bytes of a connection, read with as few copies and system calls as possible.

    Views handed out are valid until the next call only.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._view = memoryview(bytearray(_CAPACITY))
        self._start = 0
        self._end = 0

    @property
    def has_unread(self) -> bool:
        """Tell whether bytes have been read from the connection that nobody has taken yet."""
        return self._start < self._end

    def take(self, count: int) -> memoryview:
        """Return exactly `count` bytes, at most a few hundred; raises as `Connection`."""
        while self._end - self._start < count:
            self._receive_more(count)
        self._start += count
        return self._view[self._start - count : self._start]

    def some(self, limit: int) -> memoryview:
        """Return between 1 and `limit` bytes, whatever has arrived; raises as `Connection`."""
        if self._start == self._end:
            self._receive_more(1)
        start, self._start = self._start, min(self._end, self._start + limit)
        return self._view[start : self._start]

    def _receive_more(self, wanted: int) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + wanted > _CAPACITY:
            rest = bytes(self._view[self._start : self._end])
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        self._end += self._connection.receive_into(self._view[self._end :])
