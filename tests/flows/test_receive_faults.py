"""Receiving while the world fails: full and broken disks, bad lines, wrong clocks.

Beside `test_receive_durability`, which kills: here the hub lives on, says the truth, and nothing it
acknowledged is lost or changed. Every fault has a control, a hub that does not keep the promise.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.flows.receiving_trial import (
    CONFLICT,
    FULL,
    INSTANCES,
    STOPPED,
    Trial,
    series_of,
    trial_in,
)
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.hub_process import HubProcess, traced
from tests.support.pushing import push
from tests.support.serving_hub import eirhub
from tests.support.tools import require_tool
from tests.support.waiting import eventually


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with trial_in(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path, trial: Trial) -> Iterator[Path]:
    """A file system of 48 MiB under the data folder, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs: run as root in a container that allows it")
    trial.data = folder / "data"
    yield folder
    for hub in trial.started:
        if hub.process.poll() is None:
            hub.kill()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path, trial: Trial, hub: HubProcess) -> dict[str, int]:
    """Leave two megabytes on the disk and send twelve."""
    free = int(psutil.disk_usage(str(disk)).free)
    (disk / "ballast").write_bytes(bytes(free - (2 << 20)))
    return trial.send(hub.port, series_of(1, size=1_000_000))


def test_a_full_disk_is_told_truthfully_and_passes(trial: Trial, small_disk: Path) -> None:
    hub = trial.start("archive.min_free_bytes=0")
    assert set(trial.send(hub.port, series_of(0)).values()) == {0}
    answered = _fill(small_disk, trial, hub)
    assert set(answered.values()) == {0, FULL}, answered
    # What was acknowledged may wait in the spool for room; of what was refused nothing is left.
    refused = {uid for uid, status in answered.items() if status == FULL}
    assert not refused & trial.announced_in_temporary_files()
    (small_disk / "ballast").unlink()
    assert list(trial.send(hub.port, series_of(1, size=1_000_000)).values()) == [0] * INSTANCES
    hub.stop()
    assert trial.temporary_files() == []
    assert trial.lost() == []


def test_the_full_disk_test_can_fail(trial: Trial, small_disk: Path) -> None:
    """Control: a hub that goes on after a failed write promises what it has not got."""
    # Its database lies elsewhere: one that is full too would refuse whatever the hub does.
    trial.database = small_disk.with_name("elsewhere.sqlite")
    settings = ("archive.min_free_bytes=0", f"database.url=sqlite:///{trial.database}")
    hub = trial.start(*settings, misdeed="ignores-errors")
    answered = _fill(small_disk, trial, hub)
    assert FULL not in answered.values()
    hub.kill()
    (small_disk / "ballast").unlink()
    assert trial.lost()


_FLUSHES = "fsync,fdatasync,syncfs"
_EIO = ("-e", f"trace={_FLUSHES}", "-e", f"inject={_FLUSHES}:error=EIO:when=9+")


def test_a_flush_that_fails_ends_all_acknowledging(trial: Trial, tmp_path: Path) -> None:
    require_tool("strace")
    hub = trial.start()
    with traced(hub, tmp_path / "eio.trace", *_EIO):
        answered = trial.send(hub.port, series_of(1))
        assert set(answered.values()) == {0, STOPPED}, answered
    # The disk is well again; what failed once is not believed before the restart (fsyncgate).
    assert set(trial.send(hub.port, series_of(2)).values()) == {STOPPED}
    hub.stop()
    hub = trial.start()
    assert set(trial.send(hub.port, series_of(1) + series_of(2)).values()) == {0}
    hub.stop()
    assert trial.lost() == []


def test_the_failing_flush_test_can_fail(trial: Trial, tmp_path: Path) -> None:
    """Control: a hub that does not look at what the flush said acknowledges everything."""
    require_tool("strace")
    hub = trial.start(misdeed="ignores-errors")
    # The bytes alone: the database looks at its own flushes whatever the hub does.
    only_files = ("-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1+")
    with traced(hub, tmp_path / "eio.trace", *only_files):
        assert set(trial.send(hub.port, series_of(1)).values()) == {0}


# Of some 485,000 bytes that the sender writes: the request, a command, the first and a later
# dataset; of the 2,000 it reads: the acceptance, the first and a later answer.
HARMED = [
    (kind, towards, after)
    for kind in (FaultKind.CUT, FaultKind.RESET, FaultKind.STALL)
    for towards, positions in (("server", (20, 260, 2_000, 200_000)), ("client", (5, 200, 900)))
    for after in positions
]


