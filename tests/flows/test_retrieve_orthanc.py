"""Orthanc as a client: C-FIND, C-MOVE to itself, C-STORE followed by storage commitment.

Asking by C-GET is missing: the 1.10 of Debian 12 cannot, later versions can.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.dicom_router.conftest import running_node
from tests.dicom_router.instances import STUDY, ct, part10
from tests.dicom_router.retrieving import store
from tests.support.ports import free_port
from tests.support.tools import require_tool
from tests.support.waiting import eventually


@contextmanager
def orthanc(folder: Path, dicom_port: int, hub_port: int) -> Iterator[str]:
    """Orthanc as the AE title WS1, knowing the hub as a modality; the root of its REST API."""
    http_port = free_port()
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "WS1",
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "DicomModalities": {"hub": ["EIRHUB", "127.0.0.1", hub_port]},
        "Plugins": [],
    }
    (folder / "storage").mkdir(parents=True)
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    process = subprocess.Popen(
        [require_tool("Orthanc"), str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    root = f"http://127.0.0.1:{http_port}"
    try:
        eventually(lambda: _answers(root))
        yield root
    finally:
        process.terminate()
        process.wait()


def _answers(root: str) -> bool:
    try:
        return requests.get(f"{root}/system", timeout=60).ok
    except requests.RequestException:
        return False


def post(url: str, body: Any) -> Any:
    answer = requests.post(
        url, data=body if isinstance(body, str) else json.dumps(body), timeout=60
    )
    assert answer.ok, answer.text
    return answer.json()


def test_orthanc_finds_a_study_and_has_it_moved_to_itself(tmp_path: Path) -> None:
    dicom_port = free_port()
    row = {"name": "orthanc", "ae_title": "WS1", "host": "127.0.0.1", "port": dicom_port}
    with running_node(tmp_path, destinations=(row,), idle_timeout_s=30.0) as hub:
        store(hub, ct(1), ct(2), ct(3))
        with orthanc(tmp_path / "orthanc", dicom_port, hub.port) as root:
            query = post(
                f"{root}/modalities/hub/query",
                {"Level": "Study", "Query": {"StudyInstanceUID": STUDY}},
            )
            post(f"{root}/queries/{query['ID']}/retrieve", "WS1")
            kept = requests.get(f"{root}/instances?expand", timeout=30).json()
    uids = {one["MainDicomTags"]["SOPInstanceUID"] for one in kept}
    assert uids == {f"{STUDY}.1.{number}" for number in (1, 2, 3)}


def test_orthanc_stores_and_is_told_what_the_hub_keeps_for_it(tmp_path: Path) -> None:
    """It asks for storage commitment after its C-STOREs; the report comes on the hub's own call."""
    dicom_port, study = free_port(), f"{STUDY}.61"
    row = {"name": "orthanc", "ae_title": "WS1", "host": "127.0.0.1", "port": dicom_port}
    with running_node(tmp_path, destinations=(row,), idle_timeout_s=30.0) as hub:
        with orthanc(tmp_path / "orthanc", dicom_port, hub.port) as root:
            sent = [ct(number, study) for number in (1, 2)]
            taken = [
                requests.post(f"{root}/instances", data=part10(one), timeout=30).json()["ID"]
                for one in sent
            ]
            told = post(
                f"{root}/modalities/hub/store",
                {"Resources": taken, "Synchronous": True, "StorageCommitment": True},
            )
            report = f"{root}/storage-commitment/{told['StorageCommitmentTransactionUID']}"

            def ended() -> bool:
                return bool(requests.get(report, timeout=30).json()["Status"] != "Pending")

            eventually(ended)
            said = requests.get(report, timeout=30).json()
        kept = {one.sop_instance_uid for one in hub.parts.index.instances_of(study)}
    uids = {str(one.SOPInstanceUID) for one in sent}
    assert kept == uids
    assert said["Status"] == "Success"
    assert {one["SOPInstanceUID"] for one in said["Success"]} == uids
    assert said["Failures"] == []
