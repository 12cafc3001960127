"""Start what is compared: EIR Hub, Orthanc, DCMTK's storescp, each in a fresh folder."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

_START_S = 90.0
_POLL_S = 0.05
_PDU_BYTES = 131_072
_READY = re.compile(r"eirhub ready .*?dicom=\S+?:(?P<dicom>[0-9]+).*?\bhttp=(?P<http>\S+)")


@dataclass(frozen=True)
class Receiver:
    """One program that takes C-STORE; `promises` says what its success answer means."""

    name: str
    promises: str
    program: str
    start: Callable[[Path], "Started"]

    @property
    def available(self) -> bool:
        """Tell whether the program is installed."""
        return shutil.which(self.program) is not None

    @contextmanager
    def running(self, folder: Path) -> Iterator["Started"]:
        """Run it on the empty `folder`; yields it once it answers a C-ECHO."""
        started = self.start(folder)
        try:
            _await_echo(started)
            yield started
        finally:
            started.process.terminate()
            started.process.wait(30)


@dataclass(frozen=True)
class Started:
    """A running receiver; `metrics` is where it says how it does, `web` its HTTP, if it has any."""

    process: "subprocess.Popen[bytes]"
    port: int
    metrics: str = ""
    web: str = ""

    def peak_bytes(self) -> int:
        """Return the most memory it has held, its children's included, in bytes."""
        own = psutil.Process(self.process.pid)
        return sum(_peak(one.pid) for one in (own, *own.children(recursive=True)))


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # a rendering child that has ended since it was listed
        return 0
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    return int(found[1]) * 1024 if found else 0


def _start_hub(folder: Path) -> Started:
    log = folder / "hub.log"
    settings = (
        "router.port=0",
        "web.port=0",
        "hl7.port=0",
        "viewer.port=0",
        "router.accept_unknown_ae=true",
    )
    command = [*HUB_COMMAND, "--data", str(folder / "data")]
    for setting in settings:
        command += ["--set", setting]
    process = _spawn(command, log)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not _ends_within(process, _POLL_S):
        ready = _READY.search(log.read_text())
        if ready:
            http = ready["http"]
            return Started(process, int(ready["dicom"]), f"{http}/metrics", http)
    process.kill()
    raise SystemExit(f"the hub did not start:\n{log.read_text()}")


def _start_orthanc(folder: Path) -> Started:
    """Orthanc as it is delivered, without HTTP; storage is synchronised, as is its default."""
    return _orthanc(folder, {"HttpServerEnabled": False, "Plugins": []})


def _start_orthanc_web(folder: Path) -> Started:
    """Orthanc with HTTP and its DICOMweb, for this machine alone and without accounts."""
    port = free_port()
    web = {
        "HttpServerEnabled": True,
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [ORTHANC_PLUGINS],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    return replace(_orthanc(folder, web), web=f"http://127.0.0.1:{port}")


def _orthanc(folder: Path, more: dict[str, object]) -> Started:
    port = free_port()
    configuration = folder / "orthanc.json"
    settings = {
        "Name": "BENCH",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowFind": True,
        "MaximumPduLength": _PDU_BYTES,
    }
    configuration.write_text(json.dumps(settings | more))
    return Started(_spawn(["Orthanc", str(configuration)], folder / "orthanc.log"), port)


def start_orthanc(folder: Path, settings: dict[str, object]) -> Started:
    """Start Orthanc with settings of one's own; returns once it answers a C-ECHO."""
    started = _orthanc(folder, settings)
    _await_echo(started)
    return started


def _start_storescp(folder: Path) -> Started:
    port = free_port()
    (folder / "files").mkdir()
    command = ["storescp", "--max-pdu", str(_PDU_BYTES), "-od", str(folder / "files")]
    command += ["--fork", str(port)]  # otherwise one association at a time
    return Started(_spawn(command, folder / "storescp.log"), port)


HUB_COMMAND = [sys.executable, "-m", "hub_runtime.cli", "serve"]
HUB = Receiver("EIR Hub", "durable, findable", sys.executable, _start_hub)
ORTHANC_PLUGINS = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
ORTHANC_WEB = Receiver("Orthanc", "with DICOMweb", "Orthanc", _start_orthanc_web)
ORTHANC = Receiver("Orthanc", "files synchronised, findable", "Orthanc", _start_orthanc)
STORESCP = Receiver("storescp", "nothing", "storescp", _start_storescp)
RECEIVERS = (HUB, ORTHANC, STORESCP)


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"TCP_NODELAY": "1"}
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment)


def _await_echo(started: Started) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not _ends_within(started.process, _POLL_S):
        answered = subprocess.run(
            ["echoscu", "-to", "2", "127.0.0.1", str(started.port)],
            capture_output=True,
            check=False,
        )
        if answered.returncode == 0:
            return
    raise SystemExit("a receiver did not answer C-ECHO")


def _ends_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Give a starting process some time; True as soon as it ends instead."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
