"""TLS contexts of the hub's ports and of its calls to peers: TLS 1.2 or newer, forward secrecy.

The suites are those of BCP 195 (RFC 9325) and of DICOM PS3.15 B.12: ECDHE with AES-GCM, ChaCha20
beside them. Security level 2 refuses keys weaker than RSA of 2048 bits, and SHA-1.
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hub_kernel.errors import ConfigurationError

_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the hub's certificate (chain) and key, and whose client certificates are taken.

    With `client_ca` a client may prove itself by certificate; one of another authority ends the
    handshake. With `demanded` a client without any is turned away as well.
    """

    certificate: Path
    key: Path
    client_ca: tuple[Path, ...] = ()
    demanded: bool = False


@dataclass(frozen=True)
class PeerTls:
    """How a peer is called: whom to trust, who the hub is, whether the peer's host name counts.

    Without `ca_files` the system's authorities are trusted. PS3.15 B leaves the host name to the
    site: a modality is often certified by its AE title alone.
    """

    ca_files: tuple[Path, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    check_host_name: bool = True


def server_context(files: TlsFiles, *, section: str) -> ssl.SSLContext:
    """Return how a listener speaks TLS. Nothing is resumed: every connection proves itself anew.

    Raises:
        ConfigurationError: a file is missing, or holds something else; names the section.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key)
        _trust(context, files.client_ca)
        if files.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED if files.demanded else ssl.CERT_OPTIONAL
    except OSError as error:
        raise _unusable(section, error) from error
    if files.demanded and not files.client_ca:
        raise ConfigurationError(
            f"{section}: client certificates are demanded, but tls_client_ca names no authority"
        )
    return context


def client_context(peer: PeerTls, *, section: str) -> ssl.SSLContext:
    """Return how a peer is called by TLS; its certificate is always checked.

    Raises:
        ConfigurationError: a file is missing, or holds something else; names the section.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = peer.check_host_name
    try:
        _trust(context, peer.ca_files)
        if not peer.ca_files:
            context.load_default_certs()
        if peer.certificate:
            context.load_cert_chain(peer.certificate, peer.key)
    except OSError as error:
        raise _unusable(section, error) from error
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)


def _trust(context: ssl.SSLContext, authorities: Iterable[Path]) -> None:
    for authority in authorities:
        context.load_verify_locations(authority)


def _unusable(section: str, error: OSError) -> ConfigurationError:
    reason = error.strerror or type(error).__name__
    return ConfigurationError(f"{section}: the TLS files cannot be used ({reason})")
