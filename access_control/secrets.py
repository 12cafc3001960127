"""Key files in the data directory: made on first use, readable by the hub's own user alone.

Keys never enter the database: who steals a copy of it can neither forge the audit trail nor try
passcodes.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from access_control.errors import InsecureKeyFileError

KEY_BYTES = 32
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class KeyStore:
    """The keys in `directory`, one file each, of 32 random bytes, mode 0600."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def key(self, name: str) -> bytes:
        """Return the key called `name` (a-z, 0-9, -); it is made, durably, when there is none.

        Two processes that ask for a new key at the same time get the same one.

        Raises:
            InsecureKeyFileError: the file is a link, others may read it, or it holds no 32 bytes.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("a key's name is 1 to 32 of a-z, 0-9 and -")
        path = self._directory / f"{name}.key"
        if not path.exists():
            self._create(path)
        return _read(path)

    def _create(self, path: Path) -> None:
        """Write the key under a name of its own and link it: the first one to link wins."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return
        finally:
            draft.unlink()
        sync_directory(self._directory)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as unreadable:
        raise InsecureKeyFileError(
            f"key file {path.name}: cannot be read as a plain file: {unreadable.strerror}"
        ) from unreadable
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise InsecureKeyFileError(
                f"key file {path.name}: only its owner may read it; set its mode to 0600"
            )
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise InsecureKeyFileError(f"key file {path.name}: must hold exactly {KEY_BYTES} bytes")
    return key


def sync_directory(directory: Path) -> None:
    """Make the entries of `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
