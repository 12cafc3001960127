"""How answers leave the HTTP port: kept connections, chunks, slow readers and those that go."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, BinaryIO

import pytest

from hub_kernel.settings import WebSettings
from hub_runtime.http_pieces import MOST_WAITING_BYTES
from hub_runtime.http_server import HttpServer
from tests.support.waiting import WAIT_S, eventually

PIECE = bytes(range(256)) * 1024
LARGE = 800  # pieces: 200 MB
KERNEL_BYTES = 8 << 20  # what both ends of a connection take in, with a small buffer at the reader

Answer = Callable[[dict[str, Any]], Iterator[bytes]]


@contextmanager
def _serving(answer: Answer, status: str = "200 OK", *, threads: int = 4) -> Iterator[int]:
    """Serve answers that do not say how long they are."""

    def application(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        start(status, [("Content-Type", "text/plain")])
        return answer(environ)

    server = HttpServer(application, WebSettings(port=0, threads=threads))
    try:
        yield int(server.start().rpartition(":")[2])
    finally:
        server.stop()


def _named(environ: dict[str, Any]) -> Iterator[bytes]:
    """Answer what is asked for, and a piece that is too large to wait for another."""
    if environ["REQUEST_METHOD"] != "HEAD":
        yield environ["PATH_INFO"].encode()
        yield PIECE


@contextmanager
def _connected(port: int, *, receives: int = 0) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with closing(socket.socket()) as reader:
        if receives:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        reader.settimeout(WAIT_S)
        reader.connect(("127.0.0.1", port))
        with reader.makefile("rb") as file:
            yield reader, file


def _ask(reader: socket.socket, *paths: str) -> None:
    """Ask for all of them in one piece."""
    asked = [f"GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n" for path in paths]
    reader.sendall("".join(asked).encode())


def _head(file: BinaryIO) -> list[bytes]:
    return list(iter(file.readline, b"\r\n"))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Read the body of one answer, its end included (RFC 9112 7.1)."""
    while size := int(file.readline(), 16):
        chunk = file.read(size)
        assert (len(chunk), file.readline()) == (size, b"\r\n")
        yield chunk
    assert file.readline() == b"\r\n"


def _digest(file: BinaryIO) -> bytes:
    found = hashlib.sha256()
    for chunk in _chunks(file):
        found.update(chunk)
    return found.digest()


def test_a_connection_outlives_answers_that_do_not_say_their_length() -> None:
    with _serving(_named) as port, _connected(port) as (reader, file):
        for path in ("/one", "/two"):
            _ask(reader, path)
            head = _head(file)
            assert head[0].startswith(b"HTTP/1.1 200")
            assert b"Transfer-Encoding: chunked\r\n" in head
            assert not any(line.lower().startswith(b"connection:") for line in head)
            assert list(_chunks(file)) == [path.encode(), PIECE]


def test_many_kept_connections_leave_room_for_another() -> None:
    with _serving(_named) as port, ExitStack() as kept:
        for _ in range(130):
            reader, file = kept.enter_context(_connected(port))
            _ask(reader, "/")
            _head(file)
            assert len(list(_chunks(file))) == 2


@pytest.mark.parametrize("status", ["304 Not Modified", "204 No Content"])
def test_a_connection_outlives_answers_without_a_body(status: str) -> None:
    with _serving(lambda _: iter(()), status) as port, _connected(port) as (reader, file):
        for _ in range(2):
            _ask(reader, "/")
            head = _head(file)
            assert head[0] == f"HTTP/1.1 {status}\r\n".encode()
            assert not any(b"chunked" in line or b"close" in line for line in head)


