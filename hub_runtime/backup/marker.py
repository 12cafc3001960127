"""The file that says: a restore to this data folder is under way, of what, and to where."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from access_control.secrets import sync_directory
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings
from hub_runtime.backup.folder import flush_file
from hub_runtime.backup.model import BackupError

MARKER = "restoring.json"
_DRAFT = f".{MARKER}"


@dataclass(frozen=True)
class Mark:
    """Which backup, taken when, goes where.

    `place` is empty until the database and the archive there were seen to be empty.
    """

    source: str
    taken_at: str
    place: str = ""


def refuse_half_restored(settings: Settings) -> None:
    """Refuse to work with a data folder that a restore has not finished.

    Raises:
        ConfigurationError: it is one.
    """
    if (settings.hub.data_dir / MARKER).exists():
        raise ConfigurationError(
            f"{settings.hub.data_dir} is half restored: run eirhub restore (or import) again to "
            "finish it"
        )


def place_of(settings: Settings) -> str:
    """Return what tells databases and archives apart, without showing their passwords."""
    bucket, folder = settings.s3, settings.archive_path.absolute()
    wanted = [settings.database_url, settings.archive.backend, str(folder), settings.orthanc.url]
    wanted += [bucket.endpoint, bucket.bucket, bucket.prefix]
    return hashlib.sha256("\n".join(wanted).encode()).hexdigest()


def mark_in(data: Path, begun: Mark) -> Mark | None:
    """Return what an earlier restore of the same backup has begun; None for an empty folder.

    Raises:
        BackupError: `data` holds something else, or a restore of another backup was begun.
    """
    marker = data / MARKER
    if not marker.is_file():
        held = {path.name for path in data.iterdir()} if data.is_dir() else set()
        if held - {_DRAFT}:
            raise BackupError(f"{data} is not empty: restore to a new folder")
        return None
    try:
        marked = Mark(**json.loads(marker.read_bytes()))
    except (TypeError, ValueError):  # an earlier version's: nothing is known of it
        return Mark("", "")
    if marked.place and (marked.source, marked.taken_at) != (begun.source, begun.taken_at):
        raise BackupError(
            f"{data} is half restored from {marked.source} of {marked.taken_at}; name that one, or "
            "empty it"
        )
    return marked


def write_mark(data: Path, mark: Mark) -> None:
    """Write it durably, in one step."""
    draft = data / _DRAFT
    draft.write_text(json.dumps(asdict(mark)), "utf-8")
    flush_file(draft)
    draft.rename(data / MARKER)
    sync_directory(data)


def remove_mark(data: Path) -> None:
    """Say that the folder is whole."""
    (data / MARKER).unlink()
    sync_directory(data)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Make the folder, and keep every other restore to it out.

    Raises:
        BackupError: another one is at work.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"another restore to {data} is under way") from error
        yield
    finally:
        os.close(descriptor)
