"""`eirhub registry verify` as an operator runs it: exit code, words, JSON."""

import json
from pathlib import Path

import pytest

from tests.support.serving_hub import eirhub


@pytest.fixture
def data(tmp_path: Path) -> Path:
    added = eirhub(
        "site", "add", "sijing", "--name", "泗泾", "--ae-title", "SIJING_CR",
        "--namespace", "SIJING", "--oid", "1.2.3", data=tmp_path / "data",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    return tmp_path / "data"


def test_a_sound_registry_ends_with_0(data: Path) -> None:
    said = eirhub("registry", "verify", data=data)
    assert said.returncode == 0, said.stderr
    assert "0 studies, 0 entries, 0 documents and 0 pictures compared, 0 drifts" in said.stdout


def test_a_drift_ends_with_1_and_says_what_to_do(data: Path) -> None:
    lost = data / "archive" / "documents" / "ab" / "abcd"
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.write_bytes(b"nobody's")
    said = eirhub("registry", "verify", data=data)
    assert said.returncode == 1
    (line,) = [one for one in said.stdout.splitlines() if "documents/ab/abcd" in one]
    assert line.startswith("  no document has the bytes stored as documents/ab/abcd: ")
    told = json.loads(eirhub("registry", "verify", "--json", "--repair", data=data).stdout)
    assert [one["kind"] for one in told["drifts"]] == ["bytes_unnamed"]
    assert told["registered_again"] == 0


def test_a_mistyped_folder_is_not_verified_as_whole(tmp_path: Path) -> None:
    said = eirhub("registry", "verify", data=tmp_path / "typo")
    assert said.returncode == 1
    assert "no hub in" in said.stderr
