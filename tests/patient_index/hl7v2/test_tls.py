import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from patient_index.hl7v2.node import NodeSettings, tls_context
from tests.patient_index.hl7v2.conftest import Running
from tests.patient_index.hl7v2.messages import WANG, adt
from tests.patient_index.hl7v2.wire import connected, value
from tests.support.tools import require_tool

TEXT = adt(f"1^^^EAST||{WANG}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`hub.pem` and `client.pem`, each signed by itself, with keys beside them."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("hub", "client"):
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command = [require_tool("openssl"), "req", "-x509", "-days", "2", *curve, *files, *subject]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def client(folder: Path, *, shows: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "hub.pem"))
    if shows:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


def settings(folder: Path, *, mutual: bool) -> dict[str, Path]:
    given = {"tls_certificate": folder / "hub.pem", "tls_key": folder / "hub.key"}
    return given | ({"tls_client_ca": folder / "client.pem"} if mutual else {})


@pytest.mark.parametrize("mutual", [False, True])
def test_messages_travel_over_tls(running: Running, certificates: Path, *, mutual: bool) -> None:
    with (
        running(**settings(certificates, mutual=mutual)) as port,
        connected(port, tls=client(certificates, shows=mutual)) as sender,
    ):
        assert value(sender.ask(TEXT), "MSA.1") == "AA"


def test_without_its_certificate_a_client_is_not_let_in(
    running: Running, certificates: Path
) -> None:
    with running(**settings(certificates, mutual=True)) as port:
        tls = client(certificates, shows=False)
        with pytest.raises(OSError), connected(port, tls=tls) as sender:
            sender.send(TEXT)
            sender.socket.recv(1)
            raise ConnectionError("closed")


def test_silent_and_plain_peers_do_not_hold_up_a_handshake(
    running: Running, certificates: Path
) -> None:
    with running(**settings(certificates, mutual=False)) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        silent[0].sendall(b"\x0b" + TEXT.encode() + b"\x1c\r")
        began = time.monotonic()
        with connected(port, tls=client(certificates, shows=False)) as sender:
            assert value(sender.ask(TEXT), "MSA.1") == "AA"
        assert time.monotonic() - began < 20
        for sock in silent:
            sock.close()


def test_settings_that_cannot_work_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tls_certificate"):
        tls_context(NodeSettings(tls_key=tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        tls_context(NodeSettings(tls_certificate=tmp_path / "nothing.pem"))
    assert tls_context(NodeSettings()) is None
