"""A hub whose archive is a bucket: everything works, and what fails loses nothing promised."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import HubSettings, Settings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime.bootstrap import build_hub
from image_archive.backends.s3 import Bucket
from image_archive.file_meta import read_file_meta
from tests.flows.receiving_trial import series_of
from tests.support.hub_elsewhere import HubElsewhere, digests
from tests.support.hub_process import start_router
from tests.support.pushing import push
from tests.support.s3_server import SECRET_ACCESS_KEY, S3Server, running_s3_server
from tests.support.waiting import eventually

STUDY = "1.2.826.0.1.3680043.10.1603.8.70"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this module's own: it is killed and frozen."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(server: S3Server, request: pytest.FixtureRequest) -> Bucket:
    name: str = request.node.name
    return server.bucket(hashlib.sha256(name.encode()).hexdigest()[:16])


@pytest.fixture
def settings(bucket: Bucket, tmp_path: Path) -> list[str]:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET_ACCESS_KEY}\n")
    return [
        "archive.backend=s3",
        f"s3.bucket={bucket.name}",
        f"s3.endpoint={bucket.endpoint}",
        f"s3.prefix={bucket.prefix}",
        f"s3.access_key_id={bucket.access_key_id}",
        f"s3.secret_access_key_file={secret}",
        "s3.timeout_s=3",
    ]


def stored(bucket: Bucket) -> dict[str, str]:
    """SHA-256 of the dataset of every instance in the bucket, by the digest its receipt tells."""
    store, found = bucket.store(), {}
    for listed in obstore.list(store, "instances"):
        for one in listed:
            data = bytes(obstore.get(store, one["path"]).bytes())
            dataset = data[read_file_meta(data).dataset_offset :]
            found[one["path"]] = hashlib.sha256(dataset).hexdigest()
    return found


def test_the_whole_hub_works_on_a_bucket(
    tmp_path: Path, settings: list[str], bucket: Bucket
) -> None:
    hub = HubElsewhere(tmp_path / "data", settings, lambda: stored(bucket))
    hub.receives_shows_and_verifies(STUDY)
    assert "s3 answers" in hub.command("doctor")[1]
    key = sorted(stored(bucket))[1]
    damaged = bytearray(obstore.get(bucket.store(), key).bytes())
    damaged[-1] ^= 1
    obstore.put(bucket.store(), key, bytes(damaged))
    code, said = hub.command("archive", "verify", "--json")
    assert code != 0
    assert key in said or STUDY in said, said


def test_bucket_and_hub_killed_together_lose_nothing_that_was_acknowledged(
    tmp_path: Path, settings: list[str], bucket: Bucket, server: S3Server
) -> None:
    data = tmp_path / "data"
    hub = start_router(data, *settings)
    before, during, after = series_of(72), series_of(73), series_of(74)
    try:
        assert set(push(hub.port, before).values()) == {0}
        server.kill()
        during_answers = push(hub.port, during)
        hub.kill()  # what it acknowledged is in no bucket yet
        server.start()
        hub = start_router(data, *settings)
        assert 0 in during_answers.values()
        eventually(lambda: set(push(hub.port, after).values()) == {0})
    finally:
        hub.stop()
    promised = [one for one in during if during_answers.get(one.sop_instance_uid) == 0]
    assert digests([*before, *promised, *after]) <= set(stored(bucket).values())
    assert HubElsewhere(data, settings, dict).command("archive", "verify")[0] == 0


def test_the_control_a_spool_that_is_lost_loses_what_was_acknowledged(
    tmp_path: Path, settings: list[str], bucket: Bucket, server: S3Server
) -> None:
    data = tmp_path / "data"
    hub = start_router(data, *settings)
    sent = series_of(75)
    server.kill()
    answers = push(hub.port, sent)
    hub.kill()
    server.start()
    assert 0 in answers.values()
    for file in (data / "archive" / "incoming").iterdir():
        file.unlink()
    start_router(data, *settings).stop()
    promised = [one for one in sent if answers.get(one.sop_instance_uid) == 0]
    assert not digests(promised) & set(stored(bucket).values())


def test_a_bucket_without_a_name_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(
        hub=HubSettings(data_dir=tmp_path / "data"), archive=ArchiveSettings(backend="s3")
    )
    with pytest.raises(ConfigurationError, match=r"s3\.bucket"):
        build_hub(settings)
