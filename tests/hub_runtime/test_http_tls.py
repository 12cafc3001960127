"""The TLS port as honest, silent, rude and forged clients see it."""

import http.client
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from access_control.certificates import PEER_CERTIFICATE, fingerprint_of
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import WebSettings
from hub_kernel.tls import TlsFiles, server_context
from hub_runtime.http_server import HttpServer
from tests.support.certificates import Authority, Certified

BIG = 8 * 1024 * 1024
PARTS = [b"small", b"y" * 700_000, b"another", b"small one", b"z" * 20_000, b"end"]


def _application(
    environ: dict[str, object], start_response: Callable[..., object]
) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/big":
        start_response("200 OK", [("Content-Length", str(BIG))])
        return (b"x" * 65536 for _ in range(BIG // 65536))
    if environ["PATH_INFO"] == "/parts":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter(PARTS)
    der = environ.get(PEER_CERTIFICATE)
    told = {
        "scheme": environ["wsgi.url_scheme"],
        "peer": fingerprint_of(der) if isinstance(der, bytes) else None,
        "body": len(environ["wsgi.input"].read()),  # type: ignore[attr-defined]
        "headers": sorted(key for key in environ if key.startswith("HTTP_")),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def machine(authority: Authority) -> Certified:
    return authority.issue("machine")


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    hub = authority.issue("hub")
    return TlsFiles(hub.certificate_file, hub.key_file, (authority.file,))


@pytest.fixture(scope="module")
def port(files: TlsFiles) -> Iterator[int]:
    server = HttpServer(_application, WebSettings(port=1), tls=files, port=0)
    address = server.start()
    assert address.startswith("https://127.0.0.1:")
    yield int(address.rpartition(":")[2])
    server.stop()


def _context(authority: Authority, shown: Certified | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if shown:
        context.load_cert_chain(shown.certificate_file, shown.key_file)
    return context


def _connection(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)


def _told(port: int, context: ssl.SSLContext, body: bytes = b"") -> dict[str, object]:
    with closing(_connection(port, context)) as connection:
        connection.request("POST", "/", body, {"X-Eirhub-Peer-Certificate": "forged"})
        told: dict[str, object] = json.loads(connection.getresponse().read())
    return told


def test_the_application_learns_which_certificate_was_proven(
    port: int, authority: Authority, machine: Certified
) -> None:
    told = _told(port, _context(authority, machine))
    assert told["scheme"] == "https"
    assert told["peer"] == fingerprint_of(machine.der)


def test_without_a_certificate_there_is_none_and_no_header_makes_one(
    port: int, authority: Authority
) -> None:
    assert _told(port, _context(authority))["peer"] is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls_carry_large_bodies_both_ways(
    port: int, authority: Authority, machine: Certified, version: ssl.TLSVersion
) -> None:
    context = _context(authority, machine)
    context.minimum_version = context.maximum_version = version
    assert _told(port, context, b"y" * 3_000_000)["body"] == 3_000_000
    connection = _connection(port, context)
    for _ in range(2):  # the same connection again
        connection.request("GET", "/big")
        assert len(connection.getresponse().read()) == BIG
    connection.close()


def test_parts_of_every_size_arrive_in_order_on_a_connection_that_stays(
    port: int, authority: Authority
) -> None:
    with closing(_connection(port, _context(authority))) as connection:
        for _ in range(3):
            connection.request("GET", "/parts")
            own = connection.sock
            assert connection.getresponse().read() == b"".join(PARTS)
            assert connection.sock is own is not None


def test_requests_sent_in_one_piece_are_all_answered(port: int, authority: Authority) -> None:
    wanted = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        _context(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(wanted * 9 + last)
        answer = b"".join(iter(lambda: secure.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200 OK") == 10


def test_many_clients_at_once_each_get_their_own_answer(
    port: int, authority: Authority, machine: Certified
) -> None:
    shown, hidden = _context(authority, machine), _context(authority)

    def ask(number: int) -> bool:
        told = _told(port, shown if number % 2 else hidden, b"z" * number * 1000)
        return told["body"] == number * 1000 and (told["peer"] is not None) == bool(number % 2)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))


@pytest.mark.parametrize("kind", ["of another authority", "expired", "not valid yet"])
def test_a_certificate_that_does_not_hold_ends_the_connection(
    port: int, authority: Authority, tmp_path: Path, kind: str
) -> None:
    shown = {
        "of another authority": lambda: Authority(tmp_path).issue("machine"),
        "expired": lambda: authority.issue("expired", days=(-9, -1)),
        "not valid yet": lambda: authority.issue("early", days=(1, 9)),
    }[kind]()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _told(port, _context(authority, shown))
    assert _told(port, _context(authority))["scheme"] == "https"  # the control


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_not_spoken(
    port: int, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = _context(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _told(port, context)


def test_silent_and_rude_peers_hold_up_nobody(port: int, authority: Authority) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    for _ in range(30):  # gone before TLS begins, with a reset
        gone = socket.create_connection(("127.0.0.1", port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 400, b"\x80"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            plain.sendall(rubbish)
            assert _told(port, _context(authority))["scheme"] == "https"
    for connection in silent:
        connection.close()


def test_a_peer_that_never_finishes_the_handshake_is_put_out(files: TlsFiles) -> None:
    server = HttpServer(_application, WebSettings(port=0, request_timeout_s=1), tls=files)
    port = int(server.start().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=120) as plain:
        plain.sendall(b"\x16\x03\x01")
        assert plain.recv(1) == b""
    server.stop()


def test_a_reader_who_leaves_in_the_middle_frees_the_connection(
    port: int, authority: Authority
) -> None:
    for _ in range(20):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            _context(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET /big HTTP/1.1\r\nHost: hub\r\n\r\n")
            secure.recv(1000)
            plain.close()
    assert _told(port, _context(authority))["scheme"] == "https"


def test_where_certificates_are_demanded_nobody_comes_without(
    files: TlsFiles, authority: Authority, machine: Certified
) -> None:
    server = HttpServer(_application, WebSettings(port=0), tls=replace(files, demanded=True))
    port = int(server.start().rpartition(":")[2])
    try:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _told(port, _context(authority))
        assert _told(port, _context(authority, machine))["peer"]
    finally:
        server.stop()


def test_wrong_files_show_before_anything_listens(files: TlsFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        server_context(replace(files, key=tmp_path / "missing"), section="web")
    (tmp_path / "rubbish").write_text("rubbish")
    with pytest.raises(ConfigurationError):
        server_context(replace(files, client_ca=(tmp_path / "rubbish",)), section="web")


def test_stopping_ends_open_connections(files: TlsFiles, authority: Authority) -> None:
    others = set(threading.enumerate())
    server = HttpServer(_application, WebSettings(port=0), tls=files)
    port = int(server.start().rpartition(":")[2])
    connection = _connection(port, _context(authority))
    connection.connect()
    own = set(threading.enumerate()) - others
    server.stop()
    assert own
    assert not [thread for thread in own if thread.is_alive()]
    connection.close()
