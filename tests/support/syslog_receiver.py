"""A syslog receiver over TLS (RFC 5425) that keeps what it read, and can be made to misbehave."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.certificates import Authority, Certified

Misdeed = Callable[[ssl.SSLSocket, "Receiver"], bool]
"""Does something to a fresh connection; False when the connection is done with."""


@dataclass
class Receiver:
    """What arrived: the messages read to an orderly end, and the pieces of those that were not."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    broken_off: list[bytes] = field(default_factory=list)
    connections: int = 0
    peers: list[bytes | None] = field(default_factory=list)
    misdeed: Misdeed | None = None
    says_goodbye: bool = True


@contextmanager
def receiving(
    server: Certified, authority: Authority, *, demands_certificate: bool = False, port: int = 0
) -> Iterator[Receiver]:
    """Run a receiver on loopback until the block ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate_file, server.key_file)
    if demands_certificate:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", port))
    receiver = Receiver(listener.getsockname()[1])
    thread = threading.Thread(target=_serve, args=(listener, context, receiver))
    thread.start()
    try:
        yield receiver
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _serve(listener: socket.socket, context: ssl.SSLContext, receiver: Receiver) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        plain.settimeout(60)
        receiver.connections += 1
        with (
            plain,
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as connection,
        ):
            _read(connection, receiver)


def _read(connection: ssl.SSLSocket, receiver: Receiver) -> None:
    receiver.peers.append(connection.getpeercert(binary_form=True))
    if receiver.misdeed and not receiver.misdeed(connection, receiver):
        return
    stream = b""
    while data := connection.recv(65536):
        stream += data
    messages, rest = split_frames(stream)
    receiver.messages += messages
    if rest:
        receiver.broken_off.append(rest)
    if receiver.says_goodbye:
        with contextlib.suppress(OSError):
            connection.unwrap()


def split_frames(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole octet-counted frames of a stream, and what is left."""
    messages = []
    while True:
        length, space, rest = stream.partition(b" ")
        if not space or len(rest) < int(length):
            return messages, stream
        messages.append(rest[: int(length)])
        stream = rest[int(length) :]


def reset(connection: ssl.SSLSocket) -> None:
    """End the connection as a crash of the machine would show it: with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
