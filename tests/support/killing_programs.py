"""Run a program that kills its own children, beside the test that judges what is left."""

import subprocess
import sys
from pathlib import Path

_PATIENCE_S = 280


def run_program(program: Path, root: Path, *how: str) -> "subprocess.CompletedProcess[str]":
    """Run `program` on the folder `root`; what it counted is on its standard output."""
    return subprocess.run(
        [sys.executable, str(program), str(root), *how],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )
