"""A hub in a process of its own, to be killed, traced and started again on the same data."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DETACH_S = 5
START_S = 240.0
_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = -1
READY = re.compile(r"eirhub ready .*?dicom=127\.0\.0\.1:([0-9]+)")


@dataclass(frozen=True)
class HubProcess:
    """A started DICOM node; `port` answers."""

    process: "subprocess.Popen[bytes]"
    port: int
    patience_s: float = START_S

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(self.patience_s)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(self.patience_s) == 0


def start_router(
    data: Path,
    *settings: str,
    program: tuple[str, ...] = ("-m", "hub_runtime.cli"),
    environment: Mapping[str, str] | None = None,
    patience_s: float = START_S,
) -> HubProcess:
    """Start `eirhub router` on `data`, admitting any AE title; return it once it is ready.

    Neither its start nor its end may take longer than `patience_s`.
    """
    log = data.with_suffix(".log")
    command = [sys.executable, *program, "router", "--data", str(data), "--set", "router.port=0"]
    for setting in ("router.accept_unknown_ae=true", *settings):
        command += ["--set", setting]
    said = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
            preexec_fn=_allow_tracing,  # noqa: PLW1509 (it makes one system call)
        )
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and process.poll() is None:
        ready = READY.search(log.read_text(errors="replace")[said:])
        if ready:
            return HubProcess(process, int(ready[1]), patience_s)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the hub did not start: {log.read_text(errors='replace')[said:]}")


@contextmanager
def traced(hub: HubProcess, log: Path, *options: str) -> Iterator[None]:
    """Attach strace with `options` to every thread of the hub; it writes to `log`."""
    messages = log.with_suffix(".attached")
    command = ["strace", "-f", *options, "-o", str(log), "-p", str(hub.process.pid)]
    with messages.open("wb") as output:
        tracer = subprocess.Popen(command, stderr=output)
    try:
        _await_attached(messages, tracer)
        yield
    finally:
        tracer.terminate()
        try:
            tracer.wait(_DETACH_S)
        except subprocess.TimeoutExpired:
            # A killed process that its tracer has not let go of cannot end either.
            tracer.kill()
            tracer.wait(START_S)


def _await_attached(messages: Path, tracer: "subprocess.Popen[bytes]") -> None:
    """Wait for the one line that strace writes when it has every thread."""
    deadline = time.monotonic() + START_S
    while "attached" not in messages.read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"strace cannot attach: {messages.read_text()}")
        time.sleep(0.02)


def _allow_tracing() -> None:
    """Let a process that is not the parent trace this one, where Yama would forbid it."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_long(_PR_SET_PTRACER_ANY), 0, 0, 0)
