"""Shipping the audit trail to real TLS receivers: nothing lost, in order, whatever they do."""

import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import text

from access_control.atna_cursor import AuditCursor
from access_control.atna_syslog import SyslogReceiver, client_context, octet_counted, send_all
from access_control.errors import AuditNotDeliveredError
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from tests.hub_runtime.atna.shipping import SYSLOG, UNREAD_BYTES, Shipping, sequences
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock
from tests.support.ports import free_port
from tests.support.syslog_receiver import Receiver, receiving, reset
from tests.support.tools import require_conformance, require_tool
from tests.support.waiting import eventually


def test_every_record_arrives_once_in_order_and_valid(
    write: Callable[[int], None], ship_to: Callable[..., Shipping], receiver: Receiver
) -> None:
    write(25)
    shipping = ship_to(receiver.port)
    assert shipping.ship() == 25
    assert sequences(receiver.messages) == list(range(1, 26))
    assert shipping.waiting == (0.0, 0.0)
    assert shipping.ship() == 0
    assert receiver.connections == 3  # 10 + 10 + 5, and none when nothing waits
    schema = etree.XMLSchema(etree.parse(require_conformance("atna", "dicom2017c.xsd")))
    for one in receiver.messages:
        match = SYSLOG.fullmatch(one)
        assert match
        schema.assertValid(etree.fromstring(match[6]))
        assert match[4] == b"IHE+RFC-3881"


def test_the_frame_counts_octets_and_not_characters() -> None:
    assert octet_counted("王".encode()) == b"3 \xe7\x8e\x8b"


def test_a_receiver_that_was_away_for_days_gets_everything(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    clock: FixedClock,
    server: Certified,
    authority: Authority,
) -> None:
    port = free_port()
    shipping = ship_to(port)
    write(12)
    for _ in range(50):
        assert shipping.ship() == 0
        clock.advance(seconds=3600)
        write(1)
    assert shipping.ship() == 0
    assert shipping.waiting[0] == 62
    assert shipping.waiting[1] > 49 * 3600
    with receiving(server, authority, port=port) as receiver:
        assert ship_to(port).ship() == 62  # after a restart of the hub
        assert sequences(receiver.messages) == list(range(1, 63))


