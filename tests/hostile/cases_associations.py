"""Rows 1 to 20: what peers do to connections and associations."""

import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil

from tests.dicom_router.wire import (
    APPLICATION_CONTEXT,
    ASSOCIATE_AC,
    ASSOCIATE_RQ,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    RELEASE_RQ,
    VERIFICATION,
    RawPeer,
    command_set,
    context_item,
    echo_rq,
    elements_of,
    item,
    p_data,
    pdu,
    pdv,
    store_rq,
)
from tests.hostile.arena import Trial
from tests.hostile.datasets import CT
from tests.hostile.model import Case
from tests.hostile.oracle import HONEST_S, echo_s, tls_echo_s
from tests.support.waiting import eventually

_TCP_REPAIR = 19
_FLOOD = 500


def crowd(first: bytes) -> Callable[[Trial], str]:
    """Twelve peers send `first` and wait; an honest one is served meanwhile, they are cut."""

    def attack(trial: Trial) -> str:
        with ExitStack() as stack:
            peers = [stack.enter_context(trial.peer()) for _ in range(12)]
            for peer in peers:
                peer.send(first)
            honest = echo_s(trial.arena)
            assert honest <= HONEST_S, f"an honest peer waited {honest} s beside them"
            endings = {trial.ending(peer) for peer in peers}
        assert endings <= {"cut", "aborted"}, endings
        return "others served, then cut"

    return attack


def tls_crowd(first: bytes) -> Callable[[Trial], str]:
    """The same on the port for TLS: nobody's handshake keeps another from his."""

    def attack(trial: Trial) -> str:
        with ExitStack() as stack:
            port = trial.arena.hub.dicom_tls_port
            peers = [stack.enter_context(trial.peer(port)) for _ in range(12)]
            for peer in peers:
                peer.send(first)
            honest = tls_echo_s(trial.arena)
            assert honest <= HONEST_S, f"an honest peer waited {honest} s beside them"
            assert {peer.pdu()[0] in {0, 0x15} for peer in peers} == {True}
        return "others served, then cut"

    return attack


def certificate_of(site: str | None, title: bytes) -> Callable[[Trial], str]:
    """Call with the certificate of one site and the AE title of another."""

    def attack(trial: Trial) -> str:
        try:
            with trial.tls_peer(site) as peer:
                peer.send(trial.parts(calling=title).encode())
                return trial.ending(peer)
        except ssl.SSLError:
            return "no handshake"

    return attack


def first_bytes(data: bytes) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            trial.push(peer, data)
            return trial.ending(peer)

    return attack


def endless(head: bytes, *, associated: bool) -> Callable[[Trial], str]:
    """A length of 4 GiB, and as much of it as the hub will take."""

    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            if associated:
                peer.send(trial.parts().encode())
                assert trial.hear(peer)[0] == ASSOCIATE_AC
            trial.push(peer, head)
            for _ in range(256):
                trial.push(peer, bytes(1 << 20))
            return trial.ending(peer)

    return attack


def violation(data: bytes) -> Callable[[Trial], str]:
    """A byte sequence that has no place in an association that offers what the hub does not."""

    def attack(trial: Trial) -> str:
        return trial.violate(
            data,
            context_item(1, VERIFICATION, [IMPLICIT]),
            context_item(3, CT, [EXPLICIT]),
            context_item(7, "1.2.3.4", [IMPLICIT]),
        )

    return attack


def request(**changes: object) -> Callable[[Trial], str]:
    """An A-ASSOCIATE-RQ with something wrong in it."""

    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            peer.send(trial.parts(**changes).encode())
            return trial.ending(peer)

    return attack


def no_contexts(trial: Trial) -> str:
    parts = trial.parts()
    parts.contexts.clear()
    with trial.peer() as peer:
        peer.send(parts.encode())
        return trial.ending(peer)


def contexts(*items: bytes) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            peer.send(trial.parts(*items).encode())
            return trial.ending(peer)

    return attack


def reset_flood(trial: Trial) -> str:
    """Five hundred connections in about a second, each reset; what they held comes back."""
    main = psutil.Process(trial.arena.hub.process.pid)
    before = main.num_fds(), main.num_threads()
    started = time.monotonic()
    for number in range(_FLOOD):
        with trial.peer() as peer:
            if number % 3:
                trial.push(peer, trial.parts().encode()[: number % 200])
            peer.reset()
        time.sleep(max(0.0, started + number / _FLOOD - time.monotonic()))

    def returned() -> bool:
        return main.num_fds() <= before[0] + 3 and main.num_threads() <= before[1] + 3

    eventually(returned)
    return "descriptors and threads returned"


def early_data(trial: Trial) -> str:
    with trial.peer() as peer:
        peer.send(trial.parts().encode() + echo_rq())
        return trial.ending(peer)


def drip(trial: Trial) -> str:
    """A dataset of one byte a second; two a second, so that the test need not wait as long."""
    with trial.peer() as peer:
        peer.send(trial.parts().encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        peer.send(store_rq(trial.sop_uid()) + p_data(3, 0, bytes(1000))[:12])
        peer.socket.settimeout(0.5)
        started = time.monotonic()
        while time.monotonic() - started < 30:
            try:
                peer.socket.send(b"\0")
                if peer.socket.recv(16) in {b"", b"\7\0\0\0\0\4\0\0\2\0"}:
                    return "cut at the deadline"
            except TimeoutError:
                continue
            except ConnectionError:
                return "cut at the deadline"
        return "served for 30 s"


def without_last_fragment(trial: Trial) -> str:
    """A dataset that never ends: answered once it passes the cap."""
    with trial.peer() as peer:
        peer.send(trial.parts().encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        peer.send(store_rq(trial.sop_uid()))
        piece = p_data(3, 0, bytes(130_000))
        for _ in range(600):
            trial.push(peer, piece)
        kind, body = trial.hear(peer)
        status = status_of(body) if kind == P_DATA else kind
        return f"0x{status:04X}, then {trial.ending(peer)}"


def status_of(body: bytes) -> int:
    return int.from_bytes(elements_of(body[6:])[0x0900], "little")


def reset_in_dataset(trial: Trial) -> str:
    with trial.peer() as peer:
        peer.send(trial.parts().encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        peer.send(store_rq(trial.sop_uid()) + p_data(3, 0, trial.dataset()[:300]))
        eventually(trial.arena.half_received)
        peer.reset()
    eventually(lambda: not trial.arena.half_received())
    return "a row" if trial.indexed(trial.sop_uid()) else "no file, no row"


def half_open(trial: Trial) -> str:
    """The peer vanishes without a word, as a laptop that is closed; its slot is freed."""
    with trial.peer() as peer:
        peer.send(trial.parts().encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        main = psutil.Process(trial.arena.hub.process.pid)
        held = main.num_threads()
        _vanish(peer)
        eventually(lambda: main.num_threads() < held)
    return "slot freed"


def _vanish(peer: RawPeer) -> None:
    """Close without FIN or RST where the kernel lets us, else keep silent."""
    try:
        peer.socket.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except OSError:
        return
    peer.socket.close()


def longest_pdu(length: int) -> Callable[[Trial], str]:
    """A maximum length that nobody can keep to: the answer comes all the same."""

    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            peer.send(trial.parts(max_length=length).encode())
            assert trial.hear(peer)[0] == ASSOCIATE_AC
            peer.send(echo_rq())
            kind, body = trial.hear(peer)
            return f"echo 0x{status_of(body):04X}" if kind == P_DATA else f"PDU {kind}"

    return attack


def flood(**command: int | str) -> Callable[[Trial], str]:
    """Five hundred messages that nobody waits for, then an echo that somebody does."""

    def attack(trial: Trial) -> str:
        with trial.peer() as peer:
            peer.send(trial.parts().encode())
            assert trial.hear(peer)[0] == ASSOCIATE_AC
            peer.send(p_data(1, 3, command_set(**command)) * _FLOOD + echo_rq(message_id=9))
            return f"echo 0x{status_of(trial.hear(peer)[1]):04X}"

    return attack


_CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
_CANCEL = {
    "command_field": 0x0FFF, "message_id_being_responded_to": 7, "command_data_set_type": 0x101,
}  # fmt: skip
_RESPONSE = {
    "affected_sop_class_uid": VERIFICATION, "command_field": 0x8030, "status": 0,
    "message_id_being_responded_to": 7, "command_data_set_type": 0x101,
}  # fmt: skip
_ECHO_WITHOUT_ID = {
    "affected_sop_class_uid": VERIFICATION, "command_field": 0x30, "command_data_set_type": 0x101,
}  # fmt: skip
_BEGINNING = struct.pack(">HH", 1, 0) + b"EIRHUB".ljust(16) + b"HOSTILE".ljust(16) + bytes(32)
_BEGINNING += item(0x10, APPLICATION_CONTEXT.encode())

ASSOCIATION_CASES = (
    Case(1, "one byte", "others served, then cut", crowd(b"\x01")),
    Case(1, "half a request", "others served, then cut", crowd(b"\x01\0\0\0\x01\0half")),
    Case(2, "silent", "others served, then cut", crowd(b"")),
    Case(3, "silent", "others served, then cut", tls_crowd(b"")),
    Case(3, "half a hello", "others served, then cut", tls_crowd(_CLIENT_HELLO[:20])),
    Case(4, "request", "aborted", endless(pdu(ASSOCIATE_RQ, b"", 0xFFFFFFFF), associated=False)),
    Case(4, "data", "aborted", endless(pdu(P_DATA, b"", 0xFFFFFFFF), associated=True)),
    Case(5, "type 00", "aborted", first_bytes(pdu(0x00, bytes(4)))),
    Case(5, "type 08", "aborted", first_bytes(pdu(0x08, bytes(4)))),
    Case(5, "type FF", "aborted", first_bytes(pdu(0xFF, bytes(4)))),
    Case(5, "type FF associated", "aborted", violation(pdu(0xFF, bytes(4)))),
    Case(5, "data first", "aborted", first_bytes(pdu(P_DATA, pdv(1, 3, b"")))),
    Case(5, "release first", "aborted", first_bytes(pdu(RELEASE_RQ, bytes(4)))),
    Case(6, "http", "aborted", first_bytes(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")),
    Case(6, "client hello", "aborted", first_bytes(_CLIENT_HELLO)),
    Case(6, "HL7", "aborted", first_bytes(b"\x0bMSH|^~\\&|A|B\r")),
    Case(7, "fixed part cut", "aborted", first_bytes(pdu(ASSOCIATE_RQ, bytes(67)))),
    Case(7, "item", "aborted",
         first_bytes(pdu(ASSOCIATE_RQ, _BEGINNING + b"\x10\0\xff\xff1.2"))),
    Case(7, "sub-item", "aborted",
         first_bytes(pdu(ASSOCIATE_RQ, _BEGINNING + b"\x20\0\0\x08\x01\0\0\0\x30\0\xff\xff"))),
    Case(8, "none", "rejected", no_contexts),
    Case(8, "even", "rejected", contexts(context_item(2, CT, [EXPLICIT]))),
    Case(8, "duplicate", "rejected", contexts(*[context_item(1, CT, [EXPLICIT])] * 2)),
    Case(8, "129", "rejected",
         contexts(*[context_item(n % 256, CT, [IMPLICIT]) for n in range(1, 259, 2)])),
    Case(9, "shell", "rejected", request(calling=b"$(id)")),
    Case(9, "line break", "rejected", request(calling=b"A\r\nFAKE: 1")),
    Case(9, "17 bytes", "aborted", request(calling=b"ABCDEFGHIJKLMNOPQ")),
    Case(10, "address", "rejected", request(calling=b"FAR")),
    Case(10, "another's certificate", "rejected", certificate_of("hostile", b"HONEST")),
    Case(10, "no certificate", "no handshake", certificate_of(None, b"HONEST")),
    Case(11, "reset flood", "descriptors and threads returned", reset_flood),
    Case(12, "early data", "aborted", early_data),
    Case(12, "unaccepted context", "aborted", violation(p_data(7, 3, echo_rq()[12:]))),
    Case(12, "unknown context", "aborted", violation(p_data(99, 3, echo_rq()[12:]))),
    Case(13, "length 0", "aborted", violation(pdu(P_DATA, b"\0\0\0\0\x01\x03"))),
    Case(13, "length 1", "aborted", violation(pdu(P_DATA, b"\0\0\0\x01\x01"))),
    Case(13, "overlong", "aborted",
         violation(pdu(P_DATA, b"\0\0\xff\xff\x01\x03" + bytes(20)))),
    Case(14, "no Message ID", "aborted",
         violation(pdu(P_DATA, pdv(1, 3, command_set(**_ECHO_WITHOUT_ID))))),
    Case(15, "dripping dataset", "cut at the deadline", drip),
    Case(16, "endless dataset", "0xA700, then aborted", without_last_fragment),
    Case(17, "reset in a dataset", "no file, no row", reset_in_dataset),
    Case(18, "half open", "slot freed", half_open),
    Case(19, "1", "echo 0x0000", longest_pdu(1)),
    Case(19, "4 GiB", "echo 0x0000", longest_pdu(0xFFFFFFFF)),
    Case(20, "cancel", "echo 0x0000", flood(**_CANCEL)),
    Case(20, "response", "echo 0x0000", flood(**_RESPONSE)),
)  # fmt: skip
