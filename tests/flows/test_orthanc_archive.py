"""A hub whose archive is an Orthanc: everything works.

What fails is in `tests/image_archive/test_orthanc_outages.py`.
"""

import hashlib
import json
from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import HubSettings, Settings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime.bootstrap import build_hub
from image_archive.file_meta import read_file_meta
from tests.support.hub_elsewhere import HubElsewhere
from tests.support.orthanc_server import PASSWORD, Orthanc

STUDY = "1.2.826.0.1.3680043.10.1603.8.80"


@pytest.fixture
def settings(orthanc: Orthanc, tmp_path: Path) -> list[str]:
    orthanc.empty()
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    return [
        "archive.backend=orthanc",
        f"orthanc.url={orthanc.url}",
        f"orthanc.password_file={password}",
        "orthanc.timeout_s=3",
    ]


def stored(orthanc: Orthanc) -> dict[str, str]:
    """SHA-256 of the dataset of every instance in Orthanc, by its identifier there."""
    found = {}
    for instance_id in orthanc.rest("GET", "/instances"):
        data = orthanc.rest("GET", f"/instances/{instance_id}/file")
        dataset = data[read_file_meta(data).dataset_offset :]
        found[instance_id] = hashlib.sha256(dataset).hexdigest()
    return found


def test_the_whole_hub_works_on_an_orthanc(
    tmp_path: Path, settings: list[str], orthanc: Orthanc
) -> None:
    hub = HubElsewhere(tmp_path / "data", settings, lambda: stored(orthanc))
    hub.receives_shows_and_verifies(STUDY)
    assert "orthanc answers" in hub.command("doctor")[1]
    _flip_a_byte(orthanc)
    code, said = hub.command("archive", "verify", "--json")
    assert code != 0
    assert [one["fault"] for one in json.loads(said.splitlines()[0])["damaged"]] == ["damaged"]
    assert "compacted" in hub.command("archive", "compact")[1]


def _flip_a_byte(orthanc: Orthanc) -> None:
    file = orthanc.stored_file(sorted(stored(orthanc))[1])
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)


@pytest.mark.parametrize(
    ("section", "named"),
    [({}, r"orthanc\.url"), ({"compact_after_days": 9}, r"compact_after_days")],
)
def test_settings_that_cannot_hold_stop_the_start(
    tmp_path: Path, section: dict[str, int], named: str
) -> None:
    settings = Settings(
        hub=HubSettings(data_dir=tmp_path / "data"),
        archive=ArchiveSettings(backend="orthanc", **section),  # type: ignore[arg-type]
        **({"orthanc": {"url": "http://127.0.0.1:1"}} if section else {}),
    )
    with pytest.raises(ConfigurationError, match=named):
        build_hub(settings)
