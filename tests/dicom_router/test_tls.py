"""TLS on the DICOM port: the handshake is one peer's business and nobody waits for it."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import (
    ASSOCIATE_AC,
    IMPLICIT,
    P_DATA,
    STUDY_ROOT_FIND,
    RawPeer,
    RequestParts,
    context_item,
    p_data,
    store_rq,
)
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.tools import require_tool
from tests.support.waiting import eventually


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


@pytest.mark.parametrize("after", [1_000, 3_000, 20_000, 100_000])
def test_a_byte_changed_on_a_tls_line_ends_it_before_anything_false_is_stored(
    hub: Hub, after: int
) -> None:
    """Plain DICOM would store the changed byte; see `tests/flows/test_receive_faults.py`."""
    data = encoded(ct(PixelData=bytes(200_000)))
    with ChaosProxy(("127.0.0.1", hub.tls_port)) as proxy:
        proxy.plan([Fault(FaultKind.CORRUPT, after)])
        with pytest.raises((OSError, AssertionError)), TlsPeer(proxy.port) as peer:
            assert peer.associate()[0] == ASSOCIATE_AC
            peer.send(store_rq(ct().SOPInstanceUID))
            for at in range(0, len(data), 16_000):
                peer.send(p_data(3, 0, data[at : at + 16_000]))
            peer.send(p_data(3, 2, b""))
            assert peer.pdu()[0] == P_DATA
        assert proxy.injected == 1
    eventually(lambda: not hub.temporary_files())
    assert hub.parts.index.instance(ct().SOPInstanceUID) is None


def test_a_plain_peer_on_the_tls_port_is_cut(hub: Hub) -> None:
    with RawPeer(hub.tls_port) as peer:
        assert peer.associate()[0] in (0, 21)
    with TlsPeer(hub.tls_port) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC
