"""SIGKILL during a feed, a merge and an unmerge: the log and every reader agree after restart."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_writer.py")


Counts = tuple[int, int, int, int, int]


def _run(folder: Path, *words: str) -> dict[str, Counts]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), *words],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: tuple(counts) for name, counts in json.loads(done.stdout).items()}


@pytest.mark.parametrize("change", ["feed", "merge", "unmerge"])
def test_a_killed_change_is_made_wholly_or_not_at_all(
    killed: dict[str, Counts], change: str
) -> None:
    kills, untouched, complete, torn, disagreeing = killed[change]
    assert kills >= 6
    assert untouched >= 5
    assert complete >= 1
    assert (torn, disagreeing) == (0, 0), "after the restart every reader tells what the log tells"
    assert untouched + complete == kills


def test_the_same_test_notices_changes_that_are_torn(tmp_path: Path) -> None:
    """The control: with a commit after every row, half-made changes are seen for what they are."""
    found = _run(tmp_path, "torn")
    for name, (_, _, _, torn, _) in found.items():
        assert torn >= 1, name
    assert sum(disagreeing for *_, disagreeing in found.values()) >= 3, "readers were asked in vain"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counts]:
    return _run(tmp_path_factory.mktemp("killed"))
