"""The published kit's driver as a process of its own, on tests whose symbols are filled in."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) ?(.*)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LONGEST_S = 600


@dataclass(frozen=True)
class Step:
    """What became of one step of a test."""

    outcome: str
    why: str


def completed_tests(kit: Path, root: Path, tests: Sequence[str], values: Mapping[str, str]) -> Path:
    """Return a copy of `tests` with the symbols filled in that neither plan nor driver resolves.

    Some of the kit's plans leave `$patientid$` to the configuration of the toolkit they are from.
    """
    copy = root / "nist-tests"
    for test in tests:
        shutil.copytree(kit / "nist" / "tests" / test, copy / test, copy_function=shutil.copyfile)
    for folder in (path for path in copy.rglob("*") if path.is_dir()):
        folder.chmod(0o755)
    for path in copy.rglob("*.xml"):
        if path.name != "testplan.xml":
            _complete(path, values)
    return copy


def run_driver(
    kit: Path, folder: Path, tests: Sequence[str], options: Sequence[str]
) -> dict[str, Step]:
    """Run `tests` that lie in `folder`; returns what became of every step, by its name."""
    program = str(kit / "tools" / "nist2soap.py")
    command = [sys.executable, program, "run", str(folder), *tests, *options]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
    found = [one for one in map(_LINE.match, said.stdout.splitlines()) if one]
    assert found, said.stderr
    return {one[2]: Step(one[1].lower(), one[3]) for one in found}


def _complete(path: Path, values: Mapping[str, str]) -> None:
    plans = (path.parent / "testplan.xml", path.parent.parent / "testplan.xml")
    used = "".join(_COMMENT.sub("", one.read_text("utf-8")) for one in plans if one.exists())
    text = path.read_text("utf-8", errors="replace")
    for symbol, value in values.items():
        if f'"{symbol}"' not in used:
            text = text.replace(symbol, value.replace("&", "&amp;"))
    path.write_text(text, "utf-8")
