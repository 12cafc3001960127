"""Find the real peers that tests run against; say how to get them where they are missing."""

import ctypes
import os
import shutil
from pathlib import Path

import pytest

from eir_versions.h264 import LIBRARY

PACKAGES = {
    "storescu": "dcmtk",
    "storescp": "dcmtk",
    "dcmqrscp": "dcmtk",
    "echoscu": "dcmtk",
    "findscu": "dcmtk",
    "movescu": "dcmtk",
    "getscu": "dcmtk",
    "dcmsend": "dcmtk",
    "dcmj2pnm": "dcmtk",
    "dsrdump": "dcmtk",
    "dcmdump": "dcmtk",
    "dcmmkdir": "dcmtk",
    "dciodvfy": "dicom3tools",
    "chromium": "chromium",
    "strace": "strace",
    "faketime": "faketime",
    "Orthanc": "orthanc",
    "openssl": "openssl",
    "postgres": "postgresql",
    "epmd": "rabbitmq-server",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
    "rsyslogd": "rsyslog rsyslog-openssl",
    "xmlsec1": "xmlsec1",
    "haproxy": "haproxy",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
# Where Debian keeps programs that are not everybody's.
_ELSEWHERE = ("/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))))


def require_tool(name: str) -> str:
    """Return the path of a Debian tool; skip by name without it, fail without it in CI."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE)))
    if found:
        return found
    reason = f"needs {name}: apt-get install {PACKAGES[name]}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_orthanc_plugins(*names: str) -> None:
    """Skip by name without these plugins of Orthanc, fail without them in CI."""
    for name in names:
        if not Path(f"/usr/share/orthanc/plugins/libOrthanc{name}.so").exists():
            reason = f"needs apt-get install orthanc-{name.lower()}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)


def require_openh264() -> None:
    """Skip by name without the library that encodes movies, fail without it in CI."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        reason = f"needs {LIBRARY}: apt-get install libopenh264-7"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def require_conformance(*parts: str) -> Path:
    """Return a path of the conformance material beside the project; skip or fail without it."""
    path = Path(__file__).resolve().parents[3] / "shared" / "conformance" / Path(*parts)
    if path.exists():
        return path
    reason = f"needs ../shared/conformance/{'/'.join(parts)} beside the project"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
