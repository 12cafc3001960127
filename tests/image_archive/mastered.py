"""An archive whose backend knows masters, and what its readers get."""

import hashlib
from pathlib import Path
from typing import Any

from eir_versions.master_reading import HtMasterReader
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.masters import BackendWithMasters
from image_archive.service import ArchiveService


class MasteredArchive:
    """An archive in `folder` over the backend `below`."""

    def __init__(self, folder: Path, clock: Any, below: ArchiveBackend) -> None:
        self.database = Database(f"sqlite:///{folder / 'hub.sqlite'}", clock=clock)
        self.backend = BackendWithMasters(below, HtMasterReader())
        self.archive = ArchiveService(self.database, self.backend, clock)
        self.index = ArchiveIndex(self.database, settled=self.archive.settled)

    def digests(self) -> dict[str, str]:
        """SHA-256 of each whole file, as a reader gets it."""
        found = {}
        for record in self.index.instances_of("1.2.3"):
            with self.archive.open_instance(record.sop_instance_uid) as stream:
                found[record.sop_instance_uid] = hashlib.sha256(stream.read()).hexdigest()
        return found

    def close(self) -> None:
        self.archive.close()
        self.database.dispose()
