"""What a connection holds back: in order, uncopied, bounded, whoever reads slowly."""

import hashlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hub_kernel.settings import WebSettings
from hub_runtime.http_pieces import MOST_WAITING_BYTES, Pieces
from hub_runtime.http_server import HttpServer

PIECE, COUNT = bytes(range(256)) * 1024, 120
_PATIENCE_S = 60.0


def test_pieces_are_given_out_in_order_and_as_they_are() -> None:
    pieces = Pieces()
    given = b"abcdef"
    pieces.append(given)
    pieces.append(b"gh")
    pieces.append(b"ij")
    assert pieces.get()[0].obj is given
    assert [bytes(piece) for piece in pieces.get()] == [b"abcdef", b"gh", b"ij"]
    pieces.skip(2, allow_prune=True)
    assert ([bytes(piece) for piece in pieces.get()], len(pieces)) == ([b"cdef", b"gh", b"ij"], 8)
    with pytest.raises(ValueError, match="more than"):
        pieces.skip(9)
    pieces.skip(5)
    assert ([bytes(piece) for piece in pieces.get()], len(pieces)) == ([b"h", b"ij"], 3)
    pieces.skip(1)
    assert [bytes(piece) for piece in pieces.get()] == [b"ij"]
    pieces.close()
    assert (pieces.get(), len(pieces)) == ([], 0)


def test_who_reads_slowly_gets_every_byte_and_no_more_is_made_than_may_wait() -> None:
    made = [0]

    def answer(_environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", str(len(PIECE) * COUNT))])
        for _ in range(COUNT):
            made[0] += 1
            yield PIECE

    server = HttpServer(answer, WebSettings(port=0))
    host, port = server.start().removeprefix("http://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_PATIENCE_S) as reader:
            reader.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            _await_standstill(made)
            # What the kernel's own buffers take comes on top.
            assert made[0] * len(PIECE) < 4 * MOST_WAITING_BYTES + (6 << 20)
            assert made[0] < COUNT
            received = b"".join(iter(lambda: reader.recv(1 << 20), b""))
    finally:
        server.stop()
    body = received.partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(body).digest() == hashlib.sha256(PIECE * COUNT).digest()


def _await_standstill(made: list[int]) -> None:
    """Wait until the maker has begun and then made nothing more for a while."""
    deadline, seen, since = time.monotonic() + _PATIENCE_S, -1, time.monotonic()
    while time.monotonic() < deadline:
        if made[0] != seen:
            seen, since = made[0], time.monotonic()
        elif seen > 0 and time.monotonic() - since > 1.0:
            return
        time.sleep(0.05)
    raise AssertionError("the answer never stood still")
