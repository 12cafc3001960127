"""SIGKILL at every step of ITI-41: documents and metadata are both there, or neither."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("killed_provision.py")


def run(root: Path, *how: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(root), *how],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_a_kill_at_any_step_leaves_all_or_nothing_and_no_lost_bytes(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    killed, untouched, registered, reclaimed = map(int, done.stdout.split())
    assert killed >= 25  # begin, rows, commits, writes, flushes, renames
    assert untouched + registered == killed
    assert registered >= 1  # committed and not answered
    assert reclaimed >= 10  # bytes that lay there without a name


def test_registering_before_the_bytes_are_durable_is_found_out(tmp_path: Path) -> None:
    """The control: the same program with the repository's order turned round."""
    done = run(tmp_path, "torn")
    assert done.returncode != 0
    assert "tore the submission" in done.stderr
