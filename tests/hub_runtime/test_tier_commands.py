"""Two tiers as an operator runs them: commands, jobs, and a backup of both."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import HubSettings, S3Settings, Settings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime.backup.folder import BackupFolder
from hub_runtime.backup.restoring import restore
from hub_runtime.backup.taking import take_backup
from hub_runtime.bootstrap import build_hub
from hub_runtime.jobs import periodic_jobs
from hub_runtime.tiers import tiering
from image_archive.tiering import TierPolicy
from image_archive.tiers import TieredBackend
from tests.support.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, sample, site, store


def quiet(_label: str) -> Callable[[int, int], None]:
    """Show no progress."""
    return lambda _done, _total: None


def test_old_instances_go_to_the_bucket_and_come_back(tmp_path: Path, s3_server: S3Server) -> None:
    settings = tiered(tmp_path, s3_server, "tier-commands")
    hub = build_hub(settings)
    hub.open()
    hub.access.sites.add(site("sijing", 1))
    shown = store(hub, "sijing", sample("CT_small.dcm", PatientID="T7001"))
    tiers = hub.base.backend.originals
    assert isinstance(tiers, TieredBackend)
    assert {"tiering", "tier-recall"} <= {job.name for job in periodic_jobs(hub)}
    (key,) = tiers.near.keys("instances")

    options = ["--set=archive.tier_after_days=0", "--set=archive.tier_grace_days=0"]
    options += [f"--set=s3.{name}={value}" for name, value in _s3(settings).items()]
    trial = eirhub("archive", "tier", "--dry-run", "--json", *options, data=tmp_path / "data")
    assert trial.returncode == 0, trial.stderr
    assert (json.loads(trial.stdout)["copied"], list(tiers.near.keys("instances"))) == (1, [key])
    assert eirhub("archive", "tier", *options, data=tmp_path / "data").returncode == 0
    assert (list(tiers.near.keys("instances")), list(tiers.far.keys())) == ([], [key])
    with hub.archive.open_instance(shown.instance) as stream:
        assert stream.read()
    take_backup(hub, tmp_path / "target", quiet)
    back = eirhub("archive", "recall", shown.study, "--json", *options, data=tmp_path / "data")
    assert json.loads(back.stdout) == {"recalled": 1}
    hub.close()

    alone = Settings(hub=HubSettings(data_dir=tmp_path / "new"))
    restore(BackupFolder(tmp_path / "target").generation(), alone, quiet)
    restored = build_hub(alone)
    restored.open()
    assert restored.archive.verify(lambda *_: None).broken == ()
    restored.close()


def test_what_went_far_after_the_backup_is_found_when_the_hub_comes_back(
    tmp_path: Path, s3_server: S3Server
) -> None:
    hub = build_hub(tiered(tmp_path, s3_server, "tier-restore"))
    hub.open()
    hub.access.sites.add(site("sijing", 1))
    store(hub, "sijing", sample("CT_small.dcm", PatientID="T7002"))
    hub.archive.settled()
    take_backup(hub, tmp_path / "target", quiet)
    late = store(hub, "sijing", sample("MR_small.dcm", PatientID="T7003"))
    hub.archive.settled()
    moved = tiering(hub).run(TierPolicy(grace_days=0), lambda _done, _total: None)
    assert (moved.copied, moved.freed) == (2, 2)
    hub.close()  # and its machine is lost

    settings = tiered(tmp_path, s3_server, "tier-restore", data="new")
    restore(BackupFolder(tmp_path / "target").generation(), settings, quiet)
    back = build_hub(settings)
    back.open()
    with back.archive.open_instance(late.instance) as stream:
        assert stream.read()
    assert back.archive.verify(lambda *_: None).checked == 2
    back.close()


def test_an_archive_without_a_bucket_has_no_tiers(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "data")
    assert not {"tiering", "tier-recall"} & {job.name for job in periodic_jobs(hub)}
    with pytest.raises(ConfigurationError, match="far tier"):
        tiering(hub)
    hub.close()


def tiered(folder: Path, server: S3Server, prefix: str, data: str = "data") -> Settings:
    """The settings of a hub whose far tier is a part of the tests' bucket."""
    (folder / "key").write_text(SECRET_ACCESS_KEY)
    return Settings(
        hub=HubSettings(data_dir=folder / data),
        archive=ArchiveSettings(tier_after_days=1, tier_grace_days=0),
        s3=S3Settings(
            bucket="eir",
            endpoint=server.endpoint,
            prefix=prefix,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key_file=folder / "key",
        ),
    )


def _s3(settings: Settings) -> dict[str, object]:
    return settings.s3.model_dump(mode="json", exclude_defaults=True)
