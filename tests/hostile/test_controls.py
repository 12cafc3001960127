"""Controls: the oracle sees every promise broken, and a stock pynetdicom server breaks them."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_router.wire import ASSOCIATE_AC, P_DATA, RawPeer, pdu
from tests.hostile.arena import Arena, TlsPeer, Trial, open_arena
from tests.hostile.cases_associations import crowd, endless, request
from tests.hostile.cases_registry import nobody_calls
from tests.hostile.misbehaving_hub import MISDEEDS
from tests.hostile.oracle import GROWTH_BYTES, peak_growth, watched
from tests.support.serving_hub import ROOT
from tests.support.tools import require_tool


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    program = (str(ROOT / "tests" / "hostile" / "misbehaving_hub.py"),)
    with open_arena(tmp_path_factory.mktemp("controls"), program=program) as arena:
        yield arena


# DIE comes last: nothing of the hub is left for another.
@pytest.mark.parametrize(
    ("title", "complaint"),
    [
        ("GROW", "memory grew"),
        ("WRITE", "written where nothing belongs: 'elsewhere'"),
        ("STALL", "an honest peer waited"),
        ("LEAK", "GEHEIMNAME in the log"),
        ("TRACE", "a traceback in the log"),
        ("MUTE", "no audit event"),
        ("DIE", "other processes run"),
    ],
)
def test_the_oracle_sees_a_broken_promise(misbehaving: Arena, title: str, complaint: str) -> None:
    trial = Trial(misbehaving, 1 + [*MISDEEDS, "MUTE"].index(title))
    with watched(misbehaving, trial, patience_s=5) as seen:
        request(calling=title.encode())(trial)
    assert any(complaint in found for found in seen.complaints), seen.complaints


def test_a_call_to_an_attackers_address_is_noticed() -> None:
    with pytest.raises(AssertionError, match="called"), nobody_calls() as address:
        host, _, port = address.split("/")[2].partition(":")
        socket.create_connection((host, int(port)), 30).close()


@dataclass(frozen=True)
class StockServer:
    """A stock server where the hub stands otherwise."""

    process: "subprocess.Popen[str]"
    dicom_port: int

    @property
    def hub(self) -> "StockServer":
        return self


@contextmanager
def stock_server(*arguments: str) -> Iterator[StockServer]:
    command = [sys.executable, "tests/hostile/stock_server.py", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield StockServer(process, int(process.stdout.readline().split()[1]))
        finally:
            process.kill()


@pytest.mark.parametrize("first", [b"\x01", b""], ids=["one byte", "silent"])
def test_a_stock_server_is_shut_by_a_crowd_that_the_hub_serves_beside(first: bytes) -> None:
    with stock_server() as server:
        trial = Trial(server, 1)  # type: ignore[arg-type]
        with pytest.raises(AssertionError, match="an honest peer waited"):
            crowd(first)(trial)


def test_a_stock_server_waits_for_one_silent_handshake(tmp_path: Path) -> None:
    made = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run([*made, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    with stock_server(str(both)) as server:
        with TlsPeer(server.dicom_port, 10.0, authority=certificate) as peer:
            assert peer.associate()[0] == ASSOCIATE_AC  # alone, it is served
        with RawPeer(server.dicom_port), pytest.raises(TimeoutError):
            TlsPeer(server.dicom_port, 2.0, authority=certificate).__enter__()


def test_a_stock_server_takes_the_memory_that_a_false_length_promises() -> None:
    attack: Callable[[Trial], str] = endless(pdu(P_DATA, b"", 600 << 20), associated=True)
    with stock_server() as server:
        growth = peak_growth(server)  # type: ignore[arg-type]
        with pytest.raises((AssertionError, TimeoutError)):
            attack(Trial(server, 1, patience_s=2.0))  # type: ignore[arg-type]
        assert growth() > GROWTH_BYTES
