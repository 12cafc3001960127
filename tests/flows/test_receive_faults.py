"""Receiving while the world fails: full and broken disks, bad lines, wrong clocks, a crowd.

Beside `test_receive_durability`, which kills: here the hub lives on, says the truth, and nothing it
acknowledged is lost or changed. Every fault has a control, a hub that does not keep the promise.
"""

import hashlib
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.dicom_router.instances import ct, encoded
from tests.image_archive.datasets import kept_files
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.hub_process import START_S, HubProcess, start_router, traced
from tests.support.pushing import Sent, push
from tests.support.serving_hub import eirhub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

INSTANCES = 12
CONTROL = "tests/flows/hasty_hub.py"
FULL, STOPPED, CONFLICT = 0xA700, 0xA701, 0x0111


def series_of(number: int, *, size: int = 40_000, tint: int = 0) -> list[Sent]:
    """Twelve instances of a study of their own; another `tint` is other pixels."""
    study = f"1.2.826.0.1.3680043.10.1603.8.{number}"
    made = []
    for position in range(1, INSTANCES + 1):
        pixels = bytes([(position + tint) % 256]) * size
        instance = ct(position, study, PixelData=pixels)
        made.append(Sent(str(instance.SOPInstanceUID), encoded(instance)))
    return made


@dataclass
class Trial:
    """One data folder, the hubs that ran on it, and what they promised: UID → SHA-256."""

    data: Path
    started: list[HubProcess] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)
    database: Path | None = None

    def start(self, *settings: str, misdeed: str = "", **environment: str) -> HubProcess:
        program = (CONTROL, misdeed) if misdeed else ("-m", "hub_runtime.cli")
        hub = start_router(self.data, *settings, program=program, environment=environment)
        self.started.append(hub)
        return hub

    def send(self, port: int, instances: list[Sent], timeout_s: float = 60.0) -> dict[str, int]:
        """Push, and note what was acknowledged with success."""
        answered = push(port, instances, timeout_s=timeout_s)
        for sent in instances:
            if answered.get(sent.sop_instance_uid) == 0:
                assert isinstance(sent.dataset, bytes)
                digest = hashlib.sha256(sent.dataset).hexdigest()
                self.promised.setdefault(sent.sop_instance_uid, digest)
        return answered

    def rows(self, statement: str) -> list[tuple[str, ...]]:
        path = self.database or self.data / "eirhub.sqlite"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return database.execute(statement).fetchall()
        finally:
            database.close()

    def lost(self) -> list[str]:
        """Promised instances that are not there byte for byte, and what `verify` finds wrong."""
        stored = {}
        for uid, key in self.rows("SELECT sop_instance_uid, storage_key FROM instance"):
            file = self.data / "archive" / key
            if file.exists():
                stored[uid] = _dataset_digest(file.read_bytes())
        lost = [uid for uid, digest in self.promised.items() if stored.get(uid) != digest]
        verified = eirhub("archive", "verify", data=self.data)
        return lost + ([verified.stdout + verified.stderr] if verified.returncode else [])

    def temporary_files(self) -> list[Path]:
        kept = kept_files(self.data / "archive")
        return [path for path in kept if path.parent.name == "incoming"]

    def announced_in_temporary_files(self) -> set[str]:
        """UIDs in the file meta information of files not published; idle ones have none."""
        announced: set[str] = set()
        for path in self.temporary_files():
            with suppress(FileNotFoundError):
                head = path.read_bytes()[:1024]
                announced |= {uid.decode() for uid in re.findall(rb"[0-9.]{16,64}", head)}
        return announced


def _dataset_digest(file: bytes) -> str:
    meta = 132 + 12 + int.from_bytes(file[140:144], "little")
    return hashlib.sha256(file[meta:]).hexdigest()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path / "data")
    yield trial
    for hub in trial.started:
        if hub.process.poll() is None:
            hub.kill()


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


# How often each of forty senders sends: a thousand in all is the long form.
EACH = pytest.mark.parametrize("each", [3, pytest.param(25, marks=pytest.mark.long)])


