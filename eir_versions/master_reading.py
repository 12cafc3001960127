"""Originals out of masters: every byte as it was received, restored frame by frame as it is read.

Only codestreams that the hub wrote itself and whose checksum still holds are decoded, so this runs
in the hub's own process.
"""

import hashlib
import io
import threading
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO

import imagecodecs

from eir_versions.master_format import Block, Packing, read_block
from image_archive.errors import UnreadableInstanceError

_READ_BYTES = 262_144
_REMEMBERED_BYTES = 32 << 20
_REMEMBERED_FRAME_BYTES = 8 << 20


class HtMasterReader:
    """Reads masters of `eir_versions.master_making` (`image_archive.masters.MasterReader`)."""

    def __init__(self) -> None:
        self._frames = _Frames()

    def restored(self, master: BinaryIO) -> BinaryIO:
        """Return the original file; at most one frame of it is in memory.

        Raises:
            UnreadableInstanceError: no master, or damaged; also while it is read.
        """
        restored = _Restored(master, read_block(master), self._frames)
        return io.BufferedReader(restored, _READ_BYTES)

    def original_size(self, master: BinaryIO) -> int:
        """Return the length of the original file; raises as `restored`."""
        return read_block(master).original_size


class _Frames:
    """The frames decoded last: who sends an instance opens it twice, for its head and for all."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[bytes, Packing], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def frame(self, codestream: bytes, packing: Packing) -> bytes:
        """Return the bytes of the original that a codestream holds; safe from many threads.

        Raises:
            UnreadableInstanceError: it cannot be decoded.
        """
        key = hashlib.sha256(codestream).digest(), packing
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        data = packing.packed(decoded_master_frame(codestream))
        if len(data) <= _REMEMBERED_FRAME_BYTES:
            with self._lock:
                self._bytes += len(data) - len(self._held.get(key, b""))
                self._held[key] = data
                while self._bytes > _REMEMBERED_BYTES:
                    self._bytes -= len(self._held.popitem(last=False)[1])
        return data


class _Restored(io.RawIOBase):
    """The original as a stream: what stood before, frame after frame, what stood behind."""

    def __init__(self, master: BinaryIO, block: Block, frames: _Frames) -> None:
        super().__init__()
        self._frames = frames
        self._master = master
        self._block = block
        self._at = 0
        self._held: tuple[int, bytes] | None = None
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the original."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._block.original_size}
        self._at = max(0, base[whence] + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read from one of the pieces."""
        with self._lock:
            data = self._piece(len(buffer))
            buffer[: len(data)] = data
            self._at += len(data)
            return len(data)

    def readall(self) -> bytes:
        """Read what is left."""
        with self._lock:
            pieces = []
            while data := self._piece(self._block.original_size):
                pieces.append(data)
                self._at += len(data)
            return b"".join(pieces)

    def close(self) -> None:
        """Close the master."""
        self._master.close()
        super().close()

    def _piece(self, most: int) -> memoryview:
        """Return up to `most` bytes from here on that lie in one piece; empty at the end."""
        before, said = self._block.before, self._block.description
        if self._at < len(before):
            return memoryview(before)[self._at : self._at + most]
        index, inside = divmod(self._at - len(before), said.frame_bytes)
        if index < len(said.frames):
            return memoryview(self._frame(index))[inside : inside + most]
        start = self._at - len(before) - len(said.frames) * said.frame_bytes
        return memoryview(self._block.after)[start : start + most]

    def _frame(self, index: int) -> bytes:
        if self._held is None or self._held[0] != index:
            self._held = (index, self._decoded(index))
        return self._held[1]

    def _decoded(self, index: int) -> bytes:
        offset, length, checksum = self._block.description.frames[index]
        self._master.seek(offset)
        codestream = self._master.read(length)
        if zlib.crc32(codestream) != checksum:
            raise UnreadableInstanceError("a frame of a master has changed")
        data = self._frames.frame(codestream, self._block.description.packing)
        if len(data) != self._block.description.frame_bytes:
            raise UnreadableInstanceError("a frame of a master has another size")
        return data


def decoded_master_frame(codestream: bytes) -> Any:
    """Return the samples, (rows, columns[, components]), of a codestream the hub wrote itself.

    Raises:
        UnreadableInstanceError: it cannot be decoded.
    """
    try:
        return imagecodecs.htj2k_decode(codestream, planar=False)
    except (ValueError, RuntimeError) as error:
        raise UnreadableInstanceError("a frame of a master cannot be decoded") from error
