"""SIGKILL at every step of registering a correction: all of it is there, or nothing.

The short form is in `test_report_documents.py`: an error on the way.
"""

from pathlib import Path

import pytest

from tests.support.killing_programs import run_program

pytestmark = pytest.mark.long
PROGRAM = Path(__file__).with_name("killed_report.py")


def test_a_kill_at_any_step_registers_all_or_nothing(tmp_path: Path) -> None:
    done = run_program(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stderr
    killed, registered = map(int, done.stdout.split())
    assert killed >= 12  # bytes, rows of document, set, entry, associations, status
    assert registered >= 1  # committed and not told


def test_control_an_entry_before_its_associations_is_found_out(tmp_path: Path) -> None:
    done = run_program(PROGRAM, tmp_path, "torn")
    assert done.returncode != 0
    assert "torn" in done.stderr
