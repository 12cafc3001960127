"""Accept connections and serve each in its own thread; nothing a peer does can stall accepting.

Against the stock server of pynetdicom: no accepted socket is ever read without a deadline, and what
a connection begins with, a TLS handshake too, is read in the connection's own thread.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dicom_router.connection import Connection
from dicom_router.door import Door

log = logging.getLogger(__name__)

_BACKLOG = 512
_BREATHER_S = 0.05
_LOOK_UP_S = 0.25


@dataclass(frozen=True)
class ListenAddress:
    """Where to listen; port 0 is any free one."""

    host: str
    port: int
    inherited: int | None = None

    def listening(self) -> socket.socket:
        """Return a listening socket: the inherited one, which others may share, or a new one.

        Raises:
            OSError: the address cannot be listened on.
        """
        if self.inherited is not None:
            shared = socket.socket(fileno=self.inherited)
            shared.settimeout(_LOOK_UP_S)  # to shut it down would end it for the others
            return shared
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)


class Listener:
    """One listening port. `serve` is called in a thread for each connection and may block."""

    def __init__(
        self, address: ListenAddress, door: Door, serve: Callable[[Connection], None]
    ) -> None:
        self._address = address
        self._door = door
        self._serve = serve
        self._socket: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._stopping = threading.Event()
        self._serving: set[threading.Thread] = set()

    def start(self) -> int:
        """Listen; return the port, which is another than the one asked for only if that was 0.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._socket = self._address.listening()
        self._stopping.clear()
        self._accepting = threading.Thread(target=self._accept, name="dicom-accept", daemon=True)
        self._accepting.start()
        port: int = self._socket.getsockname()[1]
        return port

    def wait(self, deadline: float) -> bool:
        """Wait until nobody is served any more, at most to `deadline` (`time.monotonic`)."""
        for thread in tuple(self._serving):
            thread.join(max(0.0, deadline - time.monotonic()))
        return not self._serving

    def stop(self) -> None:
        """Take no more connections; those present go on."""
        self._stopping.set()
        if self._socket is not None and self._address.inherited is None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError:
                log.debug("the listening socket was closed already")
        if self._accepting is not None:
            self._accepting.join()
        if self._socket is not None:
            self._socket.close()

    def _accept(self) -> None:
        listening = self._socket
        while listening is not None and not self._stopping.is_set():
            try:
                accepted, peer = listening.accept()
            except TimeoutError:
                continue
            except OSError:  # out of descriptors, or the peer has already gone: others come
                self._stopping.wait(_BREATHER_S)
                continue
            connection = Connection(accepted, str(peer[0]))
            self._door.enter(connection)
            thread = threading.Thread(
                target=self._serve_quietly, args=(connection,), name="dicom-peer", daemon=True
            )
            try:
                self._serving.add(thread)
                thread.start()
            except RuntimeError:  # no more threads: this peer is turned away, others are served
                log.exception("a connection was dropped")
                self._serving.discard(thread)
                self._end(connection)

    def _serve_quietly(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        except Exception:  # the outermost edge of a connection: one peer's failure is its own
            log.exception("a connection failed", extra={"address": connection.address})
        finally:
            self._end(connection)
            self._serving.discard(threading.current_thread())

    def _end(self, connection: Connection) -> None:
        self._door.leave(connection)
        connection.close()
