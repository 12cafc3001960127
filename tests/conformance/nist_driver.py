"""The published kit's driver as a process of its own, on tests that are filled in."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub_runtime.conformance.driver import CHANGES
from hub_runtime.conformance.kit import Names, Prepared, prepare

_LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) ?(.*)")
_LONGEST_S = 600


@dataclass(frozen=True)
class Step:
    """What became of one step of a test."""

    outcome: str
    why: str


def prepared(kit: Path, root: Path, tests: Sequence[str], names: Names) -> Prepared:
    """Return the kit's driver and tests, completed as `eirhub conformance run` completes them."""
    source = (kit / "tools" / "nist2soap.py").read_text("utf-8")
    for before in CHANGES:
        assert source.count(before) == 1, f"the kit's driver has changed: {before}"
    return prepare(kit, root, tests, names)


def run_prepared(there: Prepared, tests: Sequence[str], options: Sequence[str]) -> dict[str, Step]:
    """Run `tests` that were prepared; returns what became of every step, by its name."""
    return _run(there.program, there.tests, tests, options)


def run_driver(
    kit: Path, folder: Path, tests: Sequence[str], options: Sequence[str]
) -> dict[str, Step]:
    """Run `tests` that lie in `folder` by the kit's driver as it is."""
    return _run(kit / "tools" / "nist2soap.py", folder, tests, options)


def _run(
    program: Path, folder: Path, tests: Sequence[str], options: Sequence[str]
) -> dict[str, Step]:
    command = [sys.executable, str(program), "run", str(folder), *tests, *options]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
    found = [one for one in map(_LINE.match, said.stdout.splitlines()) if one]
    assert found, said.stderr
    return {one[2]: Step(one[1].lower(), one[3]) for one in found}
