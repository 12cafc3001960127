"""Receivers that reset, leave early, hang, are slow or forged: nothing is lost in any case."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from access_control.atna_syslog import octet_counted
from tests.hub_runtime.atna.shipping import Shipping, sequences
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock
from tests.support.syslog_receiver import Receiver, receiving, reset, split_frames


def _reset_in_the_middle(connection: ssl.SSLSocket, receiver: Receiver) -> bool:
    receiver.broken_off.append(connection.recv(700))
    reset(connection)
    return False


def _leave_early_in_order(connection: ssl.SSLSocket, receiver: Receiver) -> bool:
    """Close in the best of manners after the first bytes: the rest was never read."""
    receiver.broken_off.append(connection.recv(100))
    return False


def _read_nothing_and_stay(connection: ssl.SSLSocket, _: Receiver) -> bool:
    """A receiver that hangs: it neither reads nor leaves, until the hub has lost patience."""
    connection.settimeout(60)
    while True:
        ready = socket.socket.recv(connection, 1, socket.MSG_PEEK)  # ciphertext, left unread
        if not ready:
            return False
        if _is_gone(connection):
            return False


def _is_gone(connection: ssl.SSLSocket) -> bool:
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return state[0] != 1  # no longer ESTABLISHED


@pytest.mark.parametrize(
    "misdeed",
    [_reset_in_the_middle, _leave_early_in_order, _read_nothing_and_stay],
    ids=lambda misdeed: misdeed.__name__.strip("_"),
)
def test_what_a_receiver_did_not_read_to_the_end_is_sent_again(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    clock: FixedClock,
    receiver: Receiver,
    misdeed: Any,
) -> None:
    write(15)
    # Who hangs is known by the time alone.
    shipping = ship_to(receiver.port, patience_s=1 if misdeed is _read_nothing_and_stay else 60)
    receiver.misdeed = misdeed
    assert shipping.ship() == 0
    assert shipping.waiting[0] == 15
    receiver.misdeed = None
    clock.advance(seconds=5)
    assert ship_to(receiver.port).ship() == 15
    assert sequences(receiver.messages) == list(range(1, 16))


def test_a_sender_that_trusts_its_own_socket_loses_what_is_kept_here(
    write: Callable[[int], None], ship_to: Callable[..., Shipping], receiver: Receiver
) -> None:
    """The control: sendall alone reports success for what the receiver never read."""
    receiver.misdeed = _leave_early_in_order
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", receiver.port), timeout=60)
    with context.wrap_socket(plain) as naive:
        naive.sendall(octet_counted(b"x" * 2000))  # no error, and yet it is gone
    assert receiver.messages == []


def test_a_slow_receiver_gets_everything_once(
    write: Callable[[int], None], ship_to: Callable[..., Shipping], receiver: Receiver
) -> None:
    def read_slowly(connection: ssl.SSLSocket, receiver: Receiver) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stream = b""
        while data := connection.recv(200):
            stream += data
        receiver.misdeed = None
        receiver.messages += split_frames(stream)[0]
        return False

    receiver.misdeed = read_slowly
    write(15)
    assert ship_to(receiver.port).ship() == 15
    assert sequences(receiver.messages) == list(range(1, 16))


def test_a_receiver_that_ends_without_a_goodbye_has_received(
    write: Callable[[int], None], ship_to: Callable[..., Shipping], receiver: Receiver
) -> None:
    receiver.says_goodbye = False
    write(3)
    assert ship_to(receiver.port).ship() == 3
    assert sequences(receiver.messages) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["of another authority", "expired", "of another host"])
def test_a_receiver_that_does_not_prove_itself_gets_nothing(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    authority: Authority,
    tmp_path: Path,
    kind: str,
    clock: FixedClock,
) -> None:
    shown = {
        "of another authority": lambda: Authority(tmp_path).issue("repository"),
        "expired": lambda: authority.issue("expired", days=(-9, -1)),
        "of another host": lambda: authority.issue("repository"),
    }[kind]()
    write(3)
    with receiving(shown, authority) as receiver:
        host = "localhost" if kind == "of another host" else "127.0.0.1"
        shipping = ship_to(receiver.port, host=host)
        assert shipping.ship() == 0
        assert (receiver.messages, receiver.broken_off) == ([], [])
        assert receiver.connections == 1
        assert shipping.waiting[0] == 3


def test_the_hub_proves_itself_where_that_is_demanded(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    server: Certified,
    authority: Authority,
    hub_certificate: Certified,
) -> None:
    write(3)
    with receiving(server, authority, demands_certificate=True) as receiver:
        assert ship_to(receiver.port).ship() == 0
        assert receiver.messages == []
        with_own = ship_to(
            receiver.port,
            certificate=hub_certificate.certificate_file,
            key=hub_certificate.key_file,
        )
        assert with_own.ship() == 3
        assert receiver.peers == [hub_certificate.der]
