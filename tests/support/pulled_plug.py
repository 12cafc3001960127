"""A disk of its own, an ext4 image on a loop mount, whose power can be cut at any moment.

`cut` shuts the file system down as it is (EXT4_IOC_SHUTDOWN, without flushing its log): what had
not reached the device is gone, whatever the kernel still held in memory.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_UNMOUNT_S = 300.0


@dataclass(frozen=True)
class Disk:
    """The image, and where it is mounted."""

    image: Path
    mount: Path

    def cut(self) -> None:
        """Cut the power now."""
        folder = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def turn_on(self) -> None:
        """Mount it as a machine does that starts again."""
        subprocess.run(["mount", "-o", "loop", self.image, self.mount], check=True)

    def turn_off(self) -> None:
        """Let go of it, once whoever used it has ended."""
        deadline = time.monotonic() + _UNMOUNT_S
        while self._is_mounted():
            done = subprocess.run(["umount", self.mount], capture_output=True, check=False)
            if done.returncode and time.monotonic() > deadline:
                raise AssertionError(f"cannot unmount: {done.stderr.decode(errors='replace')}")
            time.sleep(0.05)

    def _is_mounted(self) -> bool:
        """Ask the kernel's list: a disk without power cannot be looked at."""
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
        return any(line.split()[4] == str(self.mount) for line in mounts)


@contextmanager
def disk_of_its_own(folder: Path, megabytes: int = 512) -> Iterator[Disk]:
    """Make and mount a disk in `folder`; it is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system to cut its power")
    disk = Disk(folder.resolve() / "disk.img", folder.resolve() / "disk")
    with disk.image.open("wb") as file:
        file.truncate(megabytes * 1_048_576)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.image], check=True)
    disk.mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-o", "loop", disk.image, disk.mount], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no loop mounts here: {mounted.stderr.decode(errors='replace').strip()}")
    try:
        yield disk
    finally:
        disk.turn_off()
        disk.image.unlink()
