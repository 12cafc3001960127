"""Run `eirhub serve` as a process of its own, as its users do."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.commands import run_command

ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"eirhub ready(?: dicom=(\S+):(\d+))?(?: http=(\S+))?(?: hl7=(\S+))?")
_TLS_PORT = re.compile(r" dicom_tls=\S+:(\d+)")
_START_S = 240
_STARTING = {"serve", "router", "web", "worker", "hl7", "edge", "demo"}


@dataclass(frozen=True)
class RunningHub:
    """A hub that has printed its ready line."""

    process: "subprocess.Popen[str]"
    data: Path
    dicom_port: int
    http: str
    hl7: str = ""
    dicom_tls_port: int = 0

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def eirhub(*args: object, data: Path) -> "subprocess.CompletedProcess[str]":
    """Run one command of the hub on `data`, in a process of its own.

    Commands that keep processes of their own, or stay, begin as their users begin them.
    """
    words = [*map(str, args), "--data", str(data)]
    # `router` starts one, `router queue` looks at one.
    if words[0] not in _STARTING or not words[1].startswith("-"):
        return run_command(words, ROOT)
    command = [sys.executable, "-m", "hub_runtime.cli", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )


@contextmanager
def running_hub(
    data: Path,
    *overrides: str,
    prefix: tuple[str, ...] = (),
    program: tuple[str, ...] = ("-m", "hub_runtime.cli"),
    config: Path | None = None,
    cwd: Path = ROOT,
) -> Iterator[RunningHub]:
    """Start a hub on free ports in `cwd`; it is ended when the block ends.

    `prefix` may be a tracer.
    """
    settings = (
        "router.port=0",
        "web.port=0",
        "hl7.port=0",
        "viewer.port=0",
        "study.quiet_period_s=1",
        *overrides,
    )
    command = [*prefix, sys.executable, *program, "serve", "--data", str(data)]
    if config is not None:
        command += ["--config", str(config)]
    for override in settings:
        command += ["--set", override]
    with (data.parent / f"{data.name}.log").open("a") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
        )
    try:
        line = _first_line(process)
        ready = _READY.match(line)
        assert ready, f"the hub did not become ready: {line!r}"
        tls = _TLS_PORT.search(line)
        yield RunningHub(
            process,
            data,
            int(ready[2] or 0),
            ready[3] or "",
            ready[4] or "",
            int(tls[1]) if tls else 0,
        )
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()


def _first_line(process: "subprocess.Popen[str]") -> str:
    lines: queue.Queue[str] = queue.Queue()

    def read(stream: IO[str]) -> None:
        lines.put(stream.readline())

    assert process.stdout
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return lines.get(timeout=_START_S)
