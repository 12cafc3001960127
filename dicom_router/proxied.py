"""Connections that a proxy passes on: it says first for whom (PROXY protocol, versions 1 and 2).

Who may call is decided by address too, so a proxy is believed only where the settings name it, and
there it must speak: a connection that says nothing of its client would have the proxy's address.
From anywhere else a PROXY header is what it looks like, no A-ASSOCIATE-RQ.
"""

import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dicom_router.connection import Connection
from dicom_router.errors import (
    NodeStoppingError,
    PeerGoneError,
    PeerTooSlowError,
    ProxyHeaderError,
)
from hub_kernel.proxies import Address, Proxies, plain_address

log = logging.getLogger(__name__)

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107
_LARGEST_BLOCK = 2048
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6
_VERSIONS = {b"TCP4": 4, b"TCP6": 6}


@dataclass(frozen=True)
class ProxiedReception:
    """Gives connections of `proxies` the address of their client, then has `serve` serve them.

    `turned_away` takes those that do not say it properly.
    """

    proxies: Proxies
    patience_s: float
    serve_client: Callable[[Connection], None]
    turned_away: Callable[[Connection, str], None]

    def serve(self, connection: Connection) -> None:
        """Serve `connection` for its client; a proxy that only looks whether we live may."""
        if self.proxies.hold(connection.address):
            try:
                connection.pace(self.patience_s, between_messages=True)
                if not connection.hears() or not self._named(connection):
                    return
            except NodeStoppingError:
                return
            except (ProxyHeaderError, PeerTooSlowError, PeerGoneError) as refusal:
                log.warning(
                    "proxied connection refused",
                    extra={"address": connection.address, "reason": str(refusal)},
                )
                self.turned_away(connection, str(refusal))
                return
        self.serve_client(connection)

    def _named(self, connection: Connection) -> bool:
        """Give the connection its client's address; False when the proxy came for itself."""
        client = read_proxy_header(connection)
        if client is not None:
            connection.address = str(client)
            return True
        if connection.hears():
            raise ProxyHeaderError("the proxy does not say who calls")
        return False


def read_proxy_header(connection: Connection) -> Address | None:
    """Read a PROXY header, and no byte more; return the client, None where it names none.

    Raises:
        ProxyHeaderError: it is none, or a broken one.
    """
    begun = connection.receive_exactly(len(_SIGNATURE))
    if begun == _SIGNATURE:
        return _of_block(connection)
    if begun.startswith(b"PROXY "):
        return _of_line(connection, begun)
    raise ProxyHeaderError("no PROXY header from a proxy")


def _of_line(connection: Connection, line: bytes) -> Address | None:
    while not line.endswith(b"\r\n"):
        if len(line) >= _LONGEST_LINE:
            raise ProxyHeaderError("a PROXY header without an end")
        line += connection.receive_exactly(1)
    words = line[:-2].split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return None
    version = _VERSIONS.get(words[1])
    if version and len(words) == 6 and all(one.isdigit() for one in words[4:]):
        with suppress(ValueError):
            source, target = (_written(one, version) for one in words[2:4])
            return plain_address(source) if target else None
    raise ProxyHeaderError("a PROXY header that names no client")


def _written(address: bytes, version: int) -> str:
    text = address.decode("ascii", "replace")
    # Of the version that the header says: an address means one thing to proxy and hub.
    if (":" in text) != (version == 6):
        raise ValueError("an address of the other version")
    return text


def _of_block(connection: Connection) -> Address | None:
    command, family, length = struct.unpack(">BBH", connection.receive_exactly(4))
    if command not in {_LOCAL, _PROXY} or length > _LARGEST_BLOCK:
        raise ProxyHeaderError("a PROXY header of an unknown kind")
    block = connection.receive_exactly(length)
    if command == _LOCAL:
        return None
    size = _ADDRESS_BYTES.get(family, 0)
    if not size or length < 2 * size + 4:
        raise ProxyHeaderError("a PROXY header that names no client")
    return _packed(block[:size])


def _packed(address: bytes) -> Address:
    text = ".".join(map(str, address)) if len(address) == 4 else address.hex(":", 2)
    return plain_address(text)
