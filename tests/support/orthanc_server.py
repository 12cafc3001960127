"""An Orthanc of the tests' own, from Debian's packages, on free ports, gone afterwards."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from image_archive.backends.orthanc_client import OrthancServer
from tests.support.child_server import ChildServer, end_with_parent
from tests.support.ports import free_port
from tests.support.tools import require_tool
from tests.support.waiting import eventually

USER, PASSWORD = "eirhub", "token-of-the-tests"


@dataclass(kw_only=True)
class Orthanc(ChildServer):
    """One that can be killed, frozen and started again on the same ports and data."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """The root of its REST API."""
        return f"http://127.0.0.1:{self.http_port}"

    def server(self, **changes: Any) -> OrthancServer:
        """It, as the hub is told of it."""
        told = {"url": self.url, "user": USER, "password": PASSWORD, "timeout_s": 10.0}
        return OrthancServer(**{**told, **changes})

    def rest(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Ask it as the hub's user; bytes where the answer is no JSON."""
        headers = urllib3.util.make_headers(basic_auth=f"{USER}:{PASSWORD}")
        with urllib3.PoolManager(retries=False, timeout=60.0) as pool:
            answer = pool.request(method, f"{self.url}{path}", body=body, headers=headers)
            if answer.status != 200:
                raise AssertionError(f"{method} {path}: {answer.status} {answer.data[:300]!r}")
            try:
                return json.loads(answer.data)
            except ValueError:
                return answer.data

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps({**self._options(), **self.options}))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [require_tool("Orthanc"), str(file)],
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (it makes one system call)
                env={"PATH": "/usr/bin:/bin", **self.environment},
            )
        eventually(self._answers_or_has_ended)
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]

    def _answers_or_has_ended(self) -> bool:
        try:
            return bool(self.rest("GET", "/system"))
        except HTTPError:
            return self.process is None or self.process.poll() is not None

    def empty(self) -> None:
        """Delete all it has."""
        for patient in self.rest("GET", "/patients"):
            self.rest("DELETE", f"/patients/{patient}")

    def stored_file(self, instance_id: str) -> Path:
        """Where it keeps the file of an instance."""
        uuid = self.rest("GET", f"/instances/{instance_id}")["FileUuid"]
        (found,) = (self.folder / "data").glob(f"*/*/{uuid}")
        return found

    def _options(self) -> dict[str, Any]:
        return {
            "Name": "tests",
            "StorageDirectory": str(self.folder / "data"),
            "IndexDirectory": str(self.folder / "data"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "MaximumStorageCacheSize": 0,
            "StableAge": 1,
            "Plugins": [],
        }


@contextmanager
def running_orthanc(folder: Path, **options: Any) -> Iterator[Orthanc]:
    """A running Orthanc that keeps its data in `folder`."""
    server = Orthanc(folder=folder, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
