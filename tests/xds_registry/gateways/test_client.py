"""The client against peers that misbehave: every one is an unavailable community, within bounds."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from hub_kernel.errors import ConfigurationError
from xds_registry.gateways.asking import ask_all
from xds_registry.gateways.client import (
    ClientLimits,
    CommunityClient,
    CommunityUnavailableError,
    Question,
    included_part,
)
from xds_registry.gateways.communities import Communities, Community

HOME = "urn:oid:1.2.3"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
XDSB = "urn:ihe:iti:xds-b:2007"
LIMITS = ClientLimits(connect_s=1, silence_s=1, query_s=2, retrieve_s=3, query_bytes=100_000)
PATIENT = ClientLimits(connect_s=60, silence_s=60, query_s=60, retrieve_s=60)
Serve = Callable[[socket.socket], None]


def community(url: str, **changes: object) -> Community:
    given = Community(HOME, "peer", url, url, url, "1.2.4", "secret-token")
    return replace(given, **changes)  # type: ignore[arg-type]


@contextmanager
def peer(serve: Serve) -> Iterator[str]:
    """A server that does `serve` with each connection, after the request has come."""
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def run() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(60)
                    request = b""
                    while b"</s:Envelope>" not in request:
                        request += connection.recv(65536)
                    received.append(request)
                    try:
                        serve(connection)
                    except OSError:
                        continue  # the client has had enough

        received: list[bytes] = []
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/gateway"
        finally:
            stopped.set()
            thread.join()
    peer.received = received  # type: ignore[attr-defined]


def answer(
    body: bytes, content_type: str = "application/soap+xml", status: str = "200 OK"
) -> Serve:
    def serve(connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return serve


def envelope(payload: str) -> bytes:
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{payload}</s:Body></s:Envelope>'.encode()


def drip(connection: socket.socket) -> None:
    """An answer of a byte now and then, for ever."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 999999\r\n\r\n"
    )
    while True:
        connection.sendall(b" ")
        threading.Event().wait(0.1)


def silence(connection: socket.socket) -> None:
    connection.recv(1)


def redirect(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/metadata\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


BOMB = b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>' + envelope(
    "<x>&b;</x>"
)
MULTIPART = 'multipart/related; boundary="b"; type="application/xop+xml"; start="<r@x>"'


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        pytest.param(silence, "no answer in time", id="silence"),
        pytest.param(drip, "too long", id="a byte at a time"),
        pytest.param(redirect, "HTTP 307", id="redirect"),
        pytest.param(answer(b"gone", "text/html", "404 Not Found"), "HTTP 404", id="no page"),
        pytest.param(answer(b""), "no acceptable XML", id="nothing"),
        pytest.param(answer(BOMB), "no acceptable XML", id="entities"),
        pytest.param(answer(envelope("<a/>" * 2)), "SOAP 1.2", id="two payloads"),
        pytest.param(answer(b"<x/>"), "SOAP 1.2", id="no envelope"),
        pytest.param(answer(envelope(" " * 200_000)), "too long", id="too long"),
        pytest.param(
            answer(envelope(f'<f:Fault xmlns:f="{SOAP}"/>'), status="500 Oops"), "fault", id="fault"
        ),
        pytest.param(answer(b"--b\r\n\r\ncut", MULTIPART), "MTOM", id="cut package"),
        pytest.param(lambda connection: connection.close(), "connection failed", id="hang-up"),
    ],
)
def test_a_peer_that_misbehaves_is_unavailable(tmp_path: Path, serve: Serve, why: str) -> None:
    limits = LIMITS if serve in {silence, drip} else replace(PATIENT, query_bytes=100_000)
    client = CommunityClient(tmp_path, limits)
    with peer(serve) as url, pytest.raises(CommunityUnavailableError) as refused:
        client.query(Question(community(url), url, etree.Element("ask"), "urn:do"))
    assert why in str(refused.value)
    assert "secret-token" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_question_carries_the_token_and_the_action(tmp_path: Path) -> None:
    client = CommunityClient(tmp_path, PATIENT)
    with peer(answer(envelope("<a/>"))) as url:
        question = Question(community(url), url, etree.Element("ask"), "urn:do")
        assert client.query(question).payload.tag == "a"
    (request,) = peer.received  # type: ignore[attr-defined]
    assert b"Authorization: Bearer secret-token" in request
    assert b">urn:do</" in request
    assert b"<ask/>" in request
    assert "secret-token" not in repr(question)


def test_documents_beside_and_inside_the_message_are_kept_on_disk(tmp_path: Path) -> None:
    big = bytes(range(256)) * 4_000
    root = envelope(
        f'<r xmlns:x="{XDSB}"><x:Document><i:Include xmlns:i="http://www.w3.org/2004/08/xop/include"'
        f' href="cid:d%40x"/></x:Document><x:Document>aW5saW5l</x:Document></r>'
    )
    package = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <r@x>\r\n\r\n" + root
    package += b"\r\n--b\r\nContent-Type: application/dicom\r\nContent-ID: <d@x>\r\n\r\n" + big
    package += b"\r\n--b--\r\n"
    client = CommunityClient(tmp_path, PATIENT)
    with peer(answer(package, MULTIPART)) as url:
        got = client.retrieve(Question(community(url), url, etree.Element("ask"), "urn:do"))
    documents = list(got.payload.iter(f"{{{XDSB}}}Document"))
    parts = [included_part(got, document, number) for number, document in enumerate(documents)]
    assert [b"".join(part.chunks()) for part in parts if part] == [big, b"inline"]
    assert b"".join(parts[0].chunks()) == big  # type: ignore[union-attr]
    assert not list(tmp_path.iterdir())


def test_a_silent_community_holds_up_no_other(tmp_path: Path) -> None:
    client = CommunityClient(tmp_path, replace(PATIENT, silence_s=4))
    with peer(silence) as silent, peer(answer(envelope("<a/>"))) as prompt:
        questions = [
            Question(
                community(url, home_community_id=f"urn:oid:1.{n}"), url, etree.Element("q"), ""
            )
            for n, url in enumerate((silent, prompt))
        ]
        first, second = ask_all(questions, client.query, 3)
    assert [str(one.code) for one in first.refusals] == ["XDSUnavailableCommunity"]
    assert second.answer is not None


def test_a_port_that_speaks_no_tls_is_unavailable(tmp_path: Path) -> None:
    """Plain HTTP on a port that was promised to speak TLS."""
    client = CommunityClient(tmp_path, LIMITS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(CommunityUnavailableError):
            client.query(Question(community(url), url, etree.Element("q"), ""))
        thread.join()


@pytest.mark.parametrize(
    "changes",
    [
        {"home_community_id": "1.2.3"},
        {"home_community_id": f"urn:oid:1.{'2' * 80}"},
        {"patient_domain": "MRN"},
        {"query_url": "file:///etc/passwd"},
        {"retrieve_url": "http:///x"},
        {"imaging_url": "http://user:word@host/"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_malformed_community_stops_the_start(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Communities("urn:oid:1.9", [community("http://b.example/", **changes)])


def test_a_community_is_named_once_and_is_not_this_one() -> None:
    one = community("http://b.example/")
    with pytest.raises(ConfigurationError, match="twice"):
        Communities("urn:oid:1.9", [one, one])
    with pytest.raises(ConfigurationError, match="twice"):
        Communities(HOME, [one])
    with pytest.raises(ConfigurationError, match="of its own"):
        Communities("", [one])
