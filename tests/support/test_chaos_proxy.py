"""Each fault of the proxy is really felt by both ends of the line."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.waiting import eventually

MESSAGE = bytes(range(256)) * 40


class Echo:
    """A server that sends back what it hears, and keeps what it heard last."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.ended = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while data := peer.recv(65_536):
                peer.sendall(data)
        self.ended += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


def exchanged(proxy: ChaosProxy, patience_s: float = 60.0) -> bytes:
    """Send the message through the proxy; return what comes back until it ends or is whole."""
    heard = b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience_s) as line:
        line.sendall(MESSAGE)
        while len(heard) < len(MESSAGE):
            data = line.recv(65_536)
            if not data:
                return heard
            heard += data
    return heard


def test_without_a_fault_everything_passes(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        assert exchanged(proxy) == MESSAGE
        assert (proxy.connections, proxy.injected) == (1, 0)


def test_a_cut_line_ends_after_so_many_bytes(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(FaultKind.CUT, after_bytes=100, towards="client")])
        assert exchanged(proxy) == MESSAGE[:100]
        assert exchanged(proxy) == MESSAGE  # the next connection is not harmed
        assert proxy.injected == 1


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.REFUSE])
def test_a_reset_line_is_felt_as_an_error(echo: Echo, kind: FaultKind) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(kind, after_bytes=100)])
        with pytest.raises(ConnectionError):
            exchanged(proxy)
        assert proxy.injected == 1


def test_a_stalled_line_stays_open_and_silent(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(FaultKind.STALL, after_bytes=100)])
        with pytest.raises(TimeoutError):
            exchanged(proxy, patience_s=0.3)


def test_who_gives_up_a_stalled_line_tells_the_server_nothing(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(FaultKind.STALL, after_bytes=100)])
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as line:
            line.sendall(MESSAGE)
            eventually(lambda: proxy.injected)
            proxy.give_up()
            with pytest.raises(ConnectionError):
                line.recv(1)
        assert echo.ended == 0
    eventually(lambda: echo.ended == 1)


def test_a_corrupted_line_changes_one_byte(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(FaultKind.CORRUPT, after_bytes=1000)])
        heard = exchanged(proxy)
        assert [n for n in range(len(MESSAGE)) if heard[n] != MESSAGE[n]] == [1000]


def test_a_slow_line_takes_its_time(echo: Echo) -> None:
    with ChaosProxy(echo.address) as proxy:
        proxy.plan([Fault(FaultKind.SLOW, bytes_per_s=len(MESSAGE) * 2)])
        started = time.monotonic()
        assert exchanged(proxy) == MESSAGE
        assert time.monotonic() - started > 0.3
        assert proxy.injected == 1


def test_connections_can_be_dropped_from_outside(echo: Echo) -> None:
    with (
        ChaosProxy(echo.address) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as line,
    ):
        line.sendall(b"a")
        assert line.recv(1) == b"a"
        proxy.drop_connections()
        with pytest.raises(ConnectionError):
            line.recv(1)
