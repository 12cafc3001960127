"""A TCP proxy that fails on purpose: cut, reset, stalled, slow or corrupted lines, on loopback.

Each connection takes the next of the planned faults; with none planned it is carried as it is.
"""

import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Literal

_PIECE_BYTES = 65_536
_END_S = 10.0


class FaultKind(StrEnum):
    """What happens to the line once `after_bytes` have passed in the direction of the fault."""

    REFUSE = "refuse"  # closed as soon as it is accepted
    CUT = "cut"  # both ends see an orderly end in the middle of the conversation
    RESET = "reset"  # both ends see a connection reset
    STALL = "stall"  # half-open: nothing passes any more and nobody is told
    CORRUPT = "corrupt"  # one byte is changed on its way, the rest passes
    SLOW = "slow"  # everything passes, at `bytes_per_s`


@dataclass(frozen=True)
class Fault:
    """One fault; `towards` is the direction whose bytes are counted."""

    kind: FaultKind
    after_bytes: int = 0
    towards: Literal["server", "client"] = "server"
    bytes_per_s: int = 100_000


@dataclass
class ChaosProxy:
    """Carries connections from `port` to `target`; use it as a context manager.

    `connections` counts those accepted, `injected` the faults that have really happened.
    """

    target: tuple[str, int]
    port: int = 0
    always: Fault | None = None
    connections: int = 0
    injected: int = 0
    _planned: deque[Fault | None] = field(default_factory=deque)
    _open: set[socket.socket] = field(default_factory=set)
    _clients: set[socket.socket] = field(default_factory=set)
    _dropped: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ChaosProxy":
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in list(self._threads):
            thread.join(_END_S)

    def plan(self, faults: Iterable[Fault | None]) -> None:
        """Give the next connections these faults, one each; None carries one unharmed."""
        with self._lock:
            self._planned.extend(faults)

    def drop_connections(self) -> None:
        """End every connection that is open now, as a switch that loses its power."""
        with self._lock:
            sockets = list(self._open)
            self._dropped.update(sockets)
        for one in sockets:
            _reset(one)

    def give_up(self) -> None:
        """End every connection at its client's side alone: the server is told nothing."""
        with self._lock:
            clients = list(self._clients)
        for one in clients:
            _reset(one)

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                fault = self._planned.popleft() if self._planned else self.always
            self._carry(client, fault)

    def _carry(self, client: socket.socket, fault: Fault | None) -> None:
        if fault is not None and fault.kind is FaultKind.REFUSE:
            self._happened()
            _reset(client)
            return
        try:
            server = socket.create_connection(self.target, timeout=_END_S)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.update((client, server))
            self._clients.add(client)
        line = _Line(self, fault)
        self._start(line.pump, client, server, "server")
        self._start(line.pump, server, client, "client")

    def _happened(self) -> None:
        with self._lock:
            self.injected += 1

    def _say_the_end(self, sink: socket.socket) -> None:
        """Tell one side that the other has ended; those that were dropped are told nothing."""
        with self._lock, suppress(OSError):
            if sink not in self._dropped:
                sink.shutdown(socket.SHUT_WR)

    def _forget(self, *sockets: socket.socket) -> None:
        with self._lock:
            for held in (self._open, self._clients, self._dropped):
                held.difference_update(sockets)
        for one in sockets:
            one.close()


class _Line:
    """One connection in both directions."""

    def __init__(self, proxy: ChaosProxy, fault: Fault | None) -> None:
        self._proxy = proxy
        self._fault = fault
        self._passed = 0
        self._injected = False
        self._stalled = threading.Event()
        self._halves_open = 2

    def pump(self, source: socket.socket, sink: socket.socket, towards: str) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                if not self._pass_on(data, source, sink, towards):
                    break
        if self._stalled.is_set():
            self._proxy._ended.wait()
        self._proxy._say_the_end(sink)
        with self._proxy._lock:
            self._halves_open -= 1
        if not self._halves_open:
            self._proxy._forget(source, sink)

    def _pass_on(
        self, data: bytes, source: socket.socket, sink: socket.socket, towards: str
    ) -> bool:
        """Send `data` on, or what the fault leaves of it; tell whether the line still stands."""
        fault = self._fault
        if self._stalled.is_set():
            return False
        if fault is None or fault.towards != towards:
            sink.sendall(data)
            return True
        if fault.kind is FaultKind.SLOW:
            self._inject_once()
            return self._slowly(data, sink, fault.bytes_per_s)
        position = fault.after_bytes - self._passed
        self._passed += len(data)
        if position >= len(data) or self._injected:
            sink.sendall(data)
            return True
        if fault.kind is FaultKind.STALL:
            self._stalled.set()
        self._inject_once()
        if fault.kind is FaultKind.CORRUPT:
            sink.sendall(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
            return True
        sink.sendall(data[:position])
        if fault.kind is FaultKind.RESET:
            _reset(source)
            _reset(sink)
        elif fault.kind is FaultKind.CUT:
            for one in (source, sink):
                one.shutdown(socket.SHUT_RDWR)
        return False

    def _slowly(self, data: bytes, sink: socket.socket, bytes_per_s: int) -> bool:
        size = max(1, bytes_per_s // 20)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            sink.sendall(piece)
            if self._proxy._ended.wait(len(piece) / bytes_per_s):
                return False
        return True

    def _inject_once(self) -> None:
        if not self._injected:
            self._injected = True
            self._proxy._happened()


def _reset(one: socket.socket) -> None:
    """Close with RST instead of FIN; a thread that reads from it is woken first."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)
    one.close()
