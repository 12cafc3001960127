"""A hub whose archive is an Orthanc: everything works.

What fails is in `tests/image_archive/test_orthanc_outages.py`.
"""

import hashlib
import json
import urllib.request
from pathlib import Path

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import HubSettings, Settings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime.bootstrap import build_hub
from image_archive.file_meta import read_file_meta
from tests.dicom_router.instances import ct, encoded
from tests.support.orthanc_server import PASSWORD, Orthanc
from tests.support.pushing import Sent, push
from tests.support.serving_hub import eirhub, running_hub

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


def command(data: Path, settings: list[str], *words: str) -> tuple[int, str]:
    options = [part for setting in settings for part in ("--set", setting)]
    ended = eirhub(*words, *options, data=data)
    return ended.returncode, ended.stdout + ended.stderr


def stored(orthanc: Orthanc) -> dict[str, str]:
    """SHA-256 of the dataset of every instance in Orthanc, by its identifier there."""
    found = {}
    for instance_id in orthanc.rest("GET", "/instances"):
        data = orthanc.rest("GET", f"/instances/{instance_id}/file")
        dataset = data[read_file_meta(data).dataset_offset :]
        found[instance_id] = hashlib.sha256(dataset).hexdigest()
    return found


def digests(instances: list[Sent]) -> set[str]:
    return {hashlib.sha256(bytes(one.dataset)).hexdigest() for one in instances}  # type: ignore[arg-type]


def test_the_whole_hub_works_on_an_orthanc(
    tmp_path: Path, settings: list[str], orthanc: Orthanc
) -> None:
    data = tmp_path / "data"
    instances = [ct(position, STUDY) for position in range(1, 5)]
    sent = [Sent(str(one.SOPInstanceUID), encoded(one)) for one in instances]
    with running_hub(data, "router.accept_unknown_ae=true", *settings) as hub:
        assert set(push(hub.dicom_port, sent).values()) == {0}
        _, made = command(data, settings, "token", "create", "reader", "--role", "radiologist")
        token = made.split()[0]
        address = f"{hub.http}/dicom-web/studies/{STUDY}"

        def asked(path: str, accept: str) -> bytes:
            headers = {"Authorization": f"Bearer {token}", "Accept": accept}
            request = urllib.request.Request(f"{address}{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())

        assert len(json.loads(asked("/metadata", "application/dicom+json"))) == len(sent)
        retrieved = asked("", 'multipart/related; type="application/dicom"')
        assert all(bytes(one.dataset) in retrieved for one in sent)  # type: ignore[arg-type]
        picture = f"/series/{instances[0].SeriesInstanceUID}/instances/{sent[0].sop_instance_uid}"
        assert asked(f"{picture}/rendered", "image/jpeg").startswith(b"\xff\xd8")
    assert digests(sent) == set(stored(orthanc).values())
    assert command(data, settings, "archive", "verify")[0] == 0
    assert "orthanc answers" in command(data, settings, "doctor")[1]
    _flip_a_byte(orthanc)
    code, said = command(data, settings, "archive", "verify", "--json")
    assert code != 0
    assert [one["fault"] for one in json.loads(said.splitlines()[0])["damaged"]] == ["damaged"]
    assert "compacted" in command(data, settings, "archive", "compact")[1]


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
