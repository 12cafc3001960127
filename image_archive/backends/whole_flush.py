"""Flush many new files by one call, where kernel and file system keep the promise (syncfs(2)).

Each fdatasync of a new file waits for the disk's own cache to be emptied; sixty-four of them take
the disk from those who wait for their answers. syncfs empties it once. It tells of a failed write
since Linux 5.8, and is known here to cover all that fdatasync does on ext4 and XFS alone.
"""

import ctypes
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

_FILE_SYSTEMS = frozenset({"ext4", "xfs", "tmpfs"})  # tmpfs: neither call does anything
_TELLS_ERRORS = (5, 8)
_FEWEST = 2
_SLOW_S = 0.5
_PAUSE_S = 30.0


class WholeFlush:
    """Flushes the file system of `folder`; only where many files wait, and while it is quick.

    It flushes what others wrote there too: while somebody copies a disk image, each file is better
    flushed alone.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._call = _syncfs() if _keeps_the_promise(folder) else None
        self._not_before = 0.0

    @contextmanager
    def of(self, count: int) -> Iterator[Callable[[], bool] | None]:
        """Give what flushes all that is written inside the block; None: flush each file alone.

        It returns False when a write failed, anybody's on this file system: flush each file then,
        to learn whose it was.
        """
        descriptor = self._opened(count)
        if descriptor is None:
            yield None
            return
        try:
            yield lambda: self._flush(descriptor)
        finally:
            os.close(descriptor)

    def _opened(self, count: int) -> int | None:
        """Return a descriptor that is told of what fails from now on, if it is worth while."""
        if self._call is None or count < _FEWEST or time.monotonic() < self._not_before:
            return None
        with suppress(OSError):
            return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return None

    def _flush(self, descriptor: int) -> bool:
        started = time.monotonic()
        flushed = self._call is not None and self._call(descriptor) == 0
        ended = time.monotonic()
        if not flushed or ended - started > _SLOW_S:
            self._not_before = ended + _PAUSE_S
        return flushed


def _syncfs() -> Callable[[int], int] | None:
    """Return the C library's syncfs, which lets other threads run meanwhile."""
    with suppress(OSError, AttributeError):
        call = ctypes.CDLL(None).syncfs
        call.argtypes = [ctypes.c_int]
        call.restype = ctypes.c_int
        return cast(Callable[[int], int], call)
    return None


def _keeps_the_promise(folder: str) -> bool:
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if not version or (int(version[1]), int(version[2])) < _TELLS_ERRORS:
        return False
    with suppress(OSError):
        return _file_system(Path(folder).stat().st_dev) in _FILE_SYSTEMS
    return False


def _file_system(device: int) -> str:
    """Return the type of the file system mounted from `device` (proc(5), mountinfo)."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return ""
