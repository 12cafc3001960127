"""Receiving costs the same memory whatever comes: many instances, or one very large one."""

import struct
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hostile.datasets import short, slice_of, text
from tests.hostile.oracle import GROWTH_BYTES
from tests.support.hub_process import HubProcess, start_router
from tests.support.pushing import Sent, push
from tests.support.waiting import eventually

ROOT = "1.2.826.0.1.3680043.10.1603.9"
_PIECE = bytes(100_000)
# Their short form is tests/flows/test_receive_memory.py.
pytestmark = pytest.mark.long
MANY = [
    pytest.param(2_000, id="2000"),
    pytest.param(250_000, id="250000", marks=pytest.mark.timeout(7200)),
]
LARGE = [
    pytest.param(256, id="256 MB"),
    pytest.param(2047, id="2 GB", marks=pytest.mark.timeout(1800)),
]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    hub = start_router(tmp_path / "data")
    yield hub
    hub.stop()


def _send(hub: HubProcess, first: int, count: int) -> None:
    """Send `count` slices, two hundred to a study."""
    for start in range(first, first + count, 200):
        study = f"{ROOT}.{start}"
        instances = [Sent(f"{study}.1.{n}", slice_of(study, n)) for n in range(1, 201)]
        answered = push(hub.port, instances)
        assert set(answered.values()) == {0}
        assert len(answered) == 200


def _resident(hub: HubProcess) -> int:
    return int(psutil.Process(hub.process.pid).memory_info().rss)


@pytest.mark.parametrize("count", MANY)
def test_memory_is_flat_over_many_instances(hub: HubProcess, count: int) -> None:
    _send(hub, 0, 1_000)  # what grows to its size once: caches, pools, the database's own
    before = _resident(hub)
    _send(hub, 1_000, count)
    grown = _resident(hub) - before
    assert grown < 16 << 20, f"{grown / count:.0f} bytes an instance"


@pytest.mark.parametrize("megabytes", LARGE)
def test_one_large_instance_costs_little_memory(hub: HubProcess, megabytes: int) -> None:
    """Frames of zeros, generated as they are sent, so that the test need not hold them either."""
    frames = megabytes << 20 >> 21
    uid = f"{ROOT}.1.1"
    head = slice_of(
        ROOT,
        1,
        (
            text(0x00080018, b"UI", uid),
            text(0x00280008, b"IS", str(frames)),
            *(short(tag, 1024) for tag in (0x00280010, 0x00280011)),
        ),
        without=(0x7FE00010,),
    )
    length = frames << 21
    head += struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)
    _send(hub, 2, 200)
    process = psutil.Process(hub.process.pid)
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    before = process.memory_info().rss
    assert push(hub.port, [Sent(uid, _stream(head, length))], timeout_s=600) == {uid: 0}
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak - before < GROWTH_BYTES, f"{(peak - before) >> 20} MiB"
    eventually(lambda: _resident(hub) - before < GROWTH_BYTES)


def _stream(head: bytes, length: int) -> Iterator[bytes]:
    yield head
    for at in range(0, length, len(_PIECE)):
        yield _PIECE[: length - at]
