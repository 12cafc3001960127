"""An archive on an Orthanc that ends, stalls or refuses: what was acknowledged is in it afterwards.

`secure` is the acknowledgement; the disk as it is at the moment is what a crash leaves.
"""

import hashlib
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.errors import ArchiveError, ArchiveUnavailableError
from image_archive.file_meta import read_file_meta
from image_archive.model import IncomingHeader
from image_archive.service import ArchiveService
from tests.image_archive.datasets import (
    CT_IMAGE_STORAGE,
    EXPLICIT_LITTLE,
    TOWNSHIP,
    ct_slice,
    encoded,
)
from tests.support.clock import FixedClock
from tests.support.orthanc_server import PASSWORD, Orthanc, running_orthanc
from tests.support.waiting import eventually


@dataclass
class Archive:
    """An archive that can be opened as after a crash, and who sends to it."""

    folder: Path
    database: Database
    server: Orthanc
    password: str = PASSWORD
    service: ArchiveService = field(init=False)
    promised: list[str] = field(default_factory=list)
    study: str = field(default_factory=lambda: f"2.25.{uuid.uuid4().int}")
    sent: int = 0

    def open(self) -> None:
        server = self.server.server(timeout_s=1.0, password=self.password)
        backend = OrthancBackend(server, FilesystemBackend(self.folder))
        self.service = ArchiveService(self.database, backend, FixedClock())

    def crash_and_start(self, *, keep_spool: bool = True) -> None:
        """Go on with what the disk holds now; locks of the dead are gone."""
        left = None if keep_spool else shutil.ignore_patterns("incoming")
        disk = self.folder.with_name(f"{self.folder.name}-after")
        shutil.copytree(self.folder, disk, ignore=left)
        self.service.close()
        self.folder = disk
        self.open()
        self.service.reconcile()

    def send(self) -> ArchiveError | None:
        """Send one more instance; remember it when it was acknowledged."""
        self.sent += 1
        uid = f"{self.study}.{self.sent}"
        data = encoded(
            ct_slice(
                self.sent,
                StudyInstanceUID=self.study,
                SeriesInstanceUID=f"{self.study}.0",
                SOPInstanceUID=uid,
            )
        )
        header = IncomingHeader(CT_IMAGE_STORAGE, uid, EXPLICIT_LITTLE, TOWNSHIP)
        try:
            with self.service.incoming(header) as incoming:
                incoming.write(data)
                incoming.secure()
        except ArchiveError as error:
            return error
        self.promised.append(hashlib.sha256(data).hexdigest())
        return None

    def stored(self) -> set[str]:
        """The hashes of the datasets in Orthanc."""
        found = set()
        for instance_id in self.server.rest("GET", "/instances"):
            file = self.server.rest("GET", f"/instances/{instance_id}/file")
            dataset = file[read_file_meta(file).dataset_offset :]
            found.add(hashlib.sha256(dataset).hexdigest())
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("outages")) as server:
        yield server


@pytest.fixture
def archive(tmp_path: Path, database: Database, server: Orthanc) -> Iterator[Archive]:
    archive = Archive(tmp_path / "archive", database, server)
    archive.open()
    yield archive
    archive.service.close()


def test_while_orthanc_is_down_the_sender_is_soon_told_and_nothing_promised_is_lost(
    archive: Archive, server: Orthanc
) -> None:
    assert archive.send() is None
    eventually(archive.service.settled)
    server.kill()
    first = archive.send()
    eventually(lambda: archive.send() is not None)
    server.start()
    eventually(lambda: archive.send() is None)
    eventually(archive.service.settled)
    assert first is None
    assert len(archive.promised) < archive.sent
    assert set(archive.promised) <= archive.stored()


def test_what_was_acknowledged_before_a_crash_is_handed_over_after_it(archive: Archive) -> None:
    archive.password = "another"
    archive.open()
    assert archive.send() is None
    assert archive.stored().isdisjoint(archive.promised)
    archive.password = PASSWORD
    archive.crash_and_start()
    assert set(archive.promised) <= archive.stored()


def test_the_control_a_spool_that_is_lost_loses_what_was_acknowledged(archive: Archive) -> None:
    archive.password = "another"
    archive.open()
    assert archive.send() is None
    archive.password = PASSWORD
    archive.crash_and_start(keep_spool=False)
    assert not set(archive.promised) & archive.stored()


def test_an_orthanc_that_stalls_and_restarts_under_load_loses_nothing_promised(
    archive: Archive, server: Orthanc
) -> None:
    enough = threading.Event()

    def load() -> None:
        while not enough.is_set():
            archive.send()

    sender = threading.Thread(target=load)
    sender.start()
    try:
        eventually(lambda: len(archive.promised) > 20)
        server.kill()
        server.start()
        eventually(lambda: len(archive.promised) > 40)
        with server.frozen():
            sent = archive.sent
            eventually(lambda: archive.sent > sent)
        before = len(archive.promised)
        eventually(lambda: len(archive.promised) > before + 10)
    finally:
        enough.set()
        sender.join()
    eventually(archive.service.settled)
    assert set(archive.promised) <= archive.stored()


def test_a_wrong_password_is_told_to_the_sender(archive: Archive) -> None:
    archive.password = "another"
    archive.open()
    archive.send()
    eventually(lambda: isinstance(archive.send(), ArchiveUnavailableError))
    assert archive.stored().isdisjoint(archive.promised)
    archive.password = PASSWORD
    archive.crash_and_start()
    assert set(archive.promised) <= archive.stored()