def test_whatever_happens_to_the_line_what_was_acknowledged_is_there(trial: Trial) -> None:
    hub = trial.start("router.idle_timeout_s=5", "router.association_timeout_s=5")
    with ChaosProxy(("127.0.0.1", hub.port)) as proxy:
        for number, (kind, towards, after) in enumerate(HARMED):
            what = f"{kind} towards {towards} after {after}"
            proxy.plan([Fault(kind, after, towards)])
            before = proxy.injected
            instances = series_of(number)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(trial.send, proxy.port, instances)
                eventually(lambda: proxy.injected > before or sending.done())  # noqa: B023 (awaited)
                if kind is FaultKind.STALL:
                    proxy.give_up()  # as a sender does that hears nothing any more
                answered = sending.result()
            assert proxy.injected == before + 1, f"not harmed: {what}"
            assert len(answered) < INSTANCES, what
            again = trial.send(proxy.port, instances)
            assert list(again.values()) == [0] * INSTANCES, what
    eventually(lambda: not trial.temporary_files())
    hub.stop()
    assert trial.lost() == []
    assert len(trial.promised) == INSTANCES * len(HARMED)


def test_the_line_test_can_fail(trial: Trial) -> None:
    """Control: a hub that keeps nothing before the association has ended in order."""
    hub = trial.start(misdeed="stores-at-release")
    with ChaosProxy(("127.0.0.1", hub.port)) as proxy:
        proxy.plan([Fault(FaultKind.CUT, 200_000)])
        assert trial.send(proxy.port, series_of(1))
    hub.stop()
    assert trial.lost()


# A byte of a PDU's length, of a PDV's header, of a command, of a dataset's structure.
CHANGED = (3, 74, 221, 226, 232, 240, 300, 420, 436, 450, 500)


def test_a_byte_changed_on_the_line_never_stays_unnoticed(trial: Trial) -> None:
    """Plain DICOM has no checksum: a changed value is kept as it came until the true one comes."""
    hub = trial.start("router.idle_timeout_s=1.5", "router.association_timeout_s=1.5")
    with ChaosProxy(("127.0.0.1", hub.port)) as proxy:
        for number, after in enumerate(CHANGED):
            instances = series_of(number)
            proxy.plan([Fault(FaultKind.CORRUPT, after)])
            harmed = push(proxy.port, instances)
            assert proxy.injected == number + 1
            answered = trial.send(hub.port, instances)
            changed = {uid for uid, status in answered.items() if status}
            assert len(changed) <= 1, after
            assert all(answered[uid] == CONFLICT and harmed[uid] == 0 for uid in changed), after
    hub.stop()
    assert trial.lost() == []


def test_a_byte_changed_in_the_pixels_shows_when_the_instance_comes_again(trial: Trial) -> None:
    """Control of the test above: there is a change that only the second sending reveals."""
    hub = trial.start()
    instances = series_of(1)
    with ChaosProxy(("127.0.0.1", hub.port)) as proxy:
        proxy.plan([Fault(FaultKind.CORRUPT, 30_000)])
        assert set(push(proxy.port, instances).values()) == {0}
    answered = trial.send(hub.port, instances)
    assert sorted(answered.values()) == [0] * (INSTANCES - 1) + [CONFLICT]


@pytest.mark.parametrize("years", [pytest.param("+1y", marks=pytest.mark.long), "-1y"])
def test_a_clock_a_year_off_loses_nothing_and_delays_nothing(
    trial: Trial, tmp_path: Path, years: str
) -> None:
    """Received under a right clock, then a wrong one, then a right one again, across crashes."""
    library = _faketime_library()
    clock = tmp_path / "clock"
    faked = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    clock.write_text("+0")
    hub = trial.start(**faked)
    for number, offset in enumerate(("+0", years, "+0")):
        clock.write_text(offset)  # set while the hub runs, as a time server would
        assert set(trial.send(hub.port, series_of(number)).values()) == {0}
        hub.kill()
        hub = trial.start(**faked)
        assert set(trial.send(hub.port, series_of(number)).values()) == {0}
    days = {row[0][:4] for row in trial.rows("SELECT received_at FROM study")}
    assert len(days) == 2, "the control: the clock was never wrong"
    hub.stop()
    assert trial.lost() == []
    assert eirhub("audit", "verify", data=trial.data).returncode == 0


def _faketime_library() -> str:
    require_tool("faketime")
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))
