"""The published kit's driver, run against a registry and repository in this process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.xds_registry.trial import Trial, served, trial

_LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) ?(.*)")


@dataclass(frozen=True)
class Outcome:
    """What became of one step of a test."""

    result: str
    why: str


@dataclass(frozen=True)
class NistHub:
    """The kit, the hub's parts, and where it listens."""

    kit: Path
    here: Trial
    base: str

    def run(self, *tests: str, pid: str) -> dict[str, Outcome]:
        """Run tests of the kit with its driver; returns what became of every step, by name."""
        command = [sys.executable, str(self.kit / "tools/nist2soap.py"), "run"]
        command += [str(self.kit / "nist/tests"), *tests, "--pid", pid]
        command += ["--registry", f"{self.base}/xds/registry"]
        command += ["--repository", f"{self.base}/xds/repository"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
        found = map(_LINE.match, done.stdout.splitlines())
        return {one[2]: Outcome(one[1].lower(), one[3]) for one in found if one}


@contextmanager
def nist_hub(root: Path, kit: Path) -> Iterator[NistHub]:
    """Open a hub in `root` with the kit's affinity domain."""
    domain = kit / "nist/environment/codes.xml"
    with trial(root, domain) as here, served(here.application) as base:
        yield NistHub(kit, here, base)
