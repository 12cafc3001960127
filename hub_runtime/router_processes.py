"""Several processes behind one DICOM port, each an interpreter of its own (`router.processes`).

They inherit the listening sockets, so that a connection waits for whichever comes first and none is
lost with a process that dies. What they must agree on goes through the archive's locks and the
database. A process that dies is replaced; its successor finishes what is in its spool before it
accepts. Each ends when its standard input does, so that none outlives the hub.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
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
class RouterProcesses:
    """The receiving processes of one hub; `secure` says whether they speak TLS on a second port."""

    settings: Settings
    secure: bool
    _sockets: list[socket.socket] = field(default_factory=list)
    _running: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
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
        for number, process in self._running.items():
            if not _is_ready(process):
                self.stop()
                raise ConfigurationError("a receiving process did not start; see the log")
            watching = threading.Thread(target=self._watch, args=(number,), name=f"router-{number}")
            watching.start()
            self._watching.append(watching)
        return [one.getsockname()[1] for one in self._sockets]

    def stop(self) -> None:
        """End all in order: messages under way are answered."""
        self._stopping.set()
        for process in tuple(self._running.values()):
            process.send_signal(signal.SIGTERM)
        for process in tuple(self._running.values()):
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        for watching in self._watching:
            watching.join()
        for one in self._sockets:
            one.close()

    def _watch(self, number: int) -> None:
        """Replace the process whenever it ends before its time."""
        while True:
            code = self._running[number].wait()
            if self._stopping.is_set():
                return
            log.error("a receiving process ended; it is replaced", extra={"code": code})
            process = self._running[number] = self._spawn()
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            if not _is_ready(process):
                self._stopping.wait(_BREATHER_S)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        descriptors = [one.fileno() for one in self._sockets]
        process = subprocess.Popen(  # noqa: S603 (this very interpreter)
            [sys.executable, "-m", _CHILD, *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if process.stdin is not None:
            process.stdin.write(self.settings.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        return process


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _is_ready(process: "subprocess.Popen[bytes]") -> bool:
    return process.stdout is not None and process.stdout.readline() == _READY
