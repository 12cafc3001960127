"""Clients and archives nobody here wrote: pynetdicom's applications, DCMTK's dcmqrscp.

DCMTK's clients and Orthanc have files of their own (`test_retrieve_peers.py`,
`test_retrieve_orthanc.py`). GDCM's gdcmscu does its work and then aborts while it closes the
connection ("ProtocolStream as nullptr is invalid"), with DCMTK's storescp as with the hub: what it
has done is asked of the hub.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import files
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import ct, part10
from tests.dicom_router.retrieving import store
from tests.support.query_archives import QueryArchive, dcmqrscp, pynetdicom_qrscp
from tests.support.waiting import eventually

ROOT = "1.2.826.0.1.3680043.10.1603.61"
PYNETDICOM = f"{ROOT}.2"
GDCM = f"{ROOT}.3"
PATIENT = "CLIENTS-61"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[QueryArchive]]:
    folder = tmp_path_factory.mktemp("archives")
    with ExitStack() as stack:
        yield [
            stack.enter_context(start(folder / name))
            for name, start in (("dcmqrscp", dcmqrscp), ("qrscp", pynetdicom_qrscp))
        ]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, archives: list[QueryArchive]) -> Iterator[Hub]:
    destinations = tuple(
        {"name": one.ae_title, "ae_title": one.ae_title, "host": "127.0.0.1", "port": one.port}
        for one in archives
    )
    folder = tmp_path_factory.mktemp("hub")
    with running_node(folder, destinations=destinations, idle_timeout_s=60.0) as hub:
        yield hub


def run(*command: object) -> str:
    """Run a client to its good end; return all it said."""
    done = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def files_of(folder: Path, study: str) -> list[Path]:
    files = [folder / f"{number}.dcm" for number in (1, 2)]
    for number, file in enumerate(files, start=1):
        file.write_bytes(part10(ct(number, study, PatientID=PATIENT)))
    return files


def archived(hub: Hub, study: str) -> set[str]:
    return {one.sop_instance_uid for one in hub.parts.index.instances_of(study)}


def uids(files: list[Path]) -> set[str]:
    return {str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files}


def app(hub: Hub, name: str, *arguments: object) -> str:
    """Run one of pynetdicom's applications against the hub."""
    titles = ("-aet", "CT1", "-aec", "EIRHUB")
    address = ("127.0.0.1", hub.port)
    return run(sys.executable, "-m", "pynetdicom", name, *address, *arguments, *titles)


def test_pynetdicom_stores_finds_and_gets(hub: Hub, tmp_path: Path) -> None:
    app(hub, "echoscu")
    files = files_of(tmp_path, PYNETDICOM)
    app(hub, "storescu", *files)
    assert archived(hub, PYNETDICOM) == uids(files)
    study = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={PYNETDICOM}")
    found = app(hub, "findscu", "-S", *study, "-k", "NumberOfStudyRelatedInstances=")
    assert PYNETDICOM in found
    kept = tmp_path / "kept"
    kept.mkdir()
    app(hub, "getscu", "-S", *study, "-od", kept)
    assert {str(one.SOPInstanceUID): one.PixelData for one in map(dcmread, kept.iterdir())} == {
        str(one.SOPInstanceUID): one.PixelData for one in map(dcmread, files)
    }


def gdcmscu(hub: Hub, *arguments: object) -> None:
    """Run GDCM's client, whose exit code says nothing."""
    (program,) = (file for file in files("python-gdcm") or () if str(file) == "_gdcm/gdcmscu")
    titles = ("--aetitle", "CT1", "--call", "EIRHUB")
    command = [program.locate(), *arguments, "127.0.0.1", hub.port, *titles]
    subprocess.run([str(one) for one in command], capture_output=True, check=False, timeout=600)


def test_gdcmscu_stores_and_asks(hub: Hub, tmp_path: Path) -> None:
    for file in files_of(tmp_path, GDCM):
        gdcmscu(hub, "--store", "-i", file)
    eventually(lambda: archived(hub, GDCM) == uids(sorted(tmp_path.iterdir())))
    gdcmscu(hub, "--find", "--studyroot", "--study", "--key", f"20,d={GDCM}")
    asked = hub.await_audit(lambda one: one.action == "query")
    assert (asked.outcome, asked.detail) == ("success", "C-FIND STUDY: 1 answers")


@pytest.mark.parametrize("number", [0, 1], ids=["dcmqrscp", "qrscp of pynetdicom"])
def test_what_movescu_of_pynetdicom_asks_for_arrives_in_another_archive(
    hub: Hub, archives: list[QueryArchive], number: int
) -> None:
    archive, study = archives[number], f"{ROOT}.4.{number}"
    sent = [ct(1, study), ct(2, study)]
    store(hub, *sent)
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    app(hub, "movescu", "-S", *keys, "-aem", archive.ae_title)
    eventually(lambda: kept_of(archive, study) == pixels(sent))


def kept_of(archive: QueryArchive, study: str) -> dict[str, bytes]:
    return pixels([one for one in archive.instances().values() if one.StudyInstanceUID == study])


def pixels(instances: list[Dataset]) -> dict[str, bytes]:
    return {str(one.SOPInstanceUID): one.PixelData for one in instances}
