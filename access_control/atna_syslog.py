"""Audit messages by syslog over TLS (RFC 5424, RFC 5425, IHE ITI-20).

Syslog has no acknowledgement. What a batch has instead is its end: the sender says close_notify and
the receiver's answer, or its orderly end of the stream, comes only after it has read everything. A
reset, a silence or an alert means that nothing of the batch counts as delivered.
"""

import errno
import fcntl
import os
import re
import socket
import ssl
import termios
import threading
import time
from array import array
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from access_control.errors import AuditNotDeliveredError

PRIORITY = 10 * 8 + 5  # facility security/authorization, severity notice (ITI TF-2 3.20.4.1.2)
_MESSAGE_ID_IHE, _MESSAGE_ID_DICOM = "IHE+RFC-3881", "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_ACKNOWLEDGEMENT_POLL_S = 0.005
_LAST_SEQUENCE_ID = 2_147_483_647  # RFC 5424 7.3.1
_TCP_CLOSE = 7  # linux/tcp_states.h


@dataclass(frozen=True)
class SyslogOrigin:
    """HOSTNAME, APP-NAME and PROCID of every message (RFC 5424 6.2)."""

    hostname: str = "-"
    application: str = "eirhub"
    process_id: str = "-"


@dataclass(frozen=True)
class SyslogReceiver:
    """An audit record repository, and the files that both sides prove themselves with.

    `ca_file` holds the authorities that may have issued the receiver's certificate; it must name
    `host`. `certificate` and `key` are the hub's own, for receivers that demand one. `patience_s`
    bounds every single wait.
    """

    host: str
    port: int = 6514
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    patience_s: float = 30.0

    @property
    def name(self) -> str:
        """What the cursor of this receiver is kept under."""
        return f"{self.host}:{self.port}"


def syslog_message(xml: bytes, sequence: int, at: datetime, origin: SyslogOrigin) -> bytes:
    """Return one RFC 5424 message around an audit message.

    `sequenceId` is the record's own number: a receiver that keeps it can prove that nothing is
    missing, and knows a record that comes twice.
    """
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ihe = b'codeSystemName="IHE Transactions"' in xml
    number = (sequence - 1) % _LAST_SEQUENCE_ID + 1
    head = " ".join(
        (
            f"<{PRIORITY}>1",
            stamp,
            _header_word(origin.hostname, 255),
            _header_word(origin.application, 48),
            _header_word(origin.process_id, 128),
            _MESSAGE_ID_IHE if ihe else _MESSAGE_ID_DICOM,
            f'[meta sequenceId="{number}"]',
        )
    )
    return head.encode("ascii") + b" " + _BOM + xml


def octet_counted(message: bytes) -> bytes:
    """Return `message` as one frame of the stream: its length, a space, itself (RFC 5425 4.3)."""
    return str(len(message)).encode("ascii") + b" " + message


def client_context(receiver: SyslogReceiver) -> ssl.SSLContext:
    """Return how this hub speaks TLS to `receiver`: 1.2 or newer, the name checked, always.

    Raises:
        OSError: a file is missing or holds something else (`ssl.SSLError` is one).
    """
    context = ssl.create_default_context(cafile=str(receiver.ca_file) if receiver.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if receiver.certificate:
        context.load_cert_chain(receiver.certificate, receiver.key)
    return context


def send_all(
    messages: Iterable[bytes],
    receiver: SyslogReceiver,
    context: ssl.SSLContext,
    stopping: threading.Event,
) -> None:
    """Send `messages` in order on a connection of their own; on return all were received.

    Raises:
        AuditNotDeliveredError: the receiver cannot be reached, does not prove itself, or broke off,
            or `stopping` was set before it acknowledged; any number of the messages may have
            arrived, none counts.
    """
    try:
        with _connected(receiver, context) as connection:
            for message in messages:
                connection.sendall(octet_counted(message))
            _finish(connection, receiver.patience_s, stopping)
    except ssl.SSLCertVerificationError as error:
        raise AuditNotDeliveredError(f"certificate refused: {error.verify_message}") from error
    except OSError as error:
        raise AuditNotDeliveredError(_reason(error)) from error


def _connected(receiver: SyslogReceiver, context: ssl.SSLContext) -> ssl.SSLSocket:
    address = receiver.host, receiver.port
    plain = socket.create_connection(address, timeout=receiver.patience_s)
    try:
        return context.wrap_socket(plain, server_hostname=receiver.host)
    except BaseException:
        plain.close()
        raise


def _finish(connection: ssl.SSLSocket, patience_s: float, stopping: threading.Event) -> None:
    """Say that this was all, and wait until the receiver has read up to there.

    With TLS 1.3 a receiver refuses the hub's certificate only after the handshake, and says so
    here. A receiver may end the stream without a close_notify of its own; many do. One that ended
    it early has not acknowledged the rest, and answers it with a reset.
    """
    deadline = time.monotonic() + patience_s
    with suppress(ssl.SSLEOFError):
        connection.unwrap()
    while _unacknowledged(connection):
        if _is_closed(connection):  # nobody will acknowledge the rest
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if time.monotonic() > deadline:
            raise TimeoutError
        if stopping.wait(_ACKNOWLEDGEMENT_POLL_S):
            raise AuditNotDeliveredError("the hub stops before the receiver acknowledged")
    failure = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failure:
        raise OSError(failure, os.strerror(failure))


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the receiver's machine has not acknowledged yet (tcp(7), SIOCOUTQ)."""
    waiting = array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, waiting)
    return waiting[0]


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the receiver has reset the connection (tcp(7), TCP_INFO: TCP_CLOSE)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE


def _header_word(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("", text)[:longest] or "-"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'broken off').lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "the receiver did not answer in time"
    return error.strerror or type(error).__name__