@pytest.mark.parametrize(
    ("asked", "header"),
    [
        ("GET / HTTP/1.1", "Connection: close"),
        ("HEAD / HTTP/1.1", "X: y"),
        ("GET / HTTP/1.0", "X: y"),
    ],
)
def test_a_connection_ends_where_it_was_asked_to_or_nothing_else_ends_the_answer(
    asked: str, header: str
) -> None:
    with _serving(_named) as port, _connected(port) as (reader, file):
        reader.sendall(f"{asked}\r\nHost: hub\r\n{header}\r\n\r\n".encode())
        head = _head(file)
        rest = file.read()
    assert b"Connection: close\r\n" in head
    assert (PIECE in rest) == asked.startswith("GET")
    assert (b"Transfer-Encoding: chunked\r\n" in head) == asked.endswith("1.1")


def test_requests_sent_in_one_piece_are_answered_in_order_and_whole() -> None:
    paths = [f"/{number}" for number in range(6)]
    with _serving(_named) as port, _connected(port) as (reader, file):
        _ask(reader, *paths)
        for path in paths:
            _head(file)
            assert list(_chunks(file)) == [path.encode(), PIECE]


def test_an_answer_that_breaks_off_never_looks_whole() -> None:
    def answer(_: dict[str, Any]) -> Iterator[bytes]:
        yield PIECE
        raise EOFError("the file ends early")

    with _serving(answer) as port, _connected(port) as (reader, file):
        _ask(reader, "/", "/")
        _head(file)
        assert file.read() == b"40000\r\n" + PIECE + b"\r\n"


def test_who_reads_200_mb_slowly_gets_every_byte_while_little_is_held() -> None:
    made = [0]

    def answer(_: dict[str, Any]) -> Iterator[bytes]:
        for _ in range(LARGE):
            made[0] += 1
            yield PIECE

    expected = hashlib.sha256()
    for _ in range(LARGE):
        expected.update(PIECE)
    with _serving(answer) as port, _connected(port, receives=65_536) as (reader, file):
        _ask(reader, "/")
        _head(file)
        eventually(lambda: made[0] * len(PIECE) > MOST_WAITING_BYTES)
        found, read = hashlib.sha256(), 0
        for chunk in _chunks(file):
            found.update(chunk)
            read += len(chunk)
            assert made[0] * len(PIECE) - read < MOST_WAITING_BYTES + KERNEL_BYTES
        assert found.digest() == expected.digest()


def test_who_reads_nothing_holds_no_thread_for_an_answer_that_may_wait() -> None:
    def answer(environ: dict[str, Any]) -> Iterator[bytes]:
        yield from [PIECE] * (14 if environ["PATH_INFO"] == "/large" else 1)

    with _serving(answer, threads=1) as port, _connected(port, receives=4096) as (idle, later):
        _ask(idle, "/large")
        with _connected(port) as (reader, file):
            for _ in range(3):
                _ask(reader, "/")
                _head(file)
                assert list(_chunks(file)) == [PIECE]
        _head(later)
        assert _digest(later) == hashlib.sha256(PIECE * 14).digest()


def test_who_goes_away_ends_the_making_of_the_answer() -> None:
    ended = threading.Event()

    def answer(environ: dict[str, Any]) -> Iterator[bytes]:
        if environ["PATH_INFO"] != "/large":
            yield b"here"
            return
        try:
            while True:
                yield PIECE
        finally:
            ended.set()

    with _serving(answer, threads=1) as port:
        with _connected(port) as (reader, file):
            _ask(reader, "/large")
            _head(file)
            assert next(_chunks(file)) == PIECE
        eventually(ended.is_set)
        with _connected(port) as (reader, file):  # its thread is free again
            _ask(reader, "/small")
            _head(file)
            assert list(_chunks(file)) == [b"here"]


def test_a_small_piece_does_not_wait_for_one_that_does_not_come() -> None:
    seen = threading.Event()

    def answer(_: dict[str, Any]) -> Iterator[bytes]:
        yield b"first"
        yield b"seen" if seen.wait(WAIT_S) else b"not seen"

    with _serving(answer) as port, _connected(port) as (reader, file):
        _ask(reader, "/")
        _head(file)
        chunks = _chunks(file)
        assert next(chunks) == b"first"
        seen.set()
        assert list(chunks) == [b"seen"]
