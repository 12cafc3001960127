"""Several processes behind one DICOM port, each an interpreter of its own (`router.processes`).

They inherit the listening sockets, so that a connection waits for whichever comes first and none is
lost with a process that dies. What they must agree on goes through the archive's locks and the
database. A process that dies is replaced; its successor finishes what is in its spool before it
accepts. Each ends when its standard input does, so that none outlives the hub.

The parent has each one's claims open too: what a dead process had acknowledged stays claimed until
its successor has settled it, so that nobody else is told otherwise meanwhile.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings

log = logging.getLogger(__name__)

_BACKLOG = 512
_STOP_S = 30.0
_BREATHER_S = 1.0
_READY = b"ready\n"
_CHILD = "hub_runtime.router_process"


def wanted_processes(settings: Settings) -> int:
    """Return how many processes receive: as set, or one for each core."""
    return settings.router.processes or os.cpu_count() or 1


@dataclass
class _Child:
    """One process, the parent's descriptor for its claims, and the metrics it said last."""

    process: "subprocess.Popen[bytes]"
    claims: int
    metrics: str = ""

    def is_ready(self) -> bool:
        """Wait until it accepts; False when it ended instead. From then on it is listened to."""
        if self.process.stdout is None or self.process.stdout.readline() != _READY:
            return False
        threading.Thread(target=self._listen, daemon=True).start()
        return True

    def _listen(self) -> None:
        if self.process.stdout is None:
            return
        with self.process.stdout as said:
            for line in said:
                with suppress(ValueError):
                    self.metrics = json.loads(line)

    def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code


@dataclass
class RouterProcesses:
    """The receiving processes of one hub; `secure` says whether they speak TLS on a second port.

    `open_claims` opens the archive's claims for one process.
    """

    settings: Settings
    secure: bool
    open_claims: Callable[[], int]
    _sockets: list[socket.socket] = field(default_factory=list)
    _running: dict[int, _Child] = field(default_factory=dict)
    _unsettled: list[int] = field(default_factory=list)
    _starting: set[int] = field(default_factory=set)
    _changing: threading.Lock = field(default_factory=threading.Lock)
    _watching: list[threading.Thread] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[int]:
        """Listen, start the processes, and return the ports once all of them accept.

        Raises:
            OSError: a port cannot be opened.
            ConfigurationError: a process does not start; its own words are in the log.
        """
        router = self.settings.router
        for port in [router.port, router.tls_port][: 1 + self.secure]:
            self._sockets.append(_listening(router.bind, port))
        for number in range(wanted_processes(self.settings)):
            self._running[number] = self._spawn()
        for number, child in self._running.items():
            if not child.is_ready():
                self.stop()
                raise ConfigurationError("a receiving process did not start; see the log")
            watching = threading.Thread(target=self._watch, args=(number,), name=f"router-{number}")
            watching.start()
            self._watching.append(watching)
        return [one.getsockname()[1] for one in self._sockets]

    def stop(self) -> None:
        """End all in order: messages under way are answered."""
        self._stopping.set()
        children = tuple(self._running.values())
        for child in children:
            child.process.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.process.wait(self.settings.router.drain_s + _STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
        for watching in self._watching:
            watching.join()
        for one in self._sockets:
            one.close()
        self._unsettled += [child.claims for child in self._running.values()]
        self._running.clear()
        self._starting.clear()
        self._let_go()

    def metrics(self) -> dict[str, str]:
        """Return what each process has said of its metrics, at most a second or so ago."""
        running = tuple(self._running.items())
        return {str(number): child.metrics for number, child in running if child.metrics}

    def _watch(self, number: int) -> None:
        """Replace the process whenever it ends before its time."""
        while True:
            code = self._running[number].wait()
            if self._stopping.is_set():
                return
            log.error("a receiving process ended; it is replaced", extra={"code": code})
            with self._changing:
                self._starting.add(number)
                self._unsettled.append(self._running[number].claims)
                child = self._running[number] = self._spawn()
            if self._stopping.is_set():
                child.process.send_signal(signal.SIGTERM)
            if child.is_ready():
                self._settled(number)
            else:
                self._stopping.wait(_BREATHER_S)

    def _settled(self, number: int) -> None:
        """Let go of the claims of the dead, once no successor may be at work on what they left."""
        with self._changing:
            self._starting.discard(number)
            if not self._starting:
                self._let_go()

    def _let_go(self) -> None:
        while self._unsettled:
            os.close(self._unsettled.pop())

    def _spawn(self) -> _Child:
        claims = self.open_claims()
        descriptors = [claims, *(one.fileno() for one in self._sockets)]
        process = subprocess.Popen(  # noqa: S603 (this very interpreter)
            [sys.executable, "-m", _CHILD, *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if process.stdin is not None:
            process.stdin.write(self.settings.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        return _Child(process, claims)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
