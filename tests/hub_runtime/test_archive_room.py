"""Want of room is said once in the log, and once when it is over."""

from pathlib import Path

import pytest

from hub_runtime.archive_room import ArchiveRoom
from image_archive.backends.filesystem import FilesystemBackend


class Disk(FilesystemBackend):
    """The real backend on a disk whose fill a test can set."""

    free = 1

    def free_bytes(self) -> int:
        return self.free


def test_only_changes_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(tmp_path)
    room = ArchiveRoom(disk)
    said = []
    for free in (1, 1, 0, 0, 0, 5, 5, 0):
        disk.free = free
        room.watch()
        said.append([record.message.split(":")[0] for record in caplog.records])
        caplog.clear()
    below = ["the archive is below its reserve"]
    above = ["the archive is above its reserve again"]
    assert said == [[], [], below, [], [], above, [], below]
