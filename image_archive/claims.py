"""Names that one store at a time may hold, in this process and in every other one on the archive.

A claim is a lock on one byte of a shared file, at the place its name hashes to: the kernel keeps
it, no disk does, and it ends with the last process that has the file open. Two names that hash to
one place wait for each other, which is harmless.
"""

import fcntl
import hashlib
import os
import struct
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from image_archive.errors import ArchiveBusyError

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of Linux, 64 bits
_PLACES = 2**62
_POLL_S = 0.004
_PATIENCE_S = 60.0


def open_claims(path: Path) -> int:
    """Open the shared file at `path`, made if need be, for the claims of one process."""
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)


@dataclass
class _Held:
    """`holders` share a name because they mean the same by it, once it is locked."""

    meaning: str
    holders: int = 1
    locked: bool = False


class Claims:
    """The claims of one process, through `descriptor`, which is closed when this object is gone.

    Safe from many threads.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._closing = weakref.finalize(self, os.close, descriptor)
        self._changed = threading.Condition()
        self._held: dict[str, _Held] = {}

    @classmethod
    def at(cls, path: Path) -> "Claims":
        """Return claims through the shared file at `path`, which is made if need be."""
        return cls(open_claims(path))

    def go_through(self, descriptor: int) -> None:
        """Hold claims through `descriptor`, which somebody else keeps open too; none is held yet.

        They outlive this process until nobody has it open.
        """
        self._closing()
        os.set_inheritable(descriptor, False)  # noqa: FBT003 (it takes no name)
        self._descriptor = descriptor
        self._closing = weakref.finalize(self, os.close, descriptor)

    def hold(self, name: str, meaning: str = "") -> None:
        """Wait until `name` is free, and hold it until `release`.

        In one process those share a name who hold it with the same `meaning`, unless that is empty.

        Raises:
            ArchiveBusyError: it did not become free for a minute.
        """
        deadline = time.monotonic() + _PATIENCE_S
        with self._changed:
            while name in self._held:
                held = self._held[name]
                if meaning and held.meaning == meaning and held.locked:
                    held.holders += 1
                    return
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ArchiveBusyError("archive: the same instance is still being stored")
            self._held[name] = _Held(meaning)
        locked = False
        try:
            locked = self._locked_by(name, deadline)
        finally:
            with self._changed:
                if locked:
                    self._held[name].locked = True
                    self._changed.notify_all()
                else:
                    self._forget(name)
        if not locked:
            raise ArchiveBusyError("archive: another process still stores this instance")

    def release(self, name: str) -> None:
        """Give the name back; the last of those who share it frees it."""
        with self._changed:
            held = self._held[name]
            held.holders -= 1
            if not held.holders:
                self._lock(name, fcntl.F_UNLCK)
                self._forget(name)

    def _locked_by(self, name: str, deadline: float) -> bool:
        while not self._lock(name, fcntl.F_WRLCK):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _forget(self, name: str) -> None:
        del self._held[name]
        self._changed.notify_all()

    def _lock(self, name: str, kind: int) -> bool:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") % _PLACES
        try:
            fcntl.fcntl(
                self._descriptor,
                fcntl.F_OFD_SETLK,
                _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0),
            )
        except BlockingIOError:
            return False
        return True
