"""A flipped byte is found in every backend, and repaired from a copy that is whole."""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from eir_versions.master_reading import HtMasterReader
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.backends.s3 import S3Backend
from image_archive.masters import BackendWithMasters
from image_archive.model import VerifyReport
from image_archive.repairing import RepairReport, last_repair, repair
from image_archive.service import ArchiveService
from image_archive.tables import INSTANCE
from image_archive.tiering import Tiering, TierPolicy
from image_archive.tiers import TieredBackend
from tests.dicom_router.instances import ct, part10
from tests.image_archive.datasets import TOWNSHIP as ORIGIN
from tests.support.orthanc_server import Orthanc
from tests.support.overtaken import Overtaken
from tests.support.s3_server import S3Server

Opened = Callable[[Path, pytest.FixtureRequest], ArchiveBackend]


def in_folder(folder: Path, _request: pytest.FixtureRequest) -> ArchiveBackend:
    return FilesystemBackend(folder / "archive")


def in_bucket(folder: Path, request: pytest.FixtureRequest) -> ArchiveBackend:
    server: S3Server = request.getfixturevalue("s3_server")
    return S3Backend(
        server.bucket(f"repair-{uuid.uuid4().hex}"), FilesystemBackend(folder / "archive")
    )


def in_tiers(folder: Path, _request: pytest.FixtureRequest) -> ArchiveBackend:
    near, far = (FilesystemBackend(folder / name) for name in ("archive", "far"))
    return TieredBackend(near, far)


def in_orthanc(folder: Path, request: pytest.FixtureRequest) -> ArchiveBackend:
    server: Orthanc = request.getfixturevalue("orthanc")
    return OrthancBackend(server.server(), FilesystemBackend(folder / "archive"))


BACKENDS: dict[str, Opened] = {
    "filesystem": in_folder,
    "s3": in_bucket,
    "tiers": in_tiers,
    "orthanc": in_orthanc,
}


class World:
    """An archive of two instances, and a copy of it."""

    def __init__(self, folder: Path, database: Database, originals: ArchiveBackend) -> None:
        self.database = database
        self.backend = BackendWithMasters(originals, HtMasterReader())
        self.archive = ArchiveService(database, self.backend, database.clock)
        study = f"2.25.{uuid.uuid4().int % 10**30}"  # an Orthanc is shared, and knows each UID once
        for number in (1, 2):
            self.archive.store_file(part10(ct(number, study)), ORIGIN)
        self.archive.settled()
        with database.read() as session:
            keys = list(session.scalars(select(INSTANCE.c.storage_key).order_by(INSTANCE.c.id)))
        self.key = keys[0]
        self.copy = FilesystemBackend(folder / "copy")
        for key in keys:
            put(self.copy, key, get(self.backend, key))

    def verify(self) -> VerifyReport:
        return self.archive.verify(lambda _done, _total: None)

    def repair(self, *copies: ArchiveBackend, dry_run: bool = False) -> RepairReport:
        quiet = lambda _done, _total: None  # noqa: E731
        return repair(self.database, self.backend, copies, quiet, dry_run=dry_run)

    def flip(self) -> None:
        """Flip a byte where the first instance lies, behind the backend's back."""
        flip(self.backend, self.key)


class OrthancWorld(World):
    """The same in an Orthanc, whose own file is damaged."""

    def __init__(
        self, folder: Path, database: Database, originals: ArchiveBackend, server: Orthanc
    ) -> None:
        super().__init__(folder, database, originals)
        found = re.search(r"/([0-9a-f]{40})-", self.key)
        assert found
        self.file = server.stored_file("-".join(re.findall(".{8}", found[1])))

    def flip(self) -> None:
        data = bytearray(self.file.read_bytes())
        data[-5] ^= 1
        self.file.write_bytes(data)


