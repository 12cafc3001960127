"""Clients behind a proxy: believed where the settings name the proxy, and nowhere else."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, RawPeer, RequestParts
from tests.support.waiting import eventually

PROXY = "127.0.0.2"
FAR = RequestParts(calling=b"FAR")  # a site that calls from 10.9.0.0/16 alone
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(source: str, family: str = "TCP4", target: str = "10.0.0.1") -> bytes:
    return f"PROXY {family} {source} {target} 40000 11112\r\n".encode()


def block(source: str, command: int = 0x21, extra: bytes = b"") -> bytes:
    packed = ip_address(source).packed
    family = 0x11 if len(packed) == 4 else 0x21
    body = packed + packed + struct.pack(">HH", 40000, 11112) + extra
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def counted(hub: Hub) -> dict[str, float]:
    """How many associations ended how, so far."""
    count = hub.parts.metrics.associations.labels
    return {one: count(one)._value.get() for one in ("served", "rejected", "failed")}  # noqa: SLF001


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("proxied")
    with running_node(folder, proxies=(f"{PROXY}/32",), association_timeout_s=10.0) as hub:
        yield hub


@pytest.mark.parametrize(
    "header",
    [
        line("10.9.3.4"),
        line("::ffff:10.9.3.4", "TCP6", "::1"),
        block("10.9.3.4"),
        block("10.9.3.4", extra=b"\x04\0\x01x"),
        block("::ffff:10.9.3.4"),
    ],
    ids=["v1", "v1 mapped", "v2", "v2 with more", "v2 mapped"],
)
def test_a_client_behind_the_proxy_is_admitted_by_its_own_address(hub: Hub, header: bytes) -> None:
    with RawPeer(hub.port, source=PROXY) as peer:
        peer.send(header)
        assert peer.associate(FAR)[0] == ASSOCIATE_AC


def test_the_record_names_the_client_and_not_the_proxy(hub: Hub) -> None:
    with RawPeer(hub.port, source=PROXY) as peer:
        peer.send(line("10.77.0.5"))
        assert peer.associate(FAR)[0] == ASSOCIATE_RJ, "another network than the site's"
    hub.await_audit(lambda record: "10.77.0.5" in record.line())


def test_a_client_of_a_site_behind_the_proxy_has_no_right_of_the_proxys_own(hub: Hub) -> None:
    """The proxy lies in the networks of CT1's site; who calls through it does not."""
    with RawPeer(hub.port, source=PROXY) as peer:
        peer.send(line("10.9.3.4"))
        assert peer.associate()[0] == ASSOCIATE_RJ


BROKEN = {
    "none": RequestParts().encode(),
    "words": b"PROXY TCP4 10.9.3.4\r\nxxxxx",
    "other family": line("10.9.3.4", "TCP6"),
    "no address": line("10.9.3"),
    "name": line("far.example"),
    "no number": b"PROXY TCP4 10.9.3.4 10.0.0.1 x 11112\r\n",
    "lower case": line("10.9.3.4").replace(b"PROXY", b"proxy"),
    "endless": b"PROXY TCP4 " + b"1" * 200,
    "version 3": block("10.9.3.4").replace(b"QUIT\n\x21", b"QUIT\n\x31"),
    "unknown command": block("10.9.3.4", command=0x2F),
    "too large": SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 65_535),
    "too small": SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 4) + bytes(4),
    "unix socket": SIGNATURE + struct.pack(">BBH", 0x21, 0x31, 216) + bytes(216),
    "no client": b"PROXY UNKNOWN\r\n" + RequestParts().encode(),
    "local": block("10.9.3.4", command=0x20) + RequestParts().encode(),
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
def test_a_proxy_that_does_not_say_who_calls_is_refused(hub: Hub, said: bytes) -> None:
    before = counted(hub)["failed"]
    with RawPeer(hub.port, source=PROXY) as peer:
        peer.send(said)
        assert peer.pdu() == (0, b""), "nothing is served"
    eventually(lambda: counted(hub)["failed"] > before)
    hub.await_audit(lambda record: PROXY in record.line() and "roxy" in record.line().lower())


@pytest.mark.parametrize("header", [line("10.9.3.4"), block("10.9.3.4")], ids=["v1", "v2"])
def test_nobody_else_is_believed(hub: Hub, header: bytes) -> None:
    with RawPeer(hub.port) as peer:
        peer.send(header)
        assert peer.associate(FAR)[0] in {ABORT, 0}


def test_who_calls_directly_needs_no_header(hub: Hub) -> None:
    with RawPeer(hub.port) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC


def test_a_health_check_leaves_no_record(tmp_path: Path) -> None:
    with running_node(tmp_path, proxies=(f"{PROXY}/32",)) as alone:
        for said in (b"", b"PROXY UNKNOWN\r\n", block("10.9.3.4", command=0x20)):
            with RawPeer(alone.port, source=PROXY) as peer:
                peer.send(said)
                peer.socket.shutdown(socket.SHUT_WR)
                assert peer.pdu() == (0, b"")
        with RawPeer(alone.port, source=PROXY) as peer:
            peer.send(line("10.66.0.1"))
            assert peer.associate(FAR)[0] == ASSOCIATE_RJ
        eventually(lambda: counted(alone)["rejected"] == 1)
        assert counted(alone) == {"served": 0, "rejected": 1, "failed": 0}


def test_a_silent_proxy_is_cut(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, proxies=("127.0.0.2/32",), association_timeout_s=2.0) as hub,
        RawPeer(hub.port, source=PROXY) as peer,
    ):
        assert peer.pdu() == (0, b"")
