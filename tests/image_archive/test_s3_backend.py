"""What only a bucket can do wrong; what every backend promises is in `tests/contracts`."""

import os
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import obstore
import psutil
import pytest

from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.s3 import Bucket, S3Backend
from image_archive.errors import ArchiveBusyError, ArchiveUnavailableError
from tests.support.s3_server import S3Server, running_s3_server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return s3_server.bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture
def backend(bucket: Bucket, tmp_path: Path) -> Iterator[S3Backend]:
    backend = S3Backend(bucket, FilesystemBackend(tmp_path / "store"))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this module's own, to be killed and frozen."""
    with running_s3_server(tmp_path_factory.mktemp("fragile")) as server:
        yield server


def put(backend: S3Backend, key: str, data: bytes) -> None:
    pending = backend.create()
    pending.write(data)
    pending.publish(key)


def test_the_server_encrypts_where_it_is_told_to(s3_server: S3Server, tmp_path: Path) -> None:
    told = {}
    for encryption in ("", "AES256"):
        bucket = s3_server.bucket("encrypted", encryption=encryption)
        backend = S3Backend(bucket, FilesystemBackend(tmp_path / "store"))
        put(backend, f"documents/x{encryption.lower()}", b"secret")
        address = obstore.sign(
            bucket.store(), "GET", f"documents/x{encryption.lower()}", timedelta(minutes=1)
        )
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.read() == b"secret"
            told[encryption] = answer.headers.get("x-amz-server-side-encryption")
        backend.close()
    assert told == {"": None, "AES256": "AES256"}


def test_wrong_credentials_end_acknowledging(s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.bucket("wrong", secret_access_key="another")
    backend = S3Backend(bucket, FilesystemBackend(tmp_path / "store"))
    with pytest.raises(ArchiveUnavailableError, match="credentials"):
        put(backend, "instances/a", b"x")
    with pytest.raises(ArchiveUnavailableError, match="credentials"):
        backend.open("instances/a")
    assert backend.discard_abandoned() == 0


def test_an_object_replaced_under_its_reader_is_never_mixed(
    backend: S3Backend,
) -> None:
    put(backend, "instances/long", b"old" * 1_000_000)
    with backend.open("instances/long") as stream:
        assert stream.read(3) == b"old"
        put(backend, "instances/long", b"new" * 1_000_000)
        with pytest.raises(ArchiveBusyError, match="replaced"):
            while stream.read(100_000):
                pass


def test_what_could_not_be_published_is_published_when_the_server_is_back(
    fragile: S3Server, tmp_path: Path
) -> None:
    backend = S3Backend(
        fragile.bucket("outage", timeout_s=2.0), FilesystemBackend(tmp_path / "store")
    )
    spooled = backend.spool()
    spooled.write(b"kept")
    spooled.secure()
    fragile.kill()
    objects = [(spooled, "instances/a")]
    assert [type(error) for error in backend.publish_together(objects)] == [ArchiveBusyError]
    with pytest.raises(ArchiveBusyError):
        backend.size("instances/a")
    fragile.start()
    assert backend.publish_together(objects) == [None]
    with backend.open("instances/a") as stream:
        assert stream.read() == b"kept"
    with fragile.frozen(), pytest.raises(ArchiveBusyError):
        backend.open("instances/a")
    backend.close()


def test_a_large_object_goes_through_little_memory(backend: S3Backend) -> None:
    mebibyte = os.urandom(1 << 20)
    pending = backend.create()
    for _ in range(192):
        pending.write(mebibyte)
    before = psutil.Process().memory_full_info().uss
    pending.publish("instances/large")
    grown = psutil.Process().memory_full_info().uss - before
    assert backend.size("instances/large") == 192 << 20
    with backend.open("instances/large") as stream:
        while data := stream.read(1 << 20):
            assert data == mebibyte
    assert grown < 96 << 20
    assert psutil.Process().memory_full_info().uss - before < 96 << 20
