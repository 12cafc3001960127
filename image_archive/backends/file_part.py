"""A part of a file as a stream of its own, for ranges of stored objects."""

import io
from typing import BinaryIO


class FilePart(io.RawIOBase):
    """The bytes of a file from `start` to `end`, as a stream that begins at 0."""

    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        super().__init__()
        self._stream = stream
        self._start = start
        self._end = end
        stream.seek(start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the part."""
        left = max(0, self._end - self._stream.tell())
        with memoryview(buffer) as whole, whole[:left] as wanted:
            return int(self._stream.readinto(wanted))  # type: ignore[attr-defined]

    def readall(self) -> bytes:
        """Read what is left of the part in one step."""
        return self._stream.read(max(0, self._end - self._stream.tell()))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move inside the part; positions count from its start."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._stream.tell(), io.SEEK_END: self._end}
        position = min(max(base[whence] + offset, self._start), self._end)
        return self._stream.seek(position) - self._start

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()
