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
from image_archive.tiers import TieredBackend
from tests.support.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, sample, site, store


def quiet(_label: str) -> Callable[[int, int], None]:
    """Show no progress."""
    return lambda _done, _total: None


def test_old_instances_go_to_the_bucket_and_come_back(tmp_path: Path, s3_server: S3Server) -> None:
    (tmp_path / "key").write_text(SECRET_ACCESS_KEY)
    settings = Settings(
        hub=HubSettings(data_dir=tmp_path / "data"),
        archive=ArchiveSettings(tier_after_days=1, tier_grace_days=0),
        s3=S3Settings(
            bucket="eir",
            endpoint=s3_server.endpoint,
            prefix="tier-commands",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key_file=tmp_path / "key",
        ),
    )
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


def test_an_archive_without_a_bucket_has_no_tiers(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "data")
    assert not {"tiering", "tier-recall"} & {job.name for job in periodic_jobs(hub)}
    with pytest.raises(ConfigurationError, match="far tier"):
        tiering(hub)
    hub.close()


def _s3(settings: Settings) -> dict[str, object]:
    return settings.s3.model_dump(mode="json", exclude_defaults=True)
