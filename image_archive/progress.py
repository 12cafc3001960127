"""How far each process of an archive has settled what it acknowledged, for readers in another one.

Each process that receives keeps three numbers in a small shared file: how many instances it has
submitted, how many of the first of them are settled, and whether it is in trouble.
"""

import fcntl
import mmap
import os
import secrets
import struct
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_NUMBERS = struct.Struct("<QQQ")
_PREFIX = "progress-"
_POLL_S = 0.003


class Progress:
    """The numbers of this process, and a look at those of the others below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._file = -1
        self._numbers: mmap.mmap | None = None
        self._closing: Callable[[], object] | None = None

    def note(self, submitted: int, settled: int, *, in_trouble: bool) -> None:
        """Publish the numbers; the first call makes the file."""
        if self._numbers is None:
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.ftruncate(self._file, _NUMBERS.size)
            self._numbers = mmap.mmap(self._file, _NUMBERS.size)
            self._closing = weakref.finalize(self, _remove, self._file, self._path)
        _NUMBERS.pack_into(self._numbers, 0, submitted, settled, in_trouble)

    def wait_for_others(self, deadline: float) -> bool:
        """Wait until other processes have settled what they had submitted when this was called.

        False at `deadline` (`time.monotonic`), and at once for one that is in trouble. What a dead
        process left is for its successor to finish.
        """
        return all(self._wait_for(path, deadline) for path in self._others())

    def close(self) -> None:
        """Remove the file."""
        if self._numbers is not None:
            self._numbers.close()
            self._numbers = None
            if self._closing is not None:
                self._closing()

    def _others(self) -> Iterator[Path]:
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(_PREFIX)]
        return (self._folder / name for name in names if name != self._path.name)

    def _wait_for(self, path: Path, deadline: float) -> bool:
        awaited: int | None = None
        with suppress(FileNotFoundError), path.open("r+b") as file:
            if _is_dead(file.fileno()):
                path.unlink(missing_ok=True)
                return True
            while len(numbers := os.pread(file.fileno(), _NUMBERS.size, 0)) == _NUMBERS.size:
                submitted, settled, in_trouble = _NUMBERS.unpack(numbers)
                awaited = submitted if awaited is None else awaited
                if settled >= awaited:
                    return True
                if in_trouble or time.monotonic() > deadline:
                    return False
                if _is_dead(file.fileno()):
                    return True
                time.sleep(_POLL_S)
        return True


def _remove(descriptor: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _is_dead(descriptor: int) -> bool:
    """Tell whether nobody holds the file any more."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
