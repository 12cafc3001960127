"""A cine of 512 frames over a real connection: each as stored, never all of them in memory."""

import http.client
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from access_control.model import Role
from hub_kernel.settings import WebSettings
from hub_runtime.http_server import HttpServer
from tests.support.waiting import WAIT_S
from tests.viewer_api.region import Shown, new_hub, sample, store, web_app

ROOT = "1.2.826.0.1.3680043.10.1717.80"
FRAMES, EDGE = 512, 256
FRAME_BYTES = EDGE * EDGE


def _frame(number: int) -> bytes:
    return number.to_bytes(2, "little") * (FRAME_BYTES // 2)


@dataclass(frozen=True)
class Cine:
    """The cine, the port at which it is asked for, and what lets in."""

    shown: Shown
    port: int
    token: str

    def ask(self, connection: http.client.HTTPConnection, frames: str) -> http.client.HTTPResponse:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        }
        connection.request("GET", f"{self.shown.url}/frames/{frames}", headers=headers)
        return connection.getresponse()


@pytest.fixture(scope="module")
def cine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cine]:
    folder: Path = tmp_path_factory.mktemp("cine")
    hub = new_hub(folder)
    uids = {"StudyInstanceUID": ROOT, "SeriesInstanceUID": f"{ROOT}.1"}
    made = sample("CT_small.dcm", **uids, SOPInstanceUID=f"{ROOT}.1.1", PatientID="LONG80")
    made.Rows = made.Columns = EDGE
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation, made.NumberOfFrames = 7, 0, FRAMES
    made.PixelData = b"".join(_frame(number) for number in range(1, FRAMES + 1))
    made["PixelData"].VR = "OB"
    shown = store(hub, "sijing", made)
    end = datetime.now(UTC) + timedelta(days=1)
    token = hub.access.tokens.create("cine", [Role.RADIOLOGIST], ["sijing"], end)
    server = HttpServer(web_app(hub), WebSettings(port=0))
    try:
        yield Cine(shown, int(server.start().rpartition(":")[2]), token)
    finally:
        server.stop()
        hub.close()


def _bodies(answer: http.client.HTTPResponse, count: int) -> Iterator[bytes]:
    """Read one part after the other."""
    assert answer.status == 200
    for _ in range(count):
        assert answer.readline() == b"\r\n"
        while answer.readline() != b"\r\n":
            pass
        yield answer.read(FRAME_BYTES)
    assert answer.read().endswith(b"--\r\n")


def test_every_frame_arrives_while_few_are_held(cine: Cine) -> None:
    numbers = range(1, FRAMES + 1)
    with closing(http.client.HTTPConnection("127.0.0.1", cine.port, timeout=WAIT_S)) as connection:
        tracemalloc.start()
        try:
            answer = cine.ask(connection, ",".join(map(str, numbers)))
            for number, body in zip(numbers, _bodies(answer, FRAMES), strict=True):
                assert body == _frame(number)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < FRAMES * FRAME_BYTES / 2


def test_frames_are_scrolled_on_one_connection(cine: Cine) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", cine.port, timeout=WAIT_S)) as connection:
        for number in (1, FRAMES, 300, 7, 7):
            assert list(_bodies(cine.ask(connection, str(number)), 1)) == [_frame(number)]
            assert connection.sock is not None, "the connection has ended with the answer"
        answer = cine.ask(connection, str(FRAMES + 1))
        assert (answer.status, bool(answer.read())) == (404, True)
