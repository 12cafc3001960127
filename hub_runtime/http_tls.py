"""TLS on an HTTP port: handshakes inside waitress's own event loop, client certificates proven.

A handshake never blocks: a silent peer costs one entry in the poll set until the idle timeout. The
certificate that a peer has proven reaches applications as `environ["eirhub.peer_certificate"]`,
which no header can write.
"""

import contextlib
import ssl
import threading
from typing import Any

from access_control.certificates import PEER_CERTIFICATE
from hub_runtime.http_pace import PacedChannel
from hub_runtime.http_task import AnswerTask

_LARGEST_RECORD = 16_384  # RFC 8446 5.1
_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class PeerTask(AnswerTask):
    """A request that knows the certificate of its connection."""

    def get_environment(self) -> dict[str, Any]:
        """Return the environ, with the peer's certificate in DER when it has proven one."""
        environ: dict[str, Any] = super().get_environment()
        if self.channel.peer_certificate is not None:
            environ[PEER_CERTIFICATE] = self.channel.peer_certificate
        return environ


class TlsChannel(PacedChannel):
    """A connection that speaks TLS.

    The event loop reads while a worker thread writes, and OpenSSL allows one of them at a time:
    hence the lock. Reads ask for a whole TLS record, so nothing stays behind inside OpenSSL where
    poll(2) does not see it.
    """

    context: ssl.SSLContext
    task_class = PeerTask

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002 (waitress's own name)
        self._tls = threading.Lock()
        self._shaken = False
        self._wants_to_write = False
        self.peer_certificate: bytes | None = None
        sock.getpeername()  # a peer that is gone already is noticed while closing is still simple
        sock.settimeout(0)
        secure = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            super().__init__(server, secure, addr, adj, map=map)
        except OSError:
            secure.close()
            raise

    def readable(self) -> bool:
        """Wait for the peer's part of the handshake, then as any channel."""
        if not self._shaken:
            return not self._wants_to_write and not self.will_close
        return bool(super().readable())

    def writable(self) -> bool:
        """Wait for room for our part of the handshake, then as any channel."""
        if not self._shaken:
            return self._wants_to_write or self.will_close
        return bool(super().writable())

    def handle_read(self) -> None:
        """Carry the handshake on, or read one record."""
        if not self._shaken:
            self._shake()
            return
        try:
            data = self.recv(_LARGEST_RECORD)
        except _WANTS:
            return
        except OSError:
            self.handle_close()
            return
        if data:
            self.received(data)
        else:
            self.connected = False

    def handle_write(self) -> None:
        """Carry the handshake on, or write; end the connection when that is due."""
        if self._shaken:
            super().handle_write()
        elif self.will_close:
            self.handle_close()
        else:
            self._shake()

    def recv(self, size: int) -> bytes:
        """Read what one record holds.

        Raises:
            ssl.SSLWantReadError: only a part of a record has come.
            OSError: the connection is broken.
        """
        with self._tls:
            data: bytes = self.socket.recv(size)
        if not data:
            self.handle_close()
        return data

    def send(self, data: bytes | list[memoryview], do_close: bool = True) -> int:  # noqa: FBT001, FBT002 (waitress's own signature)
        """Write what there is room for; 0 when there is none."""
        piece = _in_one_record(data) if isinstance(data, list) else data
        try:
            with self._tls:
                return int(self.socket.send(piece))
        except _WANTS:
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            return 0

    def handle_close(self) -> None:
        """Say close_notify if the peer still listens, then close."""
        if self.socket is not None and self._shaken:
            with contextlib.suppress(OSError, ValueError), self._tls:
                self.socket.unwrap()
        super().handle_close()

    def _shake(self) -> None:
        try:
            with self._tls:
                self.socket.do_handshake()
                self.peer_certificate = self.socket.getpeercert(binary_form=True)
        except ssl.SSLWantReadError:
            self._wants_to_write = False
        except ssl.SSLWantWriteError:
            self._wants_to_write = True
        except OSError:
            self.handle_close()
        else:
            self._shaken = True


def _in_one_record(pieces: list[memoryview]) -> memoryview | bytes:
    """Return a large first piece as it is, small ones as the beginning of what they make together.

    It never gets shorter while nothing of it is sent: OpenSSL wants to be asked the same again.
    """
    if len(pieces[0]) >= _LARGEST_RECORD:
        return pieces[0]
    record = bytearray()
    for piece in pieces:
        record += piece[: _LARGEST_RECORD - len(record)]
    return bytes(record)
