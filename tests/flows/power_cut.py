"""Replay a trace of a receiving hub on a disk that keeps only what was flushed.

Killing a process loses nothing that the kernel has taken; a power cut does. The model knows files,
names and flushes: a file's bytes survive when they were flushed after the last write, a name
survives when its folder was flushed after the rename.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

TRACED = "write,pwrite64,sendfile,fdatasync,fsync,syncfs,mkdir,rename,sendto"
_CALL = re.compile(r"^\d+\s+(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_UNFINISHED = re.compile(r"^(?P<thread>\d+)\s+(?P<start>.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<thread>\d+)\s+<\.\.\. \w+ resumed>(?P<end>.*)$")
_DESCRIPTOR = re.compile(r"^\d+<(?P<path>[^>]*)>")
_RENAMED = re.compile(r'^"(?P<old>[^"]*)", "(?P<new>[^"]*)"')
_STORE_RESPONSE = r"\1\200"  # Command Field 0x8001, as strace prints it
_SUCCESS = r"\0\0\0\t\2\0\0\0\0\0"  # the end of the Status element, 0x0000


@dataclass
class Disk:
    """What a power cut would leave at each moment of the trace."""

    unflushed: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    unflushed_names: set[str] = field(default_factory=set)
    copied: set[str] = field(default_factory=set)
    spooled: set[str] = field(default_factory=set)
    secured: int = 0
    released: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)

    def replay(self, lines: Iterable[str]) -> None:
        """Take the trace of one association that stores one instance after the other."""
        for name, arguments in _calls(lines):
            action = _ACTIONS.get(name)
            if action is not None:
                action(self, arguments)

    def write(self, arguments: str) -> None:
        self.unflushed.add(_path(arguments))

    def overwrite(self, arguments: str) -> None:
        """Bytes written at a place: the spool's, or the database's."""
        path = _path(arguments)
        if path in self.spooled:
            self.spooled.discard(path)
            self.released += 1
            if self.released > len(self._durable()):
                self.lost.append(f"spool file {self.released} forgotten too early")
        self.unflushed.add(path)

    def flush(self, arguments: str) -> None:
        path = _path(arguments)
        if path in self.unflushed and "/incoming/" in path and path not in self.copied:
            self.spooled.add(path)
            self.secured += 1
        self.unflushed.discard(path)
        self.unflushed_names = {
            name for name in self.unflushed_names if str(PurePosixPath(name).parent) != path
        }

    def flush_all(self, _arguments: str) -> None:
        """Copies and names; what the spool and the database flush on their own is not excused."""
        self.unflushed -= self.copied
        self.unflushed_names.clear()

    def copy(self, arguments: str) -> None:
        self.copied.add(_path(arguments))
        self.unflushed.add(_path(arguments))

    def rename(self, arguments: str) -> None:
        renamed = _RENAMED.match(arguments)
        assert renamed, arguments
        old, new = renamed["old"], renamed["new"]
        if old in self.unflushed:
            self.unflushed.add(new)
        self.published.add(new)
        self.unflushed_names.add(new)

    def make_folder(self, arguments: str) -> None:
        self.unflushed_names.add(arguments.split('"')[1])

    def send(self, arguments: str) -> None:
        if _STORE_RESPONSE not in arguments or _SUCCESS not in arguments:
            return
        self.acknowledged += 1
        if self.secured < self.acknowledged:
            self.lost.append(f"answer {self.acknowledged}: only {self.secured} in the spool")

    def _durable(self) -> list[str]:
        """What is published for good, as far as the database knows it for good too."""
        if any(path.endswith("-wal") for path in self.unflushed):
            return []
        return [
            path
            for path in self.published
            if path not in self.unflushed
            and not {path, *map(str, PurePosixPath(path).parents)} & self.unflushed_names
        ]


_ACTIONS: dict[str, Callable[[Disk, str], None]] = {
    "write": Disk.write,
    "pwrite64": Disk.overwrite,
    "sendfile": Disk.copy,
    "fdatasync": Disk.flush,
    "fsync": Disk.flush,
    "syncfs": Disk.flush_all,
    "mkdir": Disk.make_folder,
    "rename": Disk.rename,
    "sendto": Disk.send,
}


def _calls(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield (name, arguments) of every call that succeeded, interrupted ones put together."""
    begun: dict[str, str] = {}
    for line in lines:
        unfinished, resumed = _UNFINISHED.match(line), _RESUMED.match(line)
        whole = line
        if unfinished:
            begun[unfinished["thread"]] = f"{unfinished['thread']} {unfinished['start']}"
            continue
        if resumed:
            whole = begun.pop(resumed["thread"], "") + resumed["end"]
        call = _CALL.match(whole)
        if call and not call["result"].startswith("-"):
            yield call["name"], call["arguments"]


def _path(arguments: str) -> str:
    described = _DESCRIPTOR.match(arguments)
    return described["path"] if described else ""
