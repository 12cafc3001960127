"""A data folder that hubs receive into while something fails, and what they have promised."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.dicom_router.instances import ct, encoded
from tests.image_archive.datasets import kept_files
from tests.support.hub_process import HubProcess, start_router
from tests.support.pushing import Sent, push
from tests.support.serving_hub import eirhub

INSTANCES = 12
CONTROL = "tests/flows/hasty_hub.py"
FULL, STOPPED, CONFLICT = 0xA700, 0xA701, 0x0111


def series_of(number: int, *, size: int = 40_000, tint: int = 0) -> list[Sent]:
    """Twelve instances of a study of their own; another `tint` is other pixels."""
    study = f"1.2.826.0.1.3680043.10.1603.8.{number}"
    made = []
    for position in range(1, INSTANCES + 1):
        pixels = bytes([(position + tint) % 256]) * size
        instance = ct(position, study, PixelData=pixels)
        made.append(Sent(str(instance.SOPInstanceUID), encoded(instance)))
    return made


@dataclass
class Trial:
    """One data folder, the hubs that ran on it, and what they promised: UID → SHA-256."""

    data: Path
    started: list[HubProcess] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)
    database: Path | None = None

    def start(self, *settings: str, misdeed: str = "", **environment: str) -> HubProcess:
        program = (CONTROL, misdeed) if misdeed else ("-m", "hub_runtime.cli")
        hub = start_router(self.data, *settings, program=program, environment=environment)
        self.started.append(hub)
        return hub

    def send(self, port: int, instances: list[Sent], timeout_s: float = 60.0) -> dict[str, int]:
        """Push, and note what was acknowledged with success."""
        answered = push(port, instances, timeout_s=timeout_s)
        for sent in instances:
            if answered.get(sent.sop_instance_uid) == 0:
                assert isinstance(sent.dataset, bytes)
                digest = hashlib.sha256(sent.dataset).hexdigest()
                self.promised.setdefault(sent.sop_instance_uid, digest)
        return answered

    def rows(self, statement: str) -> list[tuple[str, ...]]:
        path = self.database or self.data / "eirhub.sqlite"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return database.execute(statement).fetchall()
        finally:
            database.close()

    def lost(self) -> list[str]:
        """Promised instances that are not there byte for byte, and what `verify` finds wrong."""
        stored = {}
        for uid, key in self.rows("SELECT sop_instance_uid, storage_key FROM instance"):
            file = self.data / "archive" / key
            if file.exists():
                stored[uid] = _dataset_digest(file.read_bytes())
        lost = [uid for uid, digest in self.promised.items() if stored.get(uid) != digest]
        verified = eirhub("archive", "verify", data=self.data)
        return lost + ([verified.stdout + verified.stderr] if verified.returncode else [])

    def temporary_files(self) -> list[Path]:
        kept = kept_files(self.data / "archive")
        return [path for path in kept if path.parent.name == "incoming"]

    def announced_in_temporary_files(self) -> set[str]:
        """UIDs in the file meta information of files not published; idle ones have none."""
        announced: set[str] = set()
        for path in self.temporary_files():
            with suppress(FileNotFoundError):
                head = path.read_bytes()[:1024]
                announced |= {uid.decode() for uid in re.findall(rb"[0-9.]{16,64}", head)}
        return announced


def _dataset_digest(file: bytes) -> str:
    meta = 132 + 12 + int.from_bytes(file[140:144], "little")
    return hashlib.sha256(file[meta:]).hexdigest()


@contextmanager
def trial_in(folder: Path) -> Iterator[Trial]:
    """A trial whose hubs are killed when the block ends."""
    trial = Trial(folder)
    yield trial
    for hub in trial.started:
        if hub.process.poll() is None:
            hub.kill()
