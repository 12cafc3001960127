"""The folder of a full export: what lies where, and how it is read again.

README.md        what all of this is, in Chinese and English
schema.json      every table and column of rows/, in words
dicom/…          every instance as a plain DICOM file, by site, date, study and series
index.csv        one line for each of them: where it is, whose it is, its SHA-256
objects/…        documents, rendered versions and parked bytes, under the names that rows use
rows/*.ndjson    every row: audit trail, identity links, versions' ledger, document entries …
files.ndjson     every file of dicom/ and objects/ with its length and SHA-256
protected        keys and settings
manifest.json    digests of all the others; it comes last, so an export without it is unfinished
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hub_runtime.backup.folder import lines_of, read_manifest
from hub_runtime.backup.model import DamagedBackupError, HeldObject, Manifest

FILES = "files.ndjson"
DICOM, OBJECTS = "dicom", "objects"


@dataclass(frozen=True)
class ExportedObject(HeldObject):
    """One object of the archive, and the file of the export that holds it."""

    path: str

    def line(self) -> bytes:
        """Return it as one line of `files.ndjson`."""
        return json.dumps(vars(self), ensure_ascii=False).encode() + b"\n"


class ExportFolder:
    """A finished export; a `Source` to bring a hub back from."""

    has_masters = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self._folder.name

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._folder

    def manifest(self) -> Manifest:
        """Return what it consists of; raises as `read_manifest`, also for an unfinished one."""
        return read_manifest(self._folder)

    def objects(self) -> Iterator[HeldObject]:
        """Yield the objects of the archive.

        Raises:
            DamagedBackupError: the list holds something else, or names a file outside.
        """
        for line in lines_of(self._folder / FILES):
            try:
                held = ExportedObject(**json.loads(line))
            except (TypeError, ValueError) as error:
                raise DamagedBackupError(f"{FILES} holds something else than files") from error
            path = PurePosixPath(held.path)
            if path.parts[0] not in {DICOM, OBJECTS} or ".." in path.parts:
                raise DamagedBackupError(f"{FILES} names a file outside of the export")
            yield held

    def open_object(self, held: HeldObject) -> BinaryIO:
        """Return the bytes of one; raises OSError where there are none."""
        assert isinstance(held, ExportedObject)  # noqa: S101 - `objects` yields nothing else
        return (self._folder / held.path).open("rb")

    def rows(self, table: str) -> Iterator[bytes]:
        """Yield the rows of a table, one line each."""
        return lines_of(self._folder / f"rows/{table}.ndjson")
