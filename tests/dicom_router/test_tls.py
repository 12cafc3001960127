"""TLS on the DICOM port: the handshake is one peer's business and nobody waits for it."""

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_router.conftest import HONEST_ECHO_S, Hub, running_node, until
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import (
    ASSOCIATE_AC,
    IMPLICIT,
    STUDY_ROOT_FIND,
    RawPeer,
    RequestParts,
    context_item,
    echo_rq,
    p_data,
    store_rq,
)
from tests.support.tools import require_tool


class TlsPeer(RawPeer):
    certificate: Path

    def __enter__(self) -> "TlsPeer":
        context = ssl.create_default_context(cafile=self.certificate)
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout_s)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        return self


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and its key in one file, made for this run."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    made = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, "-keyout", path, "-out", path.with_suffix(".crt")], check=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    TlsPeer.certificate = path
    return path


@pytest.fixture
def hub(tmp_path: Path, certificate: Path) -> Iterator[Hub]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running_node(tmp_path, tls=context) as hub:
        yield hub


@pytest.mark.parametrize("querying", [False, True], ids=["fast lane", "query lane"])
def test_instances_are_stored_over_tls(hub: Hub, *, querying: bool) -> None:
    parts = RequestParts()
    if querying:
        parts.contexts.append(context_item(5, STUDY_ROOT_FIND, [IMPLICIT]))
    data = encoded(ct(PixelData=bytes(200_000)))
    with TlsPeer(hub.tls_port) as peer:
        assert peer.associate(parts)[0] == ASSOCIATE_AC
        peer.send(store_rq(ct().SOPInstanceUID))
        for at in range(0, len(data), 16_000):
            peer.send(p_data(3, 0, data[at : at + 16_000]))
        peer.send(p_data(3, 2, b""))
        assert peer.status() == 0


def test_silent_tls_peers_delay_nobody_and_are_cut(hub: Hub) -> None:
    silent = [socket.create_connection(("127.0.0.1", hub.tls_port)) for _ in range(12)]
    started = time.monotonic()
    with TlsPeer(hub.tls_port) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC
        peer.send(echo_rq())
        assert peer.status() == 0
    assert time.monotonic() - started < HONEST_ECHO_S
    for connection in silent:
        connection.settimeout(5)
        assert until(lambda connection=connection: connection.recv(1) == b"")  # type: ignore[misc]
        connection.close()


def test_a_plain_peer_on_the_tls_port_is_cut(hub: Hub) -> None:
    with RawPeer(hub.tls_port) as peer:
        assert peer.associate()[0] in (0, 21)
    with TlsPeer(hub.tls_port) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC
