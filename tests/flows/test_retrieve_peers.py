"""Retrieval and commitment with programs nobody here wrote, and with a hub that is killed."""

import io
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_router.model import Caller
from image_archive.model import IncomingHeader
from tests.dicom_router.conftest import TOWNSHIP, Hub, running_node
from tests.dicom_router.instances import STUDY, ct, encoded
from tests.dicom_router.retrieving import store
from tests.dicom_router.test_commitment import HERE, ask_and_leave, listening
from tests.dicom_router.wire import CT, EXPLICIT
from tests.support.ports import free_port
from tests.support.serving_hub import eirhub, running_hub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

MB = 1024 * 1024


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env=environment,
    )


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """DCMTK's storage SCP on a free port, writing to `folder`."""
    port = free_port()
    command = [require_tool("storescp"), "--output-directory", folder, "+B", "-aet", "DEST", port]
    process = subprocess.Popen(
        [str(one) for one in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: run(require_tool("echoscu"), "127.0.0.1", port).returncode == 0)
        yield port
    finally:
        process.terminate()
        process.wait()


def received(folder: Path) -> dict[str, bytes]:
    """Pixels by SOP Instance UID of what a peer has kept."""
    found = [dcmread(path) for path in folder.iterdir() if path.is_file()]
    return {str(one.SOPInstanceUID): one.PixelData for one in found}


def test_movescu_has_a_study_sent_to_storescp(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with storescp(kept) as port:
        row = {"name": "dest", "ae_title": "DEST", "host": "127.0.0.1", "port": port}
        with running_node(tmp_path, destinations=(row,), idle_timeout_s=20.0) as hub:
            store(hub, ct(1), ct(2))
            call = (require_tool("movescu"), "-S", "-aet", "WS1", "-aec", "EIRHUB")
            keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
            done = run(*call, "-aem", "DEST", *keys, "127.0.0.1", hub.port)
            unknown = run(*call, "-v", "-aem", "ELSEWHERE", *keys, "127.0.0.1", hub.port)
    assert done.returncode == 0, done.stderr
    assert received(kept) == {f"{STUDY}.1.{n}": ct(n).PixelData for n in (1, 2)}
    assert "MoveDestinationUnknown" in unknown.stdout + unknown.stderr


def test_getscu_gets_a_study(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with running_node(tmp_path, idle_timeout_s=20.0) as hub:
        store(hub, ct(1), ct(2))
        done = run(
            require_tool("getscu"), "-S", "-aet", "WS1", "-aec", "EIRHUB", "-od", kept,
            "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}",
            "127.0.0.1", hub.port,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert received(kept) == {f"{STUDY}.1.{n}": ct(n).PixelData for n in (1, 2)}


def archive_large(hub: Hub, megabytes: int) -> Dataset:
    """Archive one multi-frame instance of that size, piece by piece; return its header."""
    header = ct(1, NumberOfFrames=str(megabytes), Rows=512, Columns=1024, PixelData=b"")
    head = encoded(header)[:-12]
    length = (megabytes * MB).to_bytes(4, "little")
    with hub.parts.archive.incoming(
        IncomingHeader(
            CT,
            str(header.SOPInstanceUID),
            EXPLICIT,
            Caller(TOWNSHIP, "CT1", "EIRHUB", "127.0.0.1").origin,
        )
    ) as incoming:
        incoming.write(head + b"\xe0\x7f\x10\x00OW\0\0" + length)
        for number in range(megabytes):
            incoming.write(bytes([number % 256]) * MB)
        incoming.commit()
    return header


@pytest.mark.parametrize("megabytes", [256, pytest.param(2047, marks=pytest.mark.long)])
def test_a_large_instance_is_got_in_little_memory(tmp_path: Path, megabytes: int) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with running_node(tmp_path, idle_timeout_s=60.0) as hub:
        archive_large(hub, megabytes)
        process, peak, done = psutil.Process(), [0], threading.Event()
        before = process.memory_info().rss

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        got = run(
            require_tool("getscu"), "-S", "-aet", "WS1", "-aec", "EIRHUB", "-od", kept, "+B",
            "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}",
            "127.0.0.1", hub.port,
        )  # fmt: skip
        done.set()
        watcher.join()
    assert got.returncode == 0, got.stderr
    (path,) = kept.iterdir()
    assert path.stat().st_size > megabytes * MB
    with path.open("rb") as file:
        file.seek(-2, io.SEEK_END)
        assert file.read() == bytes([(megabytes - 1) % 256]) * 2
    assert peak[0] - before < 64 * MB


def test_a_hub_killed_between_request_and_report_reports_after_its_restart(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with listening() as requester:
        table = f'[{{name="ct1", ae_title="CT1", host="127.0.0.1", port={requester.port}}}]'
        added = eirhub(
            "site", "add", "one", "--name", "One", "--ae-title", "CT1",
            "--network", "127.0.0.0/8", "--namespace", "ONE", "--oid", "1.2.3.9", data=data,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        with running_hub(data) as hub:
            ask_and_leave(hub.dicom_port, "1.2.9.77", HERE)
            hub.kill()
        assert requester.heard == []
        with running_hub(data, f"router.destinations={table}"):
            eventually(lambda: len(requester.heard) == 1)
    event_type, information = requester.heard[0]
    assert (event_type, information.TransactionUID) == (2, "1.2.9.77")
