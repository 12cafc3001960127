"""Bytes of another community on their way through: on disk without a name, never in memory."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class SpooledPart:
    """One document of an answer: where it lies in the spool, and what it says it is."""

    spool: "Spool"
    media_type: str
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the part; may be called any number of times, from any thread."""
        return self.spool.chunks(self.offset, self.size)


class Spool:
    """One file that has no name and is gone as soon as nothing speaks of it any more."""

    def __init__(self, folder: Path) -> None:
        descriptor, path = tempfile.mkstemp(dir=folder, prefix="gateway-")
        Path(path).unlink()
        self._descriptor = descriptor
        self._size = 0
        weakref.finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._size

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            OSError: there is no room.
        """
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._size += len(data)

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield `size` bytes from `offset`.

        Raises:
            EOFError: they were never written; an answer must not look complete without them.
        """
        end = offset + size
        while offset < end:
            chunk = os.pread(self._descriptor, min(_CHUNK_BYTES, end - offset), offset)
            if not chunk:
                raise EOFError("the spool ends before the part it should hold")
            offset += len(chunk)
            yield chunk
