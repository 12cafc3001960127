"""Start a hub as a process of its own, wait for its ready line, end it in order."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub_kernel.errors import HubError
from hub_kernel.settings import Settings

_READY = re.compile(r"eirhub ready dicom=(\S+):(\d+) http=(\S+)")
_END_S = 30


class StartError(HubError):
    """The hub did not become ready."""


@dataclass(frozen=True)
class DemoHub:
    """A running hub: where it answers, and its process."""

    dicom_host: str
    dicom_port: int
    http: str
    process: "subprocess.Popen[str]"


@contextmanager
def started_hub(arguments: list[str], settings: Settings) -> Iterator[DemoHub]:
    """Run `eirhub serve` with `arguments` until the block ends.

    Raises:
        StartError: it ended before it was ready; the message shows its last words.
    """
    log = settings.hub.data_dir / "demo.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 (this very interpreter)
            [sys.executable, "-m", "hub_runtime.cli", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        ready = _READY.match(line)
        if not ready:
            raise StartError(f"the hub did not start:\n{_last_words(log)}")
        yield DemoHub(ready.group(1), int(ready.group(2)), ready.group(3), process)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8").splitlines()[-10:])
