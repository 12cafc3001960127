"""Write everything a hub holds to a folder of plain files, beside the running hub."""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from sqlalchemy import select

from access_control.secrets import sync_directory
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_runtime.backup import protected
from hub_runtime.backup.checking import digest_of, is_as_received
from hub_runtime.backup.folder import PROTECTED, BackupFolder, held_file, lines_of, write_manifest
from hub_runtime.backup.model import BackupError, Manifest
from hub_runtime.backup.taking import DERIVED, MOST_NAMED, begin_manifest, dump_tables
from hub_runtime.exit.describing import README, schema_description
from hub_runtime.exit.folder import DICOM, FILES, OBJECTS, ExportedObject
from hub_runtime.hub import Hub
from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.model import Condition
from image_archive.tables import INSTANCE, SERIES, STUDY

_CHUNK_BYTES = 1_048_576
_PER_QUERY = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_INDEX = "index.csv"
_COLUMNS = (
    STUDY.c.site_id,
    STUDY.c.issuer_namespace,
    STUDY.c.issuer_oid,
    STUDY.c.patient_id,
    STUDY.c.name_ideographic,
    STUDY.c.name_alphabetic,
    STUDY.c.patient_birth_date,
    STUDY.c.patient_sex,
    STUDY.c.accession_number,
    STUDY.c.study_date,
    STUDY.c.study_description,
    SERIES.c.modality,
    SERIES.c.body_part_examined,
    STUDY.c.study_instance_uid,
    SERIES.c.series_instance_uid,
    INSTANCE.c.sop_instance_uid,
    INSTANCE.c.received_at,
    INSTANCE.c.dataset_sha256,
)

Progress = Callable[[int, int], None]


def export_everything(
    hub: Hub, target: Path, show: Callable[[str], Progress], passphrase: str = ""
) -> Manifest:
    """Write a full export of `hub` to the folder `target`; one that was cut short goes on.

    The manifest names what is damaged, and which instances are left out because their bytes are
    gone or cannot be read.

    Raises:
        BackupError: the folder holds something else, another export is under way, or something
            that was acknowledged is not in the archive yet.
        OSError: it cannot be written.
    """
    folder = target.absolute()
    _require_own(folder)
    with BackupFolder(folder).alone():
        (folder / "manifest.json").unlink(missing_ok=True)
        if not hub.archive.settled():
            raise BackupError(
                "what was acknowledged last waits for the archive: eirhub doctor, then export again"
            )
        begun = begin_manifest(hub, encrypted=bool(passphrase))
        (folder / "rows").mkdir(mode=0o700, exist_ok=True)
        (folder / PROTECTED).write_bytes(protected.pack(hub.settings, passphrase))
        (folder / "README.md").write_text(README, "utf-8")
        (folder / "schema.json").write_text(schema_description(), "utf-8")
        tables = dump_tables(hub.database, folder, show("rows"), packed=False)
        expected = next(table.rows for table in tables if table.name == INSTANCE.name)
        writing = _Writing(hub.database, hub.base.backend, folder)
        writing.run(expected, show("files"))
        written = writing.written
        names = [PROTECTED, "README.md", "schema.json", FILES, _INDEX]
        names += [f"rows/{table.name}.ndjson" for table in tables]
        manifest = replace(
            begun,
            tables=tuple(tables),
            files=tuple(held_file(folder, name) for name in names),
            objects=written.objects,
            object_bytes=written.size,
            damaged=tuple(written.damaged[:MOST_NAMED]),
            missing=tuple(islice(writing.missing(), MOST_NAMED)),
        )
        write_manifest(folder, manifest)
        sync_directory(folder)
    return manifest


def _require_own(folder: Path) -> None:
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held and "lock" not in held:
        raise BackupError(f"{folder} is not empty, and no export that could go on")