def _crowd(trial: Trial, hub: HubProcess, variants: int, each: int) -> list[tuple[str, int]]:
    """Forty senders of one UID at once, each so often in a row; (digest, status) of each send."""
    kinds = [series_of(1, tint=variant)[0] for variant in range(variants)]

    def send(number: int) -> list[tuple[str, int]]:
        sent = kinds[number % variants]
        assert isinstance(sent.dataset, bytes)
        digest = hashlib.sha256(sent.dataset).hexdigest()
        statuses = []
        for _ in range(each):
            answered = push(hub.port, [sent], timeout_s=180.0)
            statuses.append((digest, answered[sent.sop_instance_uid]))
        return statuses

    with ThreadPoolExecutor(40) as pool:
        return [one for some in pool.map(send, range(40)) for one in some]


@EACH
def test_many_sends_of_one_instance_store_it_once(trial: Trial, each: int) -> None:
    hub = trial.start()
    answers = _crowd(trial, hub, 1, each)
    assert {status for _, status in answers} == {0}
    assert len(answers) == 40 * each
    hub.stop()
    assert trial.rows("SELECT count(*) FROM instance") == [(1,)]
    assert len([path for path in _objects(trial) if path.is_file()]) == 1


@EACH
def test_of_many_bytes_under_one_uid_exactly_one_is_acknowledged(trial: Trial, each: int) -> None:
    hub = trial.start()
    answers = _crowd(trial, hub, 8, each)
    hub.stop()
    acknowledged = {digest for digest, status in answers if status == 0}
    assert {status for _, status in answers} == {0, CONFLICT}
    assert len(acknowledged) == 1, "two senders were promised different bytes"
    assert trial.rows("SELECT dataset_sha256 FROM instance") == [tuple(acknowledged)]
    # The others are kept for a person, each once.
    kept = trial.rows("SELECT dataset_sha256 FROM quarantine")
    assert len(kept) == 7
    assert {row[0] for row in kept} == {digest for digest, _ in answers} - acknowledged


def test_the_crowd_test_can_fail(trial: Trial) -> None:
    """Control: a hub that matches by UID promises different bytes to several."""
    hub = trial.start(misdeed="matches-by-uid")
    answers = _crowd(trial, hub, 8, 1)
    assert len({digest for digest, status in answers if status == 0}) == 8


def _objects(trial: Trial) -> list[Path]:
    return list((trial.data / "archive" / "instances").rglob("*"))


# One conflicting instance costs writes to the spool, a copy, a flush, a rename, a flush of its
# folder, pages of the database's log, a flush of it, an answer.
CONFLICT_KILLS = (
    ("writing the other bytes", "pwrite64", 2),
    ("copying them", "sendfile", 1),
    ("flushing them", "fdatasync", 1),
    ("renaming them", "rename", 1),
    ("flushing their folder", "fsync", 1),
    ("writing the row", "pwrite64", 5),
    ("flushing the row", "fdatasync", 2),
    ("answering", "sendto", 2),
    ("after an answer", "recvfrom", 8),
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.long)])
def test_what_was_answered_as_a_conflict_is_kept_whenever_the_hub_is_killed(
    trial: Trial, tmp_path: Path, every: int
) -> None:
    require_tool("strace")
    hub = trial.start()
    for number, (moment, call, when) in enumerate(CONFLICT_KILLS[::every]):
        assert set(trial.send(hub.port, series_of(number)).values()) == {0}
        kill = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}")
        with traced(hub, tmp_path / "kill.trace", *kill):
            answered = push(hub.port, series_of(number, tint=100))
        assert hub.process.wait(START_S) == -signal.SIGKILL, f"not killed: {moment}"
        assert set(answered.values()) <= {CONFLICT}, moment
        hub = trial.start()
        kept = {row[0] for row in trial.rows("SELECT sop_instance_uid FROM quarantine")}
        assert set(answered) <= kept, moment
        again = push(hub.port, series_of(number, tint=100))
        assert list(again.values()) == [CONFLICT] * INSTANCES, moment
    hub.stop()
    counted = trial.rows("SELECT count(*), count(DISTINCT storage_key) FROM quarantine")
    assert counted == [(INSTANCES * len(CONFLICT_KILLS[::every]),) * 2]
    assert trial.lost() == []
