"""One accepted MLLP connection, read and written under deadlines so that nobody can hold it."""

import hashlib
import socket
import ssl
import time
from dataclasses import dataclass
from threading import Event

_TICK_S = 0.5
_CHUNK = 16 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class PeerGoneError(Exception):
    """The peer closed or reset the connection, or takes no answer."""


class SilentPeerError(Exception):
    """A deadline passed."""


class StoppingError(Exception):
    """The listener is being stopped."""


@dataclass(frozen=True)
class Patience:
    """How long to wait: for a message to begin, for a message to end, for an answer to be taken."""

    idle_s: float = 300.0
    message_s: float = 60.0
    send_s: float = 15.0
    handshake_s: float = 10.0


class Connection:
    """A peer's transport connection; `address` is numeric. Reading and writing is one thread's."""

    def __init__(self, sock: socket.socket, address: str, stopping: Event) -> None:
        self.socket = sock
        self.address = address
        self.certificate = ""
        self.waiting_since = time.monotonic()
        self.busy = False
        self._stopping = stopping
        self._chunk = bytearray(_CHUNK)
        _tune(sock)

    def secure(self, context: ssl.SSLContext, patience_s: float) -> None:
        """Make the TLS handshake as the server; keep the fingerprint of a client certificate.

        Raises:
            PeerGoneError: the handshake failed or took too long.
        """
        try:
            self.socket.settimeout(patience_s)
            secured = context.wrap_socket(self.socket, server_side=True)
            shown = secured.getpeercert(binary_form=True)
            secured.settimeout(_TICK_S)
        except (OSError, ValueError) as error:
            raise PeerGoneError("the TLS handshake failed") from error
        self.socket = secured
        self.certificate = hashlib.sha256(shown).hexdigest() if shown else ""

    def receive(self, deadline: float) -> memoryview:
        """Return what has arrived, at least one byte; valid until the next call.

        Raises:
            SilentPeerError: nothing came before `deadline` (of `time.monotonic`).
            PeerGoneError: the peer closed or reset the connection.
            StoppingError: no message is under way and the listener is being stopped.
        """
        while True:
            if self._stopping.is_set() and not self.busy:
                raise StoppingError
            left = deadline - time.monotonic()
            if left <= 0:
                raise SilentPeerError
            try:
                self.socket.settimeout(min(_TICK_S, left))
                count = self.socket.recv_into(self._chunk)
            except TimeoutError:
                continue
            except OSError as error:
                raise PeerGoneError("the connection was reset") from error
            if not count:
                raise PeerGoneError("the connection was closed")
            return memoryview(self._chunk)[:count]

    def send(self, data: bytes, patience_s: float) -> None:
        """Send all of `data` within `patience_s`.

        Raises:
            PeerGoneError: the peer takes nothing, or is gone.
        """
        deadline = time.monotonic() + patience_s
        rest = memoryview(data)
        while rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise PeerGoneError("the peer takes no answer")
            try:
                self.socket.settimeout(min(_TICK_S, left))
                rest = rest[self.socket.send(rest) :]
            except TimeoutError:
                continue
            except OSError as error:
                raise PeerGoneError("the connection was reset") from error

    def say_last(self, data: bytes, patience_s: float) -> None:
        """Send a last answer, and read what is still coming so that it is not lost to a reset."""
        try:
            self.send(data, patience_s)
            self.socket.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + patience_s
            while True:
                self.receive(deadline)
        except (PeerGoneError, SilentPeerError, StoppingError, OSError):
            return  # how it always ends

    def shut(self) -> None:
        """Wake whoever waits on the connection; safe from any thread."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # gone already, which is what was wanted

    def close(self) -> None:
        """Give the descriptor back."""
        self.shut()
        self.socket.close()


def _tune(sock: socket.socket) -> None:
    """No delay for small answers, keep-alive for half-open peers."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return  # reset already; the first read says so
