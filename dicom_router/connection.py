"""One accepted socket, read and written under deadlines so that no peer can hold it for ever."""

import select
import socket
import ssl
import time
from threading import Event

from dicom_router.errors import (
    NodeStoppingError,
    PeerGoneError,
    PeerTooSlowError,
    TlsRefusedError,
)

_TICK_S = 1.0
_MIN_BYTES_PER_S = 1000  # slower than any line that still carries images
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Connection:
    """A peer's transport connection.

    `address` is numeric. A *pace* is set before each thing that is waited for: the peer may be
    silent for `patience_s`, and every 1000 bytes that arrive buy back one second of it, so that one
    byte a second breaks the pace as surely as silence. A stop ends a wait between two messages
    only, never a message under way.
    """

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.socket = sock
        self.address = address
        self.peer_certificate: bytes | None = None  # in DER, once a TLS handshake has proven it
        self.bytes_received = 0
        self._patience_s = self._deadline = 0.0
        self._between_messages = True
        self._stopping = Event()
        _tune(sock)

    def pace(self, patience_s: float, *, between_messages: bool = False) -> None:
        """Begin to wait for something; at most `patience_s` until the first of it arrives."""
        self._patience_s = patience_s
        self._deadline = time.monotonic() + patience_s
        self._between_messages = between_messages
        if between_messages:
            acknowledge_at_once(self.socket)

    def begin_message(self) -> None:
        """Note that something has begun to arrive: a stop now waits for its end."""
        self._between_messages = False

    def receive_into(self, buffer: memoryview) -> int:
        """Fill the beginning of `buffer` with what has arrived; return how many bytes, at least 1.

        Raises:
            PeerTooSlowError: the pace is broken.
            PeerGoneError: the peer closed or reset the connection.
            NodeStoppingError: nothing is under way and the node is being stopped.
        """
        while True:
            try:
                count = self.socket.recv_into(buffer)
            except TimeoutError:
                self._check_patience()
                continue
            except OSError as error:
                raise PeerGoneError("the connection was reset") from error
            if not count:
                self._check_stopping()
                raise PeerGoneError("the connection was closed")
            self.bytes_received += count
            self._extend_patience(count)
            return count

    def hears(self) -> bool:
        """Wait for a first byte and leave it unread; False when the peer closes instead.

        For what comes before TLS. Raises as `receive_into`, but for the closing.
        """
        while True:
            try:
                return bool(self.socket.recv(1, socket.MSG_PEEK))
            except TimeoutError:
                self._check_patience()
            except OSError:
                return False

    def receive_exactly(self, count: int) -> bytes:
        """Return the next `count` bytes; raises as `receive_into`."""
        buffer = memoryview(bytearray(count))
        at = 0
        while at < count:
            at += self.receive_into(buffer[at:])
        return bytes(buffer)

    def send(self, data: bytes, patience_s: float) -> None:
        """Send all of `data`.

        Raises:
            PeerTooSlowError: the peer had not taken all of it after `patience_s`.
            PeerGoneError: the connection is broken.
        """
        deadline = time.monotonic() + patience_s
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except TimeoutError:
                pass  # a tick without progress
            except OSError as error:
                raise PeerGoneError("the connection was reset") from error
            if rest and time.monotonic() > deadline:
                raise PeerTooSlowError("the peer takes nothing, or too slowly")

    def secure(self, context: ssl.SSLContext, patience_s: float) -> None:
        """Make the TLS handshake as the server, within `patience_s` however slowly bytes come.

        Raises:
            TlsRefusedError: the peer speaks no TLS, or none that is good enough, or proves nothing.
            PeerTooSlowError: it took too long.
            PeerGoneError: the connection was reset.
        """
        deadline = time.monotonic() + patience_s
        try:
            secured = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
            self.socket = secured  # at once: who shuts the connection must reach the new object
            secured.settimeout(0)
            while not _shaken(secured):
                if time.monotonic() > deadline:
                    raise PeerTooSlowError("no TLS handshake in time")
                self._check_stopping()
            secured.settimeout(_TICK_S)
            self.peer_certificate = secured.getpeercert(binary_form=True)
        except ssl.SSLError as error:
            raise TlsRefusedError(_said(error)) from error
        except (OSError, ValueError) as error:
            raise PeerGoneError("the connection was reset in the TLS handshake") from error

    def drain(self, patience_s: float) -> None:
        """Read and throw away until the peer closes, so that it can read our last words.

        Raises:
            PeerTooSlowError, PeerGoneError: how it always ends.
        """
        self.shut(socket.SHUT_WR)
        self.pace(patience_s)
        deadline = time.monotonic() + patience_s
        waste = memoryview(bytearray(64 * 1024))
        while time.monotonic() < deadline:
            self.receive_into(waste)

    def has_unread_bytes(self, patience_s: float = 0.0) -> bool:
        """Tell whether the peer has sent more than was read, waiting up to `patience_s` for it."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(patience_s * 1000))

    def request_stop(self) -> None:
        """Let the association end before its next message."""
        self._stopping.set()
        if self._between_messages:
            self.shut(socket.SHUT_RD)

    def shut(self, how: int = socket.SHUT_RDWR) -> None:
        """Wake whoever waits on the connection; safe from any thread.

        The transport alone is shut: what is sent afterwards on a TLS connection is still encrypted.
        """
        try:
            socket.socket.shutdown(self.socket, how)
        except OSError:
            return  # already gone, which is what was wanted

    def close(self) -> None:
        """Send what is still buffered, then give the descriptor back."""
        self.shut(socket.SHUT_WR)
        self.socket.close()

    def _extend_patience(self, count: int) -> None:
        """What arrives buys time at the slowest rate allowed, up to the whole patience."""
        now = time.monotonic()
        if now > self._deadline:
            raise PeerTooSlowError("the peer sends too slowly")
        self._deadline = min(self._deadline + count / _MIN_BYTES_PER_S, now + self._patience_s)

    def _check_patience(self) -> None:
        self._check_stopping()
        if time.monotonic() > self._deadline:
            raise PeerTooSlowError("the peer is silent")

    def _check_stopping(self) -> None:
        if self._stopping.is_set() and self._between_messages:
            raise NodeStoppingError("the node is being stopped")


def _shaken(sock: ssl.SSLSocket) -> bool:
    """Carry a TLS handshake on by what has arrived, or wait a tick for more."""
    poller = select.poll()
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        poller.register(sock, select.POLLIN)
    except ssl.SSLWantWriteError:
        poller.register(sock, select.POLLOUT)
    else:
        return True
    poller.poll(_TICK_S * 1000)
    return False


def _said(error: ssl.SSLError) -> str:
    """Return why a handshake failed in OpenSSL's words, without anything of the peer's."""
    reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
    return f"TLS refused: {reason.lower().replace('_', ' ')}"


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge what arrives without delay (Linux); the kernel forgets it, so say it often.

    A peer that keeps Nagle's algorithm on sends its dataset only when its command is acknowledged:
    40 ms for each instance otherwise.
    """
    quick = getattr(socket, "TCP_QUICKACK", None)
    if quick is not None and sock.family != socket.AF_UNIX:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, quick, 1)
        except OSError:
            return  # the next read says what is wrong with the connection


def _tune(sock: socket.socket) -> None:
    """No delay for small answers, keep-alive for half-open peers, a tick for every wait."""
    sock.settimeout(_TICK_S)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        return  # the peer has reset the connection already; the first read says so
