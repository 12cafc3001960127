"""What a backup consists of, and what can be wrong with one."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from hub_kernel.errors import HubError

FORMAT = 1


class BackupError(HubError):
    """A backup cannot be taken, read or restored; the message says why."""


class DamagedBackupError(BackupError):
    """Something in a backup is not what was written; nothing of it has been restored."""


@dataclass(frozen=True)
class HeldTable:
    """One table: its columns, how many rows, and the SHA-256 of all of them."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True)
class HeldObject:
    """One object of the archive: its key, its length, and the SHA-256 of its bytes.

    One that was `damaged` when it was copied gives way to whole bytes when a later backup has them.
    """

    key: str
    size: int
    sha256: str
    damaged: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class HeldFile:
    """One file of a backup beside the objects: its name, its length, its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One backup: everything it consists of, with digests.

    `taken_at` is ISO 8601 in UTC; `damaged` names keys whose bytes were not those once received or
    could not be read, `missing` instances of which there are no bytes in it.
    """

    taken_at: str
    version: str
    revision: str
    hub: str
    tables: tuple[HeldTable, ...]
    files: tuple[HeldFile, ...]
    objects: int
    object_bytes: int
    encrypted: bool
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """How many rows all tables have."""
        return sum(table.rows for table in self.tables)

    def told(self) -> dict[str, Any]:
        """Return the manifest as what JSON can say."""
        return asdict(self)


def manifest_of(said: dict[str, Any]) -> Manifest:
    """Return the manifest that `Manifest.told` gave.

    Raises:
        BackupError: a later version of the hub wrote it.
    """
    if said.get("format") != FORMAT:
        raise BackupError(f"this backup has format {said.get('format')}, not {FORMAT}")
    tables = tuple(
        HeldTable(one["name"], tuple(one["columns"]), one["rows"], one["sha256"])
        for one in said["tables"]
    )
    files = tuple(HeldFile(**one) for one in said["files"])
    rest = {"tables": tables, "files": files}
    lists = {name: tuple(said[name]) for name in ("damaged", "missing")}
    return Manifest(**{**said, **rest, **lists})


class Source(Protocol):
    """What a hub can be brought back from: a backup, or an export."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def folder(self) -> Path:
        """Where its files are."""
        ...

    @property
    def has_masters(self) -> bool:
        """Whether what was compacted is in it as its master; else every instance as received."""
        ...

    def manifest(self) -> Manifest:
        """Return what it consists of.

        Raises:
            DamagedBackupError: that cannot be told.
        """
        ...

    def objects(self) -> Iterator[HeldObject]:
        """Yield the objects of the archive."""
        ...

    def open_object(self, held: HeldObject) -> BinaryIO:
        """Return the bytes of one; raises OSError where there are none."""
        ...

    def rows(self, table: str) -> Iterator[bytes]:
        """Yield the rows of a table, one line each."""
        ...
