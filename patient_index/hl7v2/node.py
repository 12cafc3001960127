"""The MLLP listener: one port, a thread for each connection, and bounds on all a peer can do.

Nothing a peer does stalls accepting: the TLS handshake, reading and writing happen in the
connection's own thread, each under a deadline, and every length is checked before it is kept.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_kernel.errors import ConfigurationError
from patient_index.hl7v2.connection import (
    Connection,
    Patience,
    PeerGoneError,
    SilentPeerError,
    StoppingError,
)
from patient_index.hl7v2.door import Door
from patient_index.hl7v2.exchange import Peer
from patient_index.hl7v2.mllp import FrameReader, MemoryBudget, NotMllpError, framed
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.service import Hl7Service

log = logging.getLogger(__name__)

_BACKLOG = 256
_BREATHER_S = 0.05
_POLL_S = 0.02
_FAREWELL_S = 2.0


@dataclass(frozen=True)
class NodeSettings:
    """The keys of `[hl7]`. TLS is on when a certificate is named; `tls_client_ca` makes it mutual.

    `peers` are tables of sender, networks and certificates (`admission.PeerRule`); `any_address`
    admits senders that no table names from everywhere, not from loopback alone.
    """

    bind: str = "127.0.0.1"
    port: int = 2575
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    max_message_bytes: int = 1_048_576
    max_buffered_bytes: int = 33_554_432
    idle_timeout_s: float = 300.0
    message_timeout_s: float = 60.0
    max_connections: int = 256
    max_connections_per_address: int = 32
    query_limit: int = 100
    peers: tuple[Mapping[str, object], ...] = ()
    any_address: bool = False


class Hl7Node:
    """Listens for MLLP and gives every message to the service."""

    def __init__(self, settings: NodeSettings, service: Hl7Service) -> None:
        self._settings = settings
        self._service = service
        self._patience = Patience(settings.idle_timeout_s, settings.message_timeout_s)
        self._door = Door(settings.max_connections, settings.max_connections_per_address)
        self._budget = MemoryBudget(settings.max_buffered_bytes)
        self._tls = tls_context(settings)
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._accepting: threading.Thread | None = None

    def start(self) -> int:
        """Listen; return the port, which is another than the one asked for only if that was 0.

        Raises:
            OSError: the address cannot be listened on.
        """
        host = self._settings.bind
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(
            (host, self._settings.port), family=family, backlog=_BACKLOG
        )
        self._stopping.clear()
        self._accepting = threading.Thread(target=self._accept, name="hl7-accept", daemon=True)
        self._accepting.start()
        port: int = self._socket.getsockname()[1]
        log.info("HL7 node listening", extra={"port": port, "tls": self._tls is not None})
        return port

    def stop(self, grace_s: float = 10.0) -> None:
        """Take no more connections, answer the messages under way, then end what is left."""
        self._stopping.set()
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError:
                log.debug("the listening socket was closed already")
            self._socket.close()
        if self._accepting is not None:
            self._accepting.join()
        deadline = time.monotonic() + grace_s
        while self._door.present() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for connection in self._door.present():
            connection.shut()

    def _accept(self) -> None:
        listening = self._socket
        while listening is not None and not self._stopping.is_set():
            try:
                accepted, peer = listening.accept()
            except OSError:  # out of descriptors, or the peer has already gone: others come
                self._stopping.wait(_BREATHER_S)
                continue
            connection = Connection(accepted, str(peer[0]), self._stopping)
            if not self._door.enter(connection):
                log.warning("no room for a connection", extra={"address": connection.address})
                connection.close()
                continue
            thread = threading.Thread(
                target=self._serve_quietly, args=(connection,), name="hl7-peer", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads: this peer is turned away, others are served
                log.exception("a connection was dropped")
                self._end(connection)

    def _serve_quietly(self, connection: Connection) -> None:
        try:
            if self._tls is not None:
                connection.secure(self._tls, self._patience.handshake_s)
            self._serve(connection)
        except (PeerGoneError, SilentPeerError, StoppingError) as ending:
            log.debug("an HL7 connection ended", extra={"ending": str(ending)})
        except Exception:  # the outermost edge of a connection: one peer's failure is its own
            log.exception("a connection failed", extra={"address": connection.address})
        finally:
            self._end(connection)

    def _serve(self, connection: Connection) -> None:
        """Answer every message of the connection; at its first bad frame say so and close."""
        reader = FrameReader(self._settings.max_message_bytes, self._budget)
        peer = Peer(connection.address, connection.certificate)
        try:
            while True:
                data = connection.receive(self._deadline(connection, reader))
                connection.busy = True
                for message in reader.take(data):
                    answered = self._service.answer(message, peer)
                    connection.send(framed(answered.raw), self._patience.send_s)
                self._rest(connection, reader)
        except RefusedMessageError as refusal:
            self._refuse(connection, reader, peer, refusal)
        except SilentPeerError:
            if reader.inside:
                allowed = f"<= {self._patience.message_s:g} s"
                late = RefusedMessageError("unterminated", Location("MSH"), allowed=allowed)
                self._refuse(connection, reader, peer, late)
        except PeerGoneError:
            if reader.inside:
                cut = RefusedMessageError("unterminated", Location("MSH"))
                self._service.refuse(reader.begun, peer, cut)
            raise
        except NotMllpError:
            self._service.refuse(b"", peer, RefusedMessageError("not-hl7", Location("MSH")))
        finally:
            reader.clear()

    def _deadline(self, connection: Connection, reader: FrameReader) -> float:
        patience = self._patience.message_s if reader.inside else self._patience.idle_s
        return connection.waiting_since + patience

    def _rest(self, connection: Connection, reader: FrameReader) -> None:
        """Between messages the clock starts anew; inside one it runs on from the first byte."""
        if not reader.inside:
            connection.busy = False
            connection.waiting_since = time.monotonic()
        elif not reader.timed:
            reader.timed = True
            connection.waiting_since = time.monotonic()

    def _refuse(
        self,
        connection: Connection,
        reader: FrameReader,
        peer: Peer,
        refusal: RefusedMessageError,
    ) -> None:
        answered = self._service.refuse(reader.begun, peer, refusal)
        reader.clear()
        connection.say_last(framed(answered.raw), _FAREWELL_S)

    def _end(self, connection: Connection) -> None:
        self._door.leave(connection)
        connection.close()


def tls_context(settings: NodeSettings) -> ssl.SSLContext | None:
    """Return how connections are secured, `None` when they are not.

    Raises:
        ConfigurationError: a file is missing or unusable, or a key stands without a certificate.
    """
    if settings.tls_certificate is None:
        if settings.tls_key or settings.tls_client_ca:
            raise ConfigurationError("hl7.tls_certificate is missing: without it there is no TLS")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise ConfigurationError(f"hl7.tls_…: the certificates cannot be read ({error})") from error
    return context
