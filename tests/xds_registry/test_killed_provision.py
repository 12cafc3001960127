"""SIGKILL at every step of ITI-41: documents and metadata are both there, or neither."""

from pathlib import Path

from tests.support.killing_programs import run_program

PROGRAM = Path(__file__).with_name("killed_provision.py")


def test_a_kill_at_any_step_leaves_all_or_nothing_and_no_lost_bytes(tmp_path: Path) -> None:
    done = run_program(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stderr
    killed, untouched, registered, reclaimed = map(int, done.stdout.split())
    assert killed >= 25  # begin, rows, commits, writes, flushes, renames
    assert untouched + registered == killed
    assert registered >= 1  # committed and not answered
    assert reclaimed >= 10  # bytes that lay there without a name


def test_registering_before_the_bytes_are_durable_is_found_out(tmp_path: Path) -> None:
    """The control: the same program with the repository's order turned round."""
    done = run_program(PROGRAM, tmp_path, "torn")
    assert done.returncode != 0
    assert "tore the submission" in done.stderr
