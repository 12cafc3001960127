"""Every implementation of ArchiveBackend, opened again and again as restarts do."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eir_versions.master_reading import HtMasterReader
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.backends.s3 import S3Backend
from image_archive.masters import BackendWithMasters
from image_archive.tiers import TieredBackend
from tests.support.orthanc_server import Orthanc
from tests.support.s3_server import S3Server

Maker = Callable[[Path], ArchiveBackend]


def in_folder(_request: pytest.FixtureRequest) -> Maker:
    return FilesystemBackend


def in_folder_with_masters(_request: pytest.FixtureRequest) -> Maker:
    return lambda folder: BackendWithMasters(FilesystemBackend(folder), HtMasterReader())


def in_bucket(request: pytest.FixtureRequest) -> Maker:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.bucket(f"contract-{uuid.uuid4().hex}")
    return lambda folder: S3Backend(bucket, FilesystemBackend(folder))


def in_orthanc(request: pytest.FixtureRequest) -> Maker:
    server: Orthanc = request.getfixturevalue("orthanc")
    server.empty()
    return lambda folder: OrthancBackend(server.server(), FilesystemBackend(folder))


def in_tiers(_request: pytest.FixtureRequest) -> Maker:
    return lambda folder: TieredBackend(
        FilesystemBackend(folder), FilesystemBackend(folder.with_name("far"))
    )


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Maker]] = {
    "filesystem": in_folder,
    "with masters": in_folder_with_masters,
    "s3": in_bucket,
    "orthanc": in_orthanc,
    "tiers": in_tiers,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ArchiveBackend]]:
    """Opens the same store again and again, as restarts do."""
    maker, opened = MAKERS[request.param](request), []

    def again() -> ArchiveBackend:
        opened.append(maker(tmp_path / "store"))
        return opened[-1]

    yield again
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(make: Callable[[], ArchiveBackend]) -> ArchiveBackend:
    return make()
