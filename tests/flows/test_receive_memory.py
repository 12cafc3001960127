"""Memory does not grow: not with the number of instances received, not with the size of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_router.instances import ct, encoded
from tests.support.hub_process import HubProcess, start_router
from tests.support.pushing import Sent, push

MEGABYTE = 1 << 20
STUDY = "1.2.826.0.1.3680043.10.1603.9"
EDGE = 512
FRAME = EDGE * EDGE * 2


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    hub = start_router(tmp_path / "data")
    yield hub
    hub.stop()


def instances(first: int, count: int) -> Iterator[Sent]:
    """Small instances; every thousand share a study. Made without pydicom, which is slow."""
    template = encoded(ct(1, f"{STUDY}.1000000", SOPInstanceUID=f"{STUDY}.1.1000000"))
    study, own = f"{STUDY}.1000000".encode(), f"{STUDY}.1.1000000".encode()
    for number in range(first, first + count):
        sop_instance_uid = f"{STUDY}.1.{1_000_001 + number}"
        data = template.replace(own, sop_instance_uid.encode())
        data = data.replace(study, f"{STUDY}.{1_000_001 + number // 1000}".encode())
        yield Sent(sop_instance_uid, data)


def large(frames: int) -> Sent:
    """One multi-frame instance that is never whole in this process either."""
    instance = ct(1, STUDY, Rows=EDGE, Columns=EDGE, NumberOfFrames=frames, PixelData=bytes(2))
    whole = encoded(instance)
    head = whole[:-6] + (frames * FRAME).to_bytes(4, "little")
    frame = bytes(range(256)) * (FRAME // 256)

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(frames):
            for start in range(0, FRAME, 65_536):
                yield frame[start : start + 65_536]

    return Sent(str(instance.SOPInstanceUID), pieces())


def resident(hub: HubProcess, what: str) -> int:
    status = Path(f"/proc/{hub.process.pid}/status").read_text(encoding="ascii", errors="replace")
    (line,) = [line for line in status.splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def growth(hub: HubProcess, sent: Sent) -> int:
    """Send one instance; return how far memory rose above what it was at its highest."""
    assert set(push(hub.port, instances(0, 50)).values()) == {0}
    Path(f"/proc/{hub.process.pid}/clear_refs").write_text("5", encoding="ascii")
    before = resident(hub, "VmRSS")
    assert push(hub.port, [sent], timeout_s=600.0) == {sent.sop_instance_uid: 0}
    return resident(hub, "VmHWM") - before


def growth_over(hub: HubProcess, first: int, more: int) -> int:
    """Send `first` instances, then `more`; return how much memory the latter cost."""
    assert set(push(hub.port, instances(0, first)).values()) == {0}
    before = resident(hub, "VmRSS")
    answers = push(hub.port, instances(first, more))
    assert len(answers) == more
    assert set(answers.values()) == {0}
    return resident(hub, "VmRSS") - before


def test_memory_is_flat_over_many_instances(hub: HubProcess) -> None:
    assert growth_over(hub, 600, 1400) < 16 * MEGABYTE


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_memory_is_flat_over_a_quarter_of_a_million_instances(hub: HubProcess) -> None:
    assert growth_over(hub, 10_000, 240_000) < 48 * MEGABYTE


def test_an_instance_much_larger_than_the_limit_costs_little_memory(hub: HubProcess) -> None:
    assert growth(hub, large(320)) < 64 * MEGABYTE  # 160 MB


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_instance_of_two_gigabytes_costs_little_memory(hub: HubProcess) -> None:
    assert growth(hub, large(4000)) < 64 * MEGABYTE


def test_the_measure_sees_memory_that_is_held(hub: HubProcess) -> None:
    """Control: what the hub's process holds is what is looked at."""
    assert resident(hub, "VmHWM") >= resident(hub, "VmRSS") > 30 * MEGABYTE
