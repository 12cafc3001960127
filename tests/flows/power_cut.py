"""Replay a trace of a receiving hub on a disk that keeps only what was flushed.

Killing a process loses nothing that the kernel has taken; a power cut does. The model knows files,
names and flushes: a file's bytes survive when they were flushed after the last write, a name
survives when its folder was flushed after the rename.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

TRACED = "write,pwrite64,fdatasync,fsync,mkdir,rename,sendto"
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

    def flush(self, arguments: str) -> None:
        path = _path(arguments)
        self.unflushed.discard(path)
        self.unflushed_names = {
            name for name in self.unflushed_names if str(PurePosixPath(name).parent) != path
        }

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
        at_risk = [path for path in self.unflushed if path.endswith("-wal")]
        for path in self.published:
            names = {path, *map(str, PurePosixPath(path).parents)}
            if path in self.unflushed or names & self.unflushed_names:
                at_risk.append(path)
        if at_risk or len(self.published) < self.acknowledged:
            self.lost.append(f"answer {self.acknowledged}: {at_risk or 'no file'}")


_ACTIONS: dict[str, Callable[[Disk, str], None]] = {
    "write": Disk.write,
    "pwrite64": Disk.write,
    "fdatasync": Disk.flush,
    "fsync": Disk.flush,
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
