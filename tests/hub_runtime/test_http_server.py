"""The HTTP port as a hostile or broken client sees it."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest
from waitress.server import TcpWSGIServer

from hub_kernel.settings import WebSettings
from hub_runtime.http_pace import PROGRESS_BYTES, PacedChannel
from hub_runtime.http_server import HttpServer, LargeBodies
from tests.support.waiting import eventually

BODY = b"5\r\nhello\r\n0\r\n\r\n"


def _echo(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read()]  # type: ignore[attr-defined]


@pytest.fixture
def port() -> Iterator[int]:
    server = HttpServer(_echo, WebSettings(port=0))
    yield int(server.start().rpartition(":")[2])
    server.stop()


def _answer(port: int, head: bytes, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + b"Host: hub\r\nConnection: close\r\n\r\n" + body)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 20\r\n",
        b"Content-Length: 5\r\nX: y\r\nTransfer-Encoding: identity\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_request_with_two_lengths_is_refused(port: int, headers: bytes, version: bytes) -> None:
    answer = _answer(port, b"POST / HTTP/" + version + b"\r\n" + headers, BODY)
    assert answer.split(b" ", 2)[1] == b"400", answer
    assert answer.count(b"HTTP/1.") == 1, "what follows must not be taken for another request"


@pytest.mark.parametrize(
    ("headers", "body"),
    [(b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", BODY)],
)
def test_a_request_with_one_length_is_read(port: int, headers: bytes, body: bytes) -> None:
    answer = _answer(port, b"POST / HTTP/1.1\r\n" + headers, body)
    assert answer.split(b" ", 2)[1] == b"200"
    assert b"hello" in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 5000\r\n", b"413"),
        (b"Content-Length: 5000\r\nAuthorization: Bearer stranger\r\n", b"413"),
        (b"Content-Length: 5000\r\nAuthorization: Bearer known\r\n", b"200"),
        (b"Content-Length: 500\r\n", b"200"),
    ],
)
def test_a_large_body_is_taken_from_who_may_send_one_alone(headers: bytes, status: bytes) -> None:
    bodies = LargeBodies({"/large": 10_000}, lambda said: said == "Bearer known")
    server = HttpServer(_echo, WebSettings(port=0, max_request_bytes=1024), large_bodies=bodies)
    port = int(server.start().rpartition(":")[2])
    try:
        length = 500 if b" 500\r" in headers else 5000
        answer = _answer(port, b"POST /large HTTP/1.1\r\n" + headers, b"x" * length)
        elsewhere = _answer(port, b"POST /small HTTP/1.1\r\n" + headers, b"x" * length)
    finally:
        server.stop()
    assert answer.split(b" ", 2)[1] == status
    assert elsewhere.split(b" ", 2)[1] == (b"200" if length == 500 else b"413")


def test_a_body_without_an_announced_length_ends_at_the_common_limit_for_strangers() -> None:
    bodies = LargeBodies({"/large": 10_000}, lambda said: said == "Bearer known")
    server = HttpServer(_echo, WebSettings(port=0, max_request_bytes=1024), large_bodies=bodies)
    port = int(server.start().rpartition(":")[2])
    chunk = b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"
    head = b"POST /large HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    try:
        stranger = _answer(port, head, chunk)
        known = _answer(port, head + b"Authorization: Bearer known\r\n", chunk)
    finally:
        server.stop()
    assert (stranger.split(b" ", 2)[1], known.split(b" ", 2)[1]) == (b"413", b"200")


def test_a_hub_with_more_than_a_thousand_open_files_still_answers() -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    server = HttpServer(_echo, WebSettings(port=0))
    try:
        port = int(server.start().rpartition(":")[2])
        answer = _answer(port, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n", b"hello")
    finally:
        server.stop()
        for descriptor in held:
            os.close(descriptor)
    assert b"hello" in answer


def _channel(server: HttpServer) -> PacedChannel:
    """The one connection of a server, once it has been taken."""
    channels = server._server.active_channels
    eventually(lambda: len(channels) == 1)
    (channel,) = channels.values()
    assert isinstance(channel, PacedChannel)
    return channel


def _cut(server: HttpServer, now: float) -> None:
    """Look after connections as the server does every half minute, at another time."""
    server._server.trigger.pull_trigger(lambda: server._server.maintenance(now))


@pytest.mark.parametrize("sent", [b"y", b"y" * PROGRESS_BYTES])
def test_a_byte_now_and_then_is_no_progress_of_a_request(sent: bytes) -> None:
    kept = len(sent) >= PROGRESS_BYTES
    server = HttpServer(_echo, WebSettings(port=0, request_timeout_s=60))
    port = int(server.start().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 200000\r\n\r\n")
        channel = _channel(server)
        eventually(lambda: channel.request is not None and channel.request.headers_finished)
        began = channel.last_activity
        peer.sendall(sent)
        eventually(lambda: channel._since or channel.last_activity > began)
        eventually(lambda: not kept or channel.last_activity > began)
        _cut(server, began + 60.000001)
        if kept:
            peer.sendall(b"y" * (200_000 - len(sent)))
            assert peer.recv(100).startswith(b"HTTP/1.1 200")
        else:
            assert peer.recv(100) == b""
    server.stop()


def test_who_leaves_an_answer_lying_is_cut_and_holds_no_thread() -> None:
    size = 64 << 20

    def large(environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * 65_536 for _ in range(size >> 16 if environ["PATH_INFO"] == "/l" else 1))

    server = HttpServer(large, WebSettings(port=0, threads=1, request_timeout_s=60))
    port = int(server.start().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(b"GET /l HTTP/1.1\r\nHost: hub\r\n\r\n")
        channel = _channel(server)
        # Full to the brim: the one thread waits for the peer.
        eventually(lambda: channel.total_outbufs_len > channel.adj.outbuf_high_watermark)
        later = time.time() + 61
        # The control: waitress by itself never looks at a connection that is being answered.
        TcpWSGIServer.maintenance(server._server, later)
        assert not channel.will_close
        _cut(server, later)
        eventually(lambda: not channel.connected)
        received = sum(map(len, iter(lambda: _read(peer), b"")))
        assert 0 < received < size
        assert b"200" in _answer(port, b"GET / HTTP/1.1\r\n", b"")[:20]
    server.stop()


def _read(peer: socket.socket) -> bytes:
    try:
        return peer.recv(1 << 20)
    except ConnectionError:
        return b""


def test_a_request_that_comes_byte_by_byte_does_not_come_to_its_end() -> None:
    server = HttpServer(_echo, WebSettings(port=0, request_timeout_s=1))
    port = int(server.start().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\n")
        end = time.monotonic() + 60
        while not select.select([peer], [], [], 0.05)[0]:
            assert time.monotonic() < end, "it still takes a byte at a time"
            with suppress(ConnectionError):
                peer.send(b"y")
        assert _read(peer) == b""
    server.stop()
