"""What only an Orthanc can do wrong; what every backend promises is in `tests/contracts`."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from hub_kernel.errors import NotFoundError
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveUnavailableError,
    UnreadableInstanceError,
)
from image_archive.file_meta import read_file_meta
from image_archive.keys import InstanceNames
from tests.dicom_router.instances import ct, part10
from tests.support.orthanc_server import Orthanc, running_orthanc


@dataclass(frozen=True)
class Instance:
    """A file with its key, and what Orthanc calls it."""

    key: str
    file: bytes

    @property
    def orthanc_id(self) -> str:
        found = re.search(r"/([0-9a-f]{40})-", self.key)
        assert found
        return "-".join(re.findall(".{8}", found[1]))


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One of this module's own, to be killed and frozen; it compresses what it stores."""
    with running_orthanc(tmp_path_factory.mktemp("fragile"), StorageCompression=True) as server:
        yield server


@pytest.fixture
def backend(orthanc: Orthanc, tmp_path: Path) -> Iterator[OrthancBackend]:
    yield from opened(orthanc, tmp_path)


@pytest.fixture
def fragile_backend(fragile: Orthanc, tmp_path: Path) -> Iterator[OrthancBackend]:
    yield from opened(fragile, tmp_path)


def opened(server: Orthanc, folder: Path, **told: object) -> Iterator[OrthancBackend]:
    backend = OrthancBackend(server.server(timeout_s=2.0, **told), FilesystemBackend(folder / "x"))
    yield backend
    backend.close()


def new_instance(
    backend: OrthancBackend, instead: tuple[bytes, bytes] = (b"", b""), **changes: object
) -> Instance:
    dataset = ct(1, f"2.25.{uuid.uuid4().int}", **changes)
    file = part10(dataset).replace(*instead)
    names = InstanceNames(
        str(dataset.get("PatientID", "")).strip(),
        dataset.StudyInstanceUID,
        dataset.SeriesInstanceUID,
        dataset.SOPInstanceUID,
    )
    digest = hashlib.sha256(file[read_file_meta(file).dataset_offset :]).hexdigest()
    return Instance(backend.instance_key(datetime(2026, 11, 22, tzinfo=UTC), names, digest), file)


def put(backend: OrthancBackend, one: Instance) -> None:
    pending = backend.create()
    pending.write(one.file)
    pending.publish(one.key)


def get(backend: OrthancBackend, one: Instance) -> bytes:
    with backend.open(one.key) as stream:
        return stream.read()


def files_at(folder: Path) -> list[Path]:
    """What lies in the local folder under keys of instances."""
    return [path for path in (folder / "x" / "instances").rglob("*") if path.is_file()]


@pytest.mark.parametrize("patient_id", ["12345", "", "7 ", None])
def test_orthanc_holds_the_very_file_and_the_folder_holds_none(
    backend: OrthancBackend, orthanc: Orthanc, tmp_path: Path, patient_id: str | None
) -> None:
    one = new_instance(backend, PatientID=patient_id)
    put(backend, one)
    assert orthanc.rest("GET", f"/instances/{one.orthanc_id}/file") == one.file
    assert files_at(tmp_path) == []
    backend.delete(one.key)
    assert one.orthanc_id not in orthanc.rest("GET", "/instances")


def test_a_compressing_orthanc_gives_the_same_bytes_back(
    fragile_backend: OrthancBackend, fragile: Orthanc
) -> None:
    one = new_instance(fragile_backend, PixelData=bytes(128))
    put(fragile_backend, one)
    assert fragile.stored_file(one.orthanc_id).stat().st_size < len(one.file)
    assert get(fragile_backend, one) == one.file
    assert fragile_backend.size(one.key) == len(one.file)


def test_wrong_credentials_end_acknowledging(orthanc: Orthanc, tmp_path: Path) -> None:
    (backend,) = opened(orthanc, tmp_path, password="another")
    one = new_instance(backend)
    with pytest.raises(ArchiveUnavailableError, match="credentials"):
        put(backend, one)
    with pytest.raises(ArchiveUnavailableError, match="credentials"):
        backend.open(one.key)
    assert backend.discard_abandoned() == 0


def test_what_could_not_be_handed_over_is_when_orthanc_is_back(
    fragile_backend: OrthancBackend, fragile: Orthanc
) -> None:
    backend = fragile_backend
    one = new_instance(backend)
    spooled = backend.spool()
    spooled.write(one.file)
    spooled.secure()
    objects = [(spooled, one.key)]
    fragile.kill()
    assert [type(error) for error in backend.publish_together(objects)] == [ArchiveBusyError]
    with pytest.raises(ArchiveBusyError):
        backend.size(one.key)
    fragile.start()
    with fragile.frozen():
        assert [type(error) for error in backend.publish_together(objects)] == [ArchiveBusyError]
    assert backend.publish_together(objects) == [None]
    assert get(backend, one) == one.file