@pytest.fixture(params=BACKENDS)
def world(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Iterator[World]:
    opened = BACKENDS[request.param](tmp_path, request)
    if isinstance(opened, OrthancBackend):
        server: Orthanc = request.getfixturevalue("orthanc")
        world: World = OrthancWorld(tmp_path, database, opened, server)
    else:
        world = World(tmp_path, database, opened)
    yield world
    world.archive.close()


def get(backend: ArchiveBackend, key: str) -> bytes:
    with backend.open(key) as stream:
        return stream.read()


def put(backend: ArchiveBackend, key: str, data: bytes) -> None:
    pending = backend.create()
    pending.write(data)
    pending.publish(key)


def flip(backend: ArchiveBackend, key: str) -> None:
    data = bytearray(get(backend, key))
    data[-5] ^= 1
    put(backend, key, bytes(data))


def test_a_flipped_byte_is_found_and_repaired(world: World) -> None:
    whole = get(world.backend, world.key)
    world.flip()
    assert [one.condition.value for one in world.verify().broken] == ["damaged"]
    assert len(world.repair(world.copy, dry_run=True).repaired) == 1
    assert last_repair(world.backend.shared_folder) == 0
    assert get(world.backend, world.key) != whole
    assert len(world.repair(world.copy).repaired) == 1
    assert get(world.backend, world.key) == whole
    told = last_repair(world.backend.shared_folder)
    assert told > 0, "processes that remember what they made of it are told"
    assert (world.verify().broken, world.repair(world.copy).repaired) == ((), ())
    assert last_repair(world.backend.shared_folder) == told


def test_what_is_missing_comes_back(world: World) -> None:
    whole = hashlib.sha256(get(world.backend, world.key)).digest()
    world.backend.delete(world.key)
    assert [one.condition.value for one in world.verify().broken] == ["missing"]
    assert len(world.repair(world.copy).repaired) == 1
    assert hashlib.sha256(get(world.backend, world.key)).digest() == whole


def test_a_copy_that_is_damaged_too_changes_nothing(world: World) -> None:
    """The control: what is whole is decided by the hash of receipt alone."""
    world.flip()
    damaged = get(world.backend, world.key)
    put(world.copy, world.key, damaged)
    world.verify()
    assert (world.repair(world.copy).repaired, len(world.repair(world.copy).left)) == ((), 1)
    assert get(world.backend, world.key) == damaged
    assert len(world.verify().broken) == 1


def test_what_is_deleted_while_it_is_repaired_comes_not_back(
    tmp_path: Path, database: Database
) -> None:
    world = World(tmp_path, database, FilesystemBackend(tmp_path / "archive"))
    world.flip()
    world.verify()

    def delete_for_good(key: str) -> None:
        with database.unit_of_work() as work:
            work.session.execute(INSTANCE.delete())
        world.archive.backend.delete(key)

    world.backend = BackendWithMasters(
        Overtaken(tmp_path / "archive", delete_for_good), HtMasterReader()
    )
    assert world.repair(world.copy).repaired == ()
    with pytest.raises(NotFoundError):
        world.backend.open(world.key)
    world.archive.close()


def test_a_file_that_orthanc_cannot_read_any_more_is_repaired(
    tmp_path: Path, database: Database, request: pytest.FixtureRequest
) -> None:
    server: Orthanc = request.getfixturevalue("orthanc")
    world = OrthancWorld(tmp_path, database, in_orthanc(tmp_path, request), server)
    whole = get(world.backend, world.key)
    world.file.unlink()
    assert [one.condition.value for one in world.verify().broken] == ["damaged"]
    assert len(world.repair(world.copy).repaired) == 1
    assert get(world.backend, world.key) == whole
    assert world.verify().broken == ()
    world.archive.close()


@pytest.mark.parametrize("broken", ["near", "far"])
def test_a_damaged_tier_is_repaired(
    tmp_path: Path, database: Database, request: pytest.FixtureRequest, broken: str
) -> None:
    tiers = in_tiers(tmp_path, request)
    assert isinstance(tiers, TieredBackend)
    world = World(tmp_path, database, tiers)
    whole = get(world.backend, world.key)
    Tiering(database, tiers).run(TierPolicy(grace_days=9), lambda _done, _total: None)
    flip(tiers.near if broken == "near" else tiers.far, world.key)
    if broken == "far":
        put(world.copy, world.key, whole)
        tiers.near.delete(world.key)
    assert len(world.verify().broken) == 1
    sources = [world.copy] if broken == "far" else []
    assert len(world.repair(*sources).repaired) == 1
    assert get(world.backend, world.key) == whole
    assert world.verify().broken == ()
    world.archive.close()
