"""What was answered with success is there: after SIGKILL at any moment, and after a power cut."""

import hashlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE

from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import read_settings
from image_archive.query import IndexQuery, Level
from tests.dicom_router.instances import ct, encoded, part10
from tests.flows.power_cut import TRACED, Disk
from tests.support.hub_process import START_S, HubProcess, start_router, traced
from tests.support.tools import require_tool

INSTANCES = 12
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
CONTROL = ("tests/flows/hasty_hub.py",)
_SENDING = re.compile(r"Sending file: (.*)$")
_SUCCESS = "Received Store Response (Success)"

# (moment, system call, its number since the sender came, in the first thread that comes so far:
# the association's or the one that settles). Before its answer one instance costs some
# reads, some writes to its spool file and one flush of it. After it, in groups: a copy, its flush
# or one of all, its rename, one flush of the folder, one transaction, one write that forgets the
# spool file.
KILL_POINTS: tuple[tuple[str, str, int], ...] = (
    ("accepting the next connection", "accept4", 1),
    ("accepting the association", "sendto", 1),
    ("first fragment", "recvfrom", 3),
    ("a fragment in the middle", "recvfrom", 15),
    ("writing the head of the first instance", "pwrite64", 1),
    ("writing its dataset", "pwrite64", 2),
    ("sealing its receipt", "pwrite64", 3),
    ("writing a later one", "pwrite64", 23),
    ("securing the first", "fdatasync", 1),
    ("securing the second, or publishing the first", "fdatasync", 2),
    ("securing or publishing a later one", "fdatasync", 7),
    ("committing or publishing", "fdatasync", 11),
    ("answering the first", "sendto", 2),
    ("just after the first answer", "setsockopt", 4),
    ("answering a later one", "sendto", 8),
    ("just after a later answer", "setsockopt", 14),
    ("creating the study's folder", "mkdir", 1),
    ("creating the first copy", "sendfile", 1),
    ("copying a later one", "sendfile", 4),
    ("flushing many at once", "syncfs", 1),
    ("first rename", "rename", 1),
    ("a later rename", "rename", 4),
    ("flushing the new folder's parent", "fsync", 1),
    ("flushing the folder of a group", "fsync", 2),
    ("writing one of the last, or rows", "pwrite64", 29),
    ("releasing the association", "sendto", 14),
)


@dataclass
class Sender:
    """storescu, and what it was promised: file → hash of its dataset."""

    folder: Path
    promised: dict[str, str] = field(default_factory=dict)

    def instances(self, number: int) -> list[Path]:
        """Twelve files of a study of their own."""
        study = f"1.2.826.0.1.3680043.10.1603.7.{number}"
        home = self.folder / str(number)
        home.mkdir(exist_ok=True)
        files = []
        for position in range(1, INSTANCES + 1):
            instance = ct(position, study, PixelData=bytes([position]) * 40_000)
            files.append(home / f"{position:03}.dcm")
            files[-1].write_bytes(part10(instance))
        return files

    def push(self, hub: HubProcess, files: list[Path]) -> set[str]:
        """Send `files`; return the UIDs that were acknowledged, whatever else happened."""
        command = ["storescu", "-v", "-to", "60", "-ta", "60", "-td", "60"]
        pushed = subprocess.run(
            [*command, "127.0.0.1", str(hub.port), *map(str, files)],
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * START_S,
        )
        acknowledged: set[str] = set()
        current = ""
        for line in (pushed.stdout + pushed.stderr).splitlines():
            sending = _SENDING.search(line)
            current = sending[1].strip() if sending else current
            if _SUCCESS in line:
                instance = dcmread(current)
                acknowledged.add(str(instance.SOPInstanceUID))
                self.promised[str(instance.SOPInstanceUID)] = _digest(encoded(instance))
        return acknowledged


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    require_tool("storescu")
    require_tool("strace")
    folder = tmp_path / "instances"
    folder.mkdir()
    return Sender(folder)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[HubProcess]]:
    """The hubs a test starts; none outlives it."""
    hubs: list[HubProcess] = []
    yield hubs
    for hub in hubs:
        if hub.process.poll() is None:
            hub.kill()


@pytest.mark.timeout(1800)  # many starts of a hub, on whatever machine
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_nothing_acknowledged_is_lost_whenever_the_hub_is_killed(
    tmp_path: Path, sender: Sender, started: list[HubProcess], every: int
) -> None:
    data = tmp_path / "data"
    hub = start_router(data)
    started.append(hub)
    for number, (moment, call, when) in enumerate(KILL_POINTS[::every]):
        files = sender.instances(number)
        with traced(hub, tmp_path / "kill.trace", "-e", f"trace={call}", *_kill(call, when)):
            acknowledged = sender.push(hub, files)
            assert _ending(hub) == -signal.SIGKILL, f"not killed: {moment}"
        hub = start_router(data)
        started.append(hub)
        assert acknowledged <= _findable(hub, _study_of(files[0])), moment
        assert len(sender.push(hub, files)) == INSTANCES, f"cannot be sent again: {moment}"
    hub.stop()
    assert _lost(data, sender) == []
    assert len(sender.promised) == INSTANCES * len(KILL_POINTS[::every])


def test_the_kill_test_can_fail(tmp_path: Path, sender: Sender, started: list[HubProcess]) -> None:
    """Control: a hub that answers before it has stored anything is caught."""
    data = tmp_path / "data"
    hub = start_router(data, program=(*CONTROL, "answers-early"))
    started.append(hub)
    files = sender.instances(0)
    with traced(hub, tmp_path / "kill.trace", "-e", "trace=sendto", *_kill("sendto", 9)):
        acknowledged = sender.push(hub, files)
    hub.process.wait(START_S)
    assert acknowledged
    hub = start_router(data)
    started.append(hub)
    assert not acknowledged <= _findable(hub, _study_of(files[0]))
    hub.stop()
    assert _lost(data, sender)


def test_what_only_the_spool_holds_is_finished_at_the_next_start(
    tmp_path: Path, sender: Sender, started: list[HubProcess]
) -> None:
    data, acknowledged, study = _killed_before_settling(tmp_path, sender, started)
    hub = start_router(data)
    started.append(hub)
    assert acknowledged == _findable(hub, study)
    hub.stop()
    assert _lost(data, sender) == []


def test_the_test_of_the_spool_can_fail(
    tmp_path: Path, sender: Sender, started: list[HubProcess]
) -> None:
    """Control: a hub that does not look into the spool at its start has lost the instance."""
    data, acknowledged, study = _killed_before_settling(tmp_path, sender, started)
    hub = start_router(data, program=(*CONTROL, "never-looks-back"))
    started.append(hub)
    assert acknowledged
    assert _findable(hub, study) == set()
    hub.stop()


def _killed_before_settling(
    folder: Path, sender: Sender, started: list[HubProcess]
) -> tuple[Path, set[str], str]:
    """Kill a hub that has answered one instance and published none.

    Publishing may overtake the answer; then nothing was promised, and it is tried once more.
    """
    data = folder / "data"
    for number in itertools.count():
        hub = start_router(data)
        started.append(hub)
        files = sender.instances(number)[:1]
        with traced(hub, folder / "kill.trace", "-e", "trace=sendfile", *_kill("sendfile", 1)):
            acknowledged = sender.push(hub, files)
            hub.process.wait(START_S)
        if acknowledged:
            break
    return data, acknowledged, _study_of(files[0])


def test_nothing_acknowledged_is_lost_by_a_power_cut(
    tmp_path: Path, sender: Sender, started: list[HubProcess]
) -> None:
    disk = _disk_after(start_router(tmp_path / "data"), tmp_path, sender, started)
    assert disk.acknowledged == INSTANCES
    assert disk.lost == []


def test_the_power_cut_test_can_fail(
    tmp_path: Path, sender: Sender, started: list[HubProcess]
) -> None:
    """Control: the same hub without its flushes would have lost what it acknowledged."""
    hub = start_router(tmp_path / "data", program=(*CONTROL, "never-flushes"))
    disk = _disk_after(hub, tmp_path, sender, started)
    assert disk.acknowledged == INSTANCES
    assert len(disk.lost) == INSTANCES


def test_the_power_cut_test_sees_a_spool_file_forgotten_too_early(
    tmp_path: Path, sender: Sender, started: list[HubProcess]
) -> None:
    """Control: without the flushes of folders what is published has no name after the cut."""
    hub = start_router(tmp_path / "data", program=(*CONTROL, "never-flushes-names"))
    disk = _disk_after(hub, tmp_path, sender, started)
    assert disk.acknowledged == INSTANCES
    assert disk.lost


def _disk_after(hub: HubProcess, folder: Path, sender: Sender, started: list[HubProcess]) -> Disk:
    """Receive twelve instances under a trace; return the modelled disk."""
    started.append(hub)
    trace = folder / "disk.trace"
    with traced(hub, trace, "-y", "-s", "256", "-e", f"trace={TRACED}"):
        files = sender.instances(0)
        assert len(sender.push(hub, files)) == INSTANCES
        assert len(_findable(hub, _study_of(files[0]))) == INSTANCES
    disk = Disk()
    disk.replay(trace.read_text(errors="replace").splitlines())
    return disk


def _ending(hub: HubProcess) -> int | None:
    try:
        return hub.process.wait(START_S)
    except subprocess.TimeoutExpired:
        return None


def _kill(call: str, when: int) -> tuple[str, str]:
    return "-e", f"inject={call}:signal=SIGKILL:when={when}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _study_of(file: Path) -> str:
    return str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def _findable(hub: HubProcess, study_instance_uid: str) -> set[str]:
    """The instances of a study that C-FIND shows."""
    entity = AE("FINDER")
    entity.add_requested_context(STUDY_ROOT_FIND, IMPLICIT)
    association = entity.associate("127.0.0.1", hub.port)
    assert association.is_established
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = study_instance_uid
    query.SOPInstanceUID = ""
    answers = list(association.send_c_find(query, STUDY_ROOT_FIND))
    association.release()
    assert answers[-1][0].Status == 0
    return {str(answer.SOPInstanceUID) for _, answer in answers if answer is not None}


def _lost(data: Path, sender: Sender) -> list[str]:
    """Promised instances that are missing or differ in any byte; the archive must agree."""
    lost = []
    with opened_hub(read_settings(data=data)) as hub:
        indexed = {
            match.instance.sop_instance_uid
            for match in hub.index.find(IndexQuery(Level.INSTANCE)).matches
            if match.instance is not None
        }
        for uid, digest in sender.promised.items():
            if uid not in indexed:
                lost.append(uid)
                continue
            with hub.archive.open_dataset(uid) as stored:
                if _digest(stored.read()) != digest:
                    lost.append(uid)
        assert hub.archive.verify(lambda _done, _all: None).ok
    assert not list((data / "archive" / "incoming").iterdir())
    return lost