def test_other_bytes_that_orthanc_has_already_are_never_replaced(
    backend: OrthancBackend, orthanc: Orthanc, tmp_path: Path
) -> None:
    ours = new_instance(backend)
    theirs = ours.file.replace(b"A100", b"B200")
    orthanc.rest("POST", "/instances", theirs)
    put(backend, ours)
    assert orthanc.rest("GET", f"/instances/{ours.orthanc_id}/file") == theirs
    assert get(backend, ours) == ours.file
    assert [path.read_bytes() for path in files_at(tmp_path)] == [ours.file]


def test_an_instance_that_came_to_orthanc_by_itself_is_taken_as_it_lies_there(
    backend: OrthancBackend, orthanc: Orthanc, tmp_path: Path
) -> None:
    ours = new_instance(backend)
    other_head = ours.file.replace(b"PYDICOM", b"ANOTHER")
    orthanc.rest("POST", "/instances", other_head)
    put(backend, ours)
    assert get(backend, ours) == other_head
    assert files_at(tmp_path) == []


def test_what_was_replaced_in_orthanc_is_missing_not_shown(
    backend: OrthancBackend, orthanc: Orthanc
) -> None:
    ours = new_instance(backend)
    put(backend, ours)
    orthanc.rest("DELETE", f"/instances/{ours.orthanc_id}")
    orthanc.rest("POST", "/instances", ours.file.replace(b"A100", b"B200"))
    assert list(backend.keys("instances/2026/11/22")).count(ours.key) == 0
    put(backend, ours)
    assert get(backend, ours) == ours.file


def test_what_was_deleted_in_orthanc_and_came_to_it_again_is_there_again(
    backend: OrthancBackend, orthanc: Orthanc
) -> None:
    ours = new_instance(backend)
    put(backend, ours)
    orthanc.rest("DELETE", f"/instances/{ours.orthanc_id}")
    with pytest.raises(NotFoundError):
        backend.size(ours.key)
    orthanc.rest("POST", "/instances", ours.file)
    assert get(backend, ours) == ours.file
    assert ours.key in set(backend.keys("instances/2026/11/22"))


def test_a_study_that_orthanc_rebuilds_stays_the_hubs(
    backend: OrthancBackend, orthanc: Orthanc
) -> None:
    ours = new_instance(backend)
    put(backend, ours)
    study = orthanc.rest("GET", f"/instances/{ours.orthanc_id}/study")["ID"]
    orthanc.rest("POST", f"/studies/{study}/reconstruct", b"{}")
    assert get(backend, ours) == ours.file


def test_a_name_that_orthanc_makes_otherwise_keeps_the_file_here(
    backend: OrthancBackend, tmp_path: Path
) -> None:
    chinese = {"SpecificCharacterSet": "GB18030", "PatientID": "王"}
    honest = new_instance(backend, **chinese)
    mislabelled = new_instance(backend, (b"GB18030 ", b"ISO_IR 6"), **chinese)
    for one in (honest, mislabelled):
        put(backend, one)
        assert get(backend, one) == one.file
    assert [path.read_bytes() for path in files_at(tmp_path)] == [mislabelled.file]


def test_a_file_that_orthanc_lost_is_unreadable_and_heals_when_sent_again(
    fragile_backend: OrthancBackend, fragile: Orthanc
) -> None:
    one = new_instance(fragile_backend)
    put(fragile_backend, one)
    fragile.stored_file(one.orthanc_id).unlink()
    with pytest.raises(UnreadableInstanceError):
        fragile_backend.open(one.key)
    put(fragile_backend, one)
    assert get(fragile_backend, one) == one.file


def test_a_large_instance_goes_through_little_memory(
    backend: OrthancBackend, tmp_path: Path
) -> None:
    frames = 48 << 20
    one = new_instance(
        backend, NumberOfFrames=frames // 128, PixelData=os.urandom(1 << 20) * (frames >> 20)
    )
    before = psutil.Process().memory_full_info().uss
    put(backend, one)
    with backend.open(one.key) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        grown = psutil.Process().memory_full_info().uss - before
    assert digest == hashlib.sha256(one.file).hexdigest()
    assert grown < 24 << 20
    assert [path for path in (tmp_path / "x" / "shared").iterdir() if path.stat().st_size > 9] == []
