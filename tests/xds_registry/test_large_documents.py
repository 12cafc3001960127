"""A document costs a chunk of memory, not its size: through a server in a process of its own."""

import base64
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.xds_registry import provided, wire
from tests.xds_registry.provided import described
from tests.xds_registry.samples import submission
from tests.xds_registry.trial import REPOSITORY_UID

MEGABYTE = 1024 * 1024
MOST_GROWTH = 64 * MEGABYTE
BLOCK = hashlib.shake_256(b"document").digest(3 * MEGABYTE)
PROGRAM = Path(__file__).with_name("trial.py")
MARK = b"@DOCUMENT@"


@dataclass(frozen=True)
class Server:
    """A hub in a child process."""

    process: "subprocess.Popen[str]"
    address: str
    cx: str

    def peak(self) -> int:
        """Return the most memory it ever had resident, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [one for one in status.splitlines() if one.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    @contextmanager
    def posted(
        self, pieces: Iterable[bytes], length: int, content_type: str
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=600)
        connection.putrequest("POST", "/xds/repository")
        connection.putheader("Content-Type", content_type)
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        for piece in pieces:
            connection.send(piece)
        with closing(connection), connection.getresponse() as response:
            yield response


@contextmanager
def served(root: Path, *how: str) -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(root), *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address, cx = process.stdout.readline().strip().split(" ", 1)
        yield Server(process, address, cx)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with served(tmp_path) as server:
        yield server


def blocks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield BLOCK


def around(message: bytes, middle: Iterator[bytes], size: int) -> tuple[Iterator[bytes], int]:
    """Put what is too large to hold where the mark stands."""
    head, tail = message.split(MARK)

    def pieces() -> Iterator[bytes]:
        yield head
        yield from middle
        yield tail

    return pieces(), len(head) + size + len(tail)


def provide_large(server: Server, name: str, count: int) -> str:
    entry = described(server.cx, name, size=count * len(BLOCK))
    root = provided.body(submission(entry), {entry.entry_uuid: "cid:large@test"})
    message = provided.package(wire.envelope(root, provided.ITI41), [("large@test", MARK)])
    pieces, length = around(message, blocks(count), count * len(BLOCK))
    with server.posted(pieces, length, provided.CONTENT_TYPE) as response:
        answer = response.read()
    assert b"ResponseStatusType:Success" in answer, answer
    return entry.unique_id


def provide_large_inline(server: Server, name: str, count: int) -> str:
    entry = described(server.cx, name, size=count * len(BLOCK))
    root = provided.body(submission(entry), {}, {entry.entry_uuid: b"."})
    message = wire.envelope(root, provided.ITI41).replace(b"Lg==\n", MARK)
    coded = base64.b64encode(BLOCK)
    pieces, length = around(message, (coded for _ in range(count)), count * len(coded))
    with server.posted(pieces, length, "application/soap+xml") as response:
        answer = response.read()
    assert b"ResponseStatusType:Success" in answer, answer
    return entry.unique_id


def retrieve_large(server: Server, unique_id: str, count: int) -> None:
    """Read the answer and find the document in it, byte for byte."""
    request = wire.retrieve((REPOSITORY_UID, unique_id))
    with server.posted([request], len(request), "application/soap+xml") as response:
        head = response.read(64 * 1024)
        start = head.index(BLOCK[:100])
        digest, left = hashlib.sha256(head[start:]), count * len(BLOCK) - len(head) + start
        while left:
            chunk = response.read(min(MEGABYTE, left))
            assert chunk
            digest.update(chunk)
            left -= len(chunk)
        assert len(response.read()) < 200  # the closing boundary
    expected = hashlib.sha256()
    for block in blocks(count):
        expected.update(block)
    assert digest.digest() == expected.digest()


def read_over_fhir(server: Server, entry_uuid: str, count: int) -> None:
    """ITI-68: read the document as it is, byte for byte."""
    connection = HTTPConnection(urlsplit(server.address).netloc, timeout=600)
    with closing(connection):
        connection.request("GET", f"/fhir/Binary/{entry_uuid.removeprefix('urn:uuid:')}")
        with connection.getresponse() as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) == count * len(BLOCK)
            for block in blocks(count):
                assert response.read(len(BLOCK)) == block
            assert response.read() == b""


def growth_over_fhir(server: Server, count: int) -> int:
    for name, size in (("little", 1), ("great", count)):
        provide_large(server, name, size)
        if size == 1:
            read_over_fhir(server, described(server.cx, name).entry_uuid, 1)
    before = server.peak()
    read_over_fhir(server, described(server.cx, "great").entry_uuid, count)
    return server.peak() - before


def growth(server: Server, provide: Callable[[Server, str, int], str], count: int) -> list[int]:
    """Return by how many bytes the peak grew in sending and in retrieving, after a small one."""
    retrieve_large(server, provide(server, "small", 1), 1)
    before = server.peak()
    unique_id = provide(server, "large", count)
    sent = server.peak()
    retrieve_large(server, unique_id, count)
    return [sent - before, server.peak() - before]


@pytest.mark.parametrize("provide", [provide_large, provide_large_inline])
def test_a_document_of_128_mb_grows_the_hub_by_less_than_64(
    server: Server, provide: Callable[[Server, str, int], str]
) -> None:
    assert max(growth(server, provide, 43)) < MOST_GROWTH


@pytest.mark.long
@pytest.mark.parametrize("provide", [provide_large, provide_large_inline])
def test_a_document_of_1_gb_grows_the_hub_by_less_than_64_mb(
    server: Server, provide: Callable[[Server, str, int], str]
) -> None:
    assert max(growth(server, provide, 342)) < MOST_GROWTH


def test_a_document_of_128_mb_is_read_over_fhir_in_less_than_64(server: Server) -> None:
    assert growth_over_fhir(server, 43) < MOST_GROWTH


@pytest.mark.long
def test_a_document_of_1_gb_is_read_over_fhir_in_less_than_64_mb(server: Server) -> None:
    assert growth_over_fhir(server, 342) < MOST_GROWTH


def test_a_hub_that_reads_it_whole_is_found_out(tmp_path: Path) -> None:
    """The control: the same hub behind a door that holds the body in memory."""
    with served(tmp_path, "whole") as server:
        assert growth(server, provide_large, 43)[0] > MOST_GROWTH
