"""Small archives nobody here wrote, as destinations: DCMTK's dcmqrscp and pynetdicom's qrscp."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.ports import free_port, listens
from tests.support.tools import require_tool
from tests.support.waiting import eventually


@dataclass(frozen=True)
class QueryArchive:
    """A running archive with one AE title, and the folder it keeps its files in."""

    ae_title: str
    port: int
    folder: Path

    def instances(self) -> dict[str, Dataset]:
        """What it keeps, by SOP Instance UID."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        kept = [dcmread(path) for path in files if path.name != "index.dat"]
        return {str(one.SOPInstanceUID): one for one in kept}


@contextmanager
def dcmqrscp(folder: Path) -> Iterator[QueryArchive]:
    """DCMTK's archive, as its manual page configures it."""
    program, archive = require_tool("dcmqrscp"), _new_archive("DCMQRSCP", folder)
    settings = folder.with_suffix(".cfg")
    settings.write_text(
        f"NetworkTCPPort = {archive.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{archive.ae_title} {folder} RW (200, 1024mb) ANY\nAETable END\n"
    )
    with _running([program, "-c", str(settings)], archive):
        yield archive


@contextmanager
def pynetdicom_qrscp(folder: Path) -> Iterator[QueryArchive]:
    """The query/retrieve SCP among pynetdicom's own applications."""
    archive = _new_archive("PYQRSCP", folder)
    command = [sys.executable, "-m", "pynetdicom", "qrscp", "--port", str(archive.port)]
    command += ["-aet", archive.ae_title, "-ba", "127.0.0.1"]
    command += ["--database-location", str(folder.with_suffix(".sqlite"))]
    command += ["--instance-location", str(folder)]
    with _running(command, archive):
        yield archive


def _new_archive(ae_title: str, folder: Path) -> QueryArchive:
    folder.mkdir()
    return QueryArchive(ae_title, free_port(), folder)


@contextmanager
def _running(command: list[str], archive: QueryArchive) -> Iterator[None]:
    log = archive.folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is not None or listens(archive.port))
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.kill()
        process.wait()
