"""STOW-RS destinations: what goes over the line, and what each answer means."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from pydicom import dcmread

from dicom_router.forwarding.model import BreakerState
from dicom_router.forwarding.senders.stow import StowSender, StowService
from tests.dicom_router.forwarding.world import NoRecoding, World
from tests.dicom_router.instances import encoded
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind

Reply = Callable[[str], tuple[int, bytes]]


@dataclass
class StowPeer:
    """A STOW-RS service; `kept` is what it has, `headers` those of the last request."""

    port: int = 0
    reply: Reply = lambda _uid: (200, b"{}")
    kept: dict[str, set[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    connections: set[tuple[str, int]] = field(default_factory=set)

    def take(self, body: bytes) -> tuple[int, bytes]:
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
        head, _, rest = body.partition(b"\r\n\r\n")
        assert head == b"--" + boundary + b"\r\nContent-Type: application/dicom"
        file = rest.removesuffix(b"\r\n--" + boundary + b"--\r\n")
        assert len(file) < len(rest)
        instance = dcmread(BytesIO(file))
        uid = str(instance.SOPInstanceUID)
        status, answer = self.reply(uid)
        if status in {200, 202}:
            digest = hashlib.sha256(encoded(instance)).hexdigest()
            self.kept.setdefault(uid, set()).add(digest)
        return status, answer


@contextmanager
def stow_peer(reply: Reply = lambda _uid: (200, b"{}")) -> Iterator[StowPeer]:
    peer = StowPeer(reply=reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            assert self.path == "/dicom-web/studies"
            peer.headers = dict(self.headers.items())
            peer.connections.add(self.client_address)
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return
            status, answer = peer.take(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    peer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sender(world: World, port: int, *, answer_s: float = 60.0, **headers: str) -> StowSender:
    service = StowService(
        f"http://127.0.0.1:{port}/dicom-web", headers, connect_s=60.0, answer_s=answer_s
    )
    return StowSender(service, world.backend, NoRecoding())


def forward(world: World, to: StowSender, turns: int = 8) -> None:
    lane = world.lane(to)
    for _ in range(turns):
        lane.turn()
        world.clock.advance(minutes=10)


def test_instances_arrive_bit_for_bit_over_one_connection_with_the_token(world: World) -> None:
    world.promised(1, 2, 3)
    with stow_peer() as peer:
        world.lane(sender(world, peer.port, Authorization="Bearer secret")).turn()
    assert peer.kept == {uid: {digest} for uid, digest in world.archive_digests().items()}
    assert peer.headers["Authorization"] == "Bearer secret"
    assert len(peer.connections) == 1
    assert [item.last_status for item in world.items()] == ["HTTP 200"] * 3


def failed(reason: int) -> bytes:
    sequence = {"Value": [{"00081197": {"vr": "US", "Value": [reason]}}], "vr": "SQ"}
    return json.dumps({"00081198": sequence}).encode()


@pytest.mark.parametrize(
    ("status", "body", "state", "said"),
    [
        (202, b"{}", "sent", "HTTP 202"),
        (409, failed(0xA900), "parked", "HTTP 409, 0xA900"),
        (409, failed(0xC000), "parked", "HTTP 409, 0xC000"),
        (409, failed(0xA700), "queued", "HTTP 409, 0xA700"),
        (200, failed(0xC122), "parked", "HTTP 200, 0xC122"),
        (415, b"no", "parked", "HTTP 415"),
        (500, b"oh", "queued", "HTTP 500"),
        (302, b"", "parked", "HTTP 302"),
        (200, b"\xff not json", "sent", "HTTP 200"),
    ],
)
def test_each_answer_leads_to_the_state_of_its_class(
    world: World, status: int, body: bytes, state: str, said: str
) -> None:
    world.promised(1)
    with stow_peer(lambda _uid: (status, body)) as peer:
        world.lane(sender(world, peer.port)).turn()
    item = world.items()[0]
    assert (item.state, item.last_status) == (state, said)


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_what_is_wrong_with_the_service_is_not_charged_to_an_instance(
    world: World, status: int
) -> None:
    world.promised(1, 2)
    with stow_peer(lambda _uid: (status, b"")) as peer:
        world.lane(sender(world, peer.port)).turn()
    assert [(item.state, item.attempts) for item in world.items()] == [("queued", 0)] * 2
    view = world.desk.destination("a")
    assert view.breaker is BreakerState.OPEN
    assert view.last_error.startswith(f"HTTP {status}: ")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CUT, after_bytes=20_000),
        Fault(FaultKind.RESET, after_bytes=60_000),
        Fault(FaultKind.CUT, after_bytes=10, towards="client"),
        Fault(FaultKind.STALL, after_bytes=20_000),
        Fault(FaultKind.REFUSE),
    ],
    ids=lambda f: f"{f.kind}-{f.towards}",
)
def test_after_a_broken_line_the_service_has_exactly_what_is_archived(
    world: World, fault: Fault
) -> None:
    world.promised(1, 2, 3, PixelData=b"\1\2" * 20_000)
    with stow_peer() as peer, ChaosProxy(("127.0.0.1", peer.port)) as proxy:
        proxy.plan([fault])
        hasty = fault.kind is FaultKind.STALL
        forward(world, sender(world, proxy.port, answer_s=2.0 if hasty else 60.0))
        assert proxy.injected == 1
    assert world.states() == ["sent"] * 3
    assert peer.kept == {uid: {digest} for uid, digest in world.archive_digests().items()}


def test_damaged_bytes_do_not_pass_for_an_instance(world: World) -> None:
    world.promised(1)
    first = world.index.instance(world.items()[0].sop_instance_uid)
    assert first is not None
    path = next(world.folder.rglob(first.storage_key.rpartition("/")[2] + "*"))
    data = bytearray(path.read_bytes())
    data[-10] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    with stow_peer() as peer:
        world.lane(sender(world, peer.port)).turn()
    assert peer.kept == {}
    assert world.states() == ["parked"]