@dataclass
class _Written:
    objects: int = 0
    size: int = 0
    damaged: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Writing:
    database: Database
    backend: ArchiveBackend
    folder: Path
    written: _Written = field(default_factory=_Written)

    def run(self, expected: int, progress: Progress) -> None:
        """Write every object of the archive as a file."""
        written, index = self.written, self.folder / _INDEX
        with (self.folder / FILES).open("wb") as files, index.open("w", encoding="utf-8") as lines:
            table = csv.writer(lines)
            table.writerow(["path", *(column.name for column in _COLUMNS)])
            for key, row in self._keys():
                held = self._held(key, row)
                if held is None:
                    continue
                files.write(held.line())
                if row is not None:
                    table.writerow([held.path, *map(_cell, row)])
                written.objects += 1
                written.size += held.size
                progress(written.objects, max(written.objects, expected))

    def _keys(self) -> Iterator[tuple[str, Any]]:
        """Yield every key with the row of the instance it holds, None for other objects."""
        everything = self.backend.keys()
        found = (key for key in everything if not key.startswith(DERIVED))
        while some := list(islice(found, _PER_QUERY)):
            rows = self._rows(some)
            yield from ((key, rows.get(key)) for key in some)

    def _rows(self, keys: list[str]) -> dict[str, Any]:
        wanted = (
            select(INSTANCE.c.storage_key, *_COLUMNS)
            .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
            .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
            .where(INSTANCE.c.storage_key.in_(keys))
        )
        with self.database.read() as session:
            return {row[0]: row[1:] for row in session.execute(wanted)}

    def _held(self, key: str, row: Any) -> ExportedObject | None:
        """Write one object, unless an earlier run has; None when it is gone or cannot be read."""
        path = f"{OBJECTS}/{key}" if row is None else _dicom_path(row)
        target = self.folder / path
        try:
            if self._is_written(target, key):
                size, digest = digest_of(target.open("rb"))
            else:
                with self.backend.open(key) as stream:
                    size, digest = _copied(stream, target)
        except NotFoundError:
            return None
        except UnreadableInstanceError:
            self.written.damaged.append(key)
            self.written.unread.add(key)
            return None
        damaged = not is_as_received(target.open("rb"), key)
        if damaged:
            self.written.damaged.append(key)
        return ExportedObject(key, size, digest, path, damaged=damaged)

    def _is_written(self, target: Path, key: str) -> bool:
        there = target.is_file() and target.stat().st_size == self.backend.size(key)
        return there and is_as_received(target.open("rb"), key)

    def missing(self) -> Iterator[str]:
        """Yield the instances of the exported rows that have no file."""
        for line in lines_of(self.folder / f"rows/{INSTANCE.name}.ndjson"):
            row = json.loads(line)
            key = row["storage_key"]
            if row["condition"] != Condition.RELEASED.value and not self._is_there(key):
                yield row["sop_instance_uid"]

    def _is_there(self, key: str) -> bool:
        try:
            return key not in self.written.unread and self.backend.size(key) >= 0
        except (NotFoundError, UnreadableInstanceError):
            return False


def _copied(stream: BinaryIO, target: Path) -> tuple[int, str]:
    """Copy a stream durably; return its length and SHA-256.

    Raises:
        UnreadableInstanceError: it cannot be read.
        OSError: there is no room, or the disk fails.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    digest, size = hashlib.sha256(), 0
    with draft.open("wb") as file:
        while chunk := _read(stream):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(target)
    return size, digest.hexdigest()


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except OSError as error:
        raise UnreadableInstanceError(f"archive: {os.strerror(error.errno or 0)}") from error


def _dicom_path(row: Any) -> str:
    """Return where an instance lies: unique identifiers are digits and dots alone."""
    found = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    day = found["study_date"] or found["received_at"].date()
    uids = (found["study_instance_uid"], found["series_instance_uid"], found["sop_instance_uid"])
    site = quote(found["site_id"], safe="").replace(".", "%2E") or "-"
    return f"{DICOM}/{site}/{day.isoformat()}/{'/'.join(uids)}.dcm"


def _cell(value: Any) -> str:
    """Return a cell that a spreadsheet shows and does not run."""
    said = "" if value is None else str(value)
    return f"'{said}" if said.startswith(_FORMULA) else said