def test_after_a_failure_it_waits_longer_each_time_and_then_tries_again(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    clock: FixedClock,
    receiver: Receiver,
) -> None:
    def hang_up(connection: ssl.SSLSocket, _: Receiver) -> bool:
        reset(connection)
        return False

    receiver.misdeed = hang_up
    write(1)
    shipping = ship_to(receiver.port)
    attempts_at = []
    started = clock.now()
    for _ in range(700):
        before = receiver.connections
        shipping.ship()
        if receiver.connections > before:
            attempts_at.append((clock.now() - started) // timedelta(seconds=1))
        clock.advance(seconds=1)
    assert attempts_at == [0, 5, 15, 35, 75, 155, 315, 615]
    receiver.misdeed = None
    clock.advance(seconds=300)
    assert shipping.ship() == 1


def test_two_processes_never_ship_the_same_at_the_same_time(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    database: Database,
    clock: FixedClock,
    receiver: Receiver,
) -> None:
    write(3)
    other = AuditCursor(database, clock, f"127.0.0.1:{receiver.port}")
    assert other.hold() == 0
    assert ship_to(receiver.port).ship() == 0
    assert receiver.connections == 0
    clock.advance(seconds=301)  # the other has died
    assert ship_to(receiver.port).ship() == 3
    assert other.move(2) is False


def test_a_record_that_was_tampered_with_does_not_stop_the_others(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    database: Database,
    receiver: Receiver,
) -> None:
    write(3)
    with database.unit_of_work() as work:
        work.session.execute(text("DROP TRIGGER audit_record_no_update"))
        work.session.execute(text("UPDATE audit_record SET message = '{' WHERE sequence = 2"))
    assert ship_to(receiver.port).ship() == 3
    assert sequences(receiver.messages) == [1, 2, 3]
    assert b"record 2 of the audit trail cannot be read" in receiver.messages[1]


def test_wrong_files_show_at_the_start(ship_to: Callable[..., Shipping], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        ship_to(1, ca_file=tmp_path / "missing.pem")
    (tmp_path / "rubbish.pem").write_text("rubbish")
    with pytest.raises(ConfigurationError):
        ship_to(1, certificate=tmp_path / "rubbish.pem", key=tmp_path / "rubbish.pem")


def test_rsyslog_receives_every_record(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    server: Certified,
    authority: Authority,
    hub_certificate: Certified,
    tmp_path: Path,
) -> None:
    port, log = free_port(), tmp_path / "received"
    (tmp_path / "rsyslog.conf").write_text(
        f"""global(workDirectory="{tmp_path}" maxMessageSize="64k"
          defaultNetstreamDriver="ossl"
          defaultNetstreamDriverCAFile="{authority.file}"
          defaultNetstreamDriverCertFile="{server.certificate_file}"
          defaultNetstreamDriverKeyFile="{server.key_file}")
        module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1"
          streamDriver.authMode="x509/certvalid")
        input(type="imtcp" port="{port}" address="127.0.0.1")
        template(name="raw" type="string" string="%structured-data% %msgid% %msg%\\n")
        action(type="omfile" file="{log}" template="raw")
        """
    )
    command = [require_tool("rsyslogd"), "-n", "-f", str(tmp_path / "rsyslog.conf")]
    process = subprocess.Popen([*command, "-i", str(tmp_path / "pid")])
    try:
        write(25)
        own = {"certificate": hub_certificate.certificate_file, "key": hub_certificate.key_file}
        assert eventually(lambda: ship_to(port, **own).ship()) == 25

        def received() -> list[str]:
            return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

        lines = eventually(received, lambda found: len(found) >= 25)
    finally:
        process.terminate()
        process.wait(60)
    assert [int(line.partition('"')[2].partition('"')[0]) for line in lines] == list(range(1, 26))
    assert all(" IHE+RFC-3881 " in line and "</AuditMessage>" in line for line in lines)


def test_what_was_received_without_being_noted_is_sent_again(
    write: Callable[[int], None],
    ship_to: Callable[..., Shipping],
    database: Database,
    clock: FixedClock,
    receiver: Receiver,
) -> None:
    """As after a crash between receipt and note: here another process took over in that moment."""
    other = AuditCursor(database, clock, f"127.0.0.1:{receiver.port}")

    def take_over(_: ssl.SSLSocket, receiver: Receiver) -> bool:
        receiver.misdeed = None
        clock.advance(seconds=301)
        return other.hold() == 0

    receiver.misdeed = take_over
    write(3)
    assert ship_to(receiver.port).ship() == 0
    other.release()
    assert ship_to(receiver.port).ship() == 3
    assert sequences(receiver.messages) == [1, 2, 3, 1, 2, 3]


def test_a_hub_that_stops_waits_no_longer_for_an_acknowledgement(
    authority: Authority, receiver: Receiver
) -> None:
    """Here the receiver says goodbye at once, and then reads nothing of what was sent."""
    stopping, may_end = threading.Event(), threading.Event()

    def reads_nothing(connection: ssl.SSLSocket, _: Receiver) -> bool:
        connection.settimeout(0)
        with suppress(ssl.SSLError):  # it wants to read, or meets bytes sent meanwhile
            connection.unwrap()
        may_end.wait(60)
        return False

    receiver.misdeed = reads_nothing
    to = SyslogReceiver("127.0.0.1", receiver.port, authority.file, patience_s=60)
    timer = threading.Timer(0.5, stopping.set)
    began = time.monotonic()
    timer.start()
    try:
        with pytest.raises(AuditNotDeliveredError, match="the hub stops"):
            send_all([b"x" * UNREAD_BYTES], to, client_context(to), stopping)
        assert stopping.is_set()
        assert time.monotonic() - began < 30
    finally:
        may_end.set()
        timer.cancel()
        timer.join()
