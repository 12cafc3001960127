"""A restore is whole or refused: killed, interrupted, to a place that is not empty, of a newer hub;
and what a backup took of a damaged archive comes back as well as any backup had it.
"""

import hashlib
import itertools
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import DatabaseSettings, HubSettings, Settings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime.backup import restoring
from hub_runtime.backup.checking import check_backup
from hub_runtime.backup.folder import BackupFolder, read_manifest, write_manifest
from hub_runtime.backup.marker import MARKER
from hub_runtime.backup.model import BackupError
from hub_runtime.backup.restoring import restore
from hub_runtime.backup.taking import take_backup
from hub_runtime.bootstrap import build_hub
from hub_runtime.exit.reading import import_everything
from hub_runtime.exit.writing import export_everything
from hub_runtime.hub import Hub
from image_archive.reading import skip_file_meta
from tests.support.kill_steps import Step, killed_everywhere
from tests.viewer_api.region import new_hub, sample, store

NAMES = {"SpecificCharacterSet": "GB18030", "PatientName": "Huan^Yuan=还原", "PatientID": "R7001"}
ROOT = "1.2.826.8"


def quiet(_label: str) -> Callable[[int, int], None]:
    """Show no progress."""
    return lambda _done, _total: None


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a hub with two instances; its data folder lies beside it."""
    folder = tmp_path_factory.mktemp("taken")
    hub = new_hub(folder / "data")
    for number in (1, 2):
        store(hub, "sijing", sample("CT_small.dcm", **NAMES, SOPInstanceUID=f"{ROOT}.{number}"))
    take_backup(hub, folder / "target", quiet)
    hub.close()
    return folder / "target"


@pytest.fixture
def hub(taken: Path, tmp_path: Path) -> Iterator[Hub]:
    """A hub of its own with these two instances."""
    shutil.copytree(taken.parent / "data", tmp_path / "data")
    hub = build_hub(at(tmp_path / "data"))
    hub.open()
    yield hub
    hub.close()


def at(data: Path) -> Settings:
    return Settings(hub=HubSettings(data_dir=data))


def bring_back(target: Path, settings: Settings, name: str = "") -> None:
    restore(BackupFolder(target).generation(name), settings, quiet)


def test_a_place_that_is_not_empty_is_refused_each_time(
    taken: Path, hub: Hub, tmp_path: Path
) -> None:
    database = hub.settings.database_url
    theirs = Settings(
        hub=HubSettings(data_dir=tmp_path / "new"),
        database=DatabaseSettings(url=database),
    )
    into_archive = Settings(
        hub=HubSettings(data_dir=tmp_path / "newer"),
        archive=ArchiveSettings(path=tmp_path / "data" / "archive"),
    )
    held = sorted(hub.base.backend.originals.keys())
    for settings, what in ((theirs, "database"), (into_archive, "archive")):
        for _ in range(2):  # what the first left behind must not let the second in
            with pytest.raises(BackupError, match=f"the {what} to restore to is not empty"):
                bring_back(taken, settings)
    assert sorted(hub.base.backend.originals.keys()) == held
    with pytest.raises(ConfigurationError, match="half restored"):
        build_hub(theirs)


def test_a_restore_begun_goes_on_only_to_the_same_place(taken: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        restore(BackupFolder(taken).generation(), at(tmp_path / "new"), interrupted)
    moved = Settings(
        hub=HubSettings(data_dir=tmp_path / "new"),
        database=DatabaseSettings(url=at(taken.parent / "data").database_url),
    )
    with pytest.raises(BackupError, match="not empty"):
        bring_back(taken, moved)
    bring_back(taken, at(tmp_path / "new"))
    assert whole(tmp_path / "new")


def interrupted(label: str) -> Callable[[int, int], None]:
    def progress(_done: int, _total: int) -> None:
        if label == "objects":
            raise KeyboardInterrupt

    return progress


def test_two_restores_at_once_are_one_too_many(taken: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def second(label: str) -> Callable[[int, int], None]:
        def progress(_done: int, _total: int) -> None:
            if label == "rows" and not told:
                told.append(label)
                with pytest.raises(BackupError, match="another restore"):
                    bring_back(taken, at(tmp_path / "new"))

        return progress

    restore(BackupFolder(taken).generation(), at(tmp_path / "new"), second)
    assert told
    assert whole(tmp_path / "new")


def test_an_export_that_was_made_again_meanwhile_is_another_one(hub: Hub, tmp_path: Path) -> None:
    export_everything(hub, tmp_path / "out", quiet)
    with pytest.raises(KeyboardInterrupt):
        import_everything(tmp_path / "out", at(tmp_path / "new"), interrupted)
    export_everything(hub, tmp_path / "out", quiet)
    with pytest.raises(BackupError, match="half restored from out of"):
        import_everything(tmp_path / "out", at(tmp_path / "new"), quiet)


@pytest.mark.parametrize("unknown", ["revision", "column", "table"])
def test_what_this_version_has_no_place_for_is_refused_first(
    taken: Path, tmp_path: Path, unknown: str
) -> None:
    folder = BackupFolder(shutil.copytree(taken, tmp_path / "copied")).generation().folder
    manifest = read_manifest(folder)
    first = manifest.tables[0]
    changed = {
        "revision": replace(manifest, revision="9999"),
        "column": replace(manifest, tables=(replace(first, columns=(*first.columns, "gone")),)),
        "table": replace(manifest, tables=(replace(first, name="gone"),)),
    }
    write_manifest(folder, changed[unknown])
    with pytest.raises(BackupError, match=r"is newer|has no column"):
        bring_back(tmp_path / "copied", at(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_damaged_copy_is_made_again_once_the_archive_is_whole(hub: Hub, tmp_path: Path) -> None:
    path = file_of(hub)
    whole_bytes = path.read_bytes()
    path.write_bytes(whole_bytes[:-1] + b"?")
    key = next(hub.base.backend.originals.keys("instances"))
    target = tmp_path / "target"
    first, second = (take_backup(hub, target, quiet) for _ in range(2))
    assert (first.manifest.damaged, second.manifest.damaged) == ((key,), (key,))
    path.write_bytes(whole_bytes)
    third = take_backup(hub, target, quiet)
    assert (third.manifest.damaged, third.copied) == ((), 1)
    old, _, new = BackupFolder(target).generations()
    check_backup(new, quiet(""))
    bring_back(target, at(tmp_path / "new"), old.name)
    assert (tmp_path / "new" / "archive" / key).read_bytes() == whole_bytes


def test_what_cannot_be_read_is_named_and_holds_nothing_up(hub: Hub, tmp_path: Path) -> None:
    earlier = take_backup(hub, tmp_path / "earlier", quiet)
    path = file_of(hub)
    key = str(path.relative_to(tmp_path / "data" / "archive"))
    path.unlink()
    path.symlink_to("/proc/self/mem")  # whose first byte is a read error
    with pytest.raises(OSError, match="Input/output error"):
        path.read_bytes()
    taken = take_backup(hub, tmp_path / "target", quiet)
    assert taken.manifest.damaged == (key,)
    assert len(taken.manifest.missing) == 1
    assert taken.manifest.objects == earlier.manifest.objects - 1
    check_backup(BackupFolder(tmp_path / "target").generation(), quiet(""))
    beside = take_backup(hub, tmp_path / "earlier", quiet)
    assert (beside.manifest.objects, beside.manifest.missing) == (earlier.manifest.objects, ())
    out = export_everything(hub, tmp_path / "out", quiet)
    assert (out.damaged, out.missing) == ((key,), taken.manifest.missing)


@pytest.mark.parametrize("noticed", ["", "by verify"])
def test_what_the_archive_has_lost_stays_in_every_later_backup(
    hub: Hub, tmp_path: Path, noticed: str
) -> None:
    first = take_backup(hub, tmp_path / "target", quiet)
    path = file_of(hub)
    whole_bytes, key = path.read_bytes(), str(path.relative_to(tmp_path / "data" / "archive"))
    path.unlink()
    if noticed:
        assert len(hub.archive.verify(lambda *_: None).broken) == 1
    for _ in range(2):
        later = take_backup(hub, tmp_path / "target", quiet)
        assert later.manifest.objects == first.manifest.objects
        assert (later.manifest.damaged, later.manifest.missing) == ((key,), ())
    folder = BackupFolder(tmp_path / "target")
    for old in folder.generations()[:-1]:
        folder.remove(old)
    bring_back(tmp_path / "target", at(tmp_path / "new"))
    assert (tmp_path / "new" / "archive" / key).read_bytes() == whole_bytes


def test_an_instance_that_was_removed_is_in_no_later_backup(hub: Hub, tmp_path: Path) -> None:
    """The control of the test above."""
    first = take_backup(hub, tmp_path / "target", quiet)
    assert hub.archive.release(f"{ROOT}.1")
    later = take_backup(hub, tmp_path / "target", quiet)
    assert later.manifest.objects == first.manifest.objects - 1
    assert (later.manifest.damaged, later.manifest.missing) == ((), ())


def file_of(hub: Hub) -> Path:
    """Where the first instance lies."""
    key = next(hub.base.backend.originals.keys("instances"))
    return hub.settings.archive_path / key


def test_a_kill_at_some_steps_leaves_no_half_hub(taken: Path, tmp_path: Path) -> None:
    assert _killed(taken, tmp_path, stride=29) >= 3


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_kill_at_many_steps_leaves_no_half_hub(taken: Path, tmp_path: Path) -> None:
    assert _killed(taken, tmp_path, stride=5) >= 14


def test_the_kill_test_sees_half_a_hub(
    taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: where nothing says that a restore is under way, a kill leaves half a hub."""

    monkeypatch.setattr(restoring, "write_mark", lambda _data, _mark: None)
    with pytest.raises(SystemExit):
        _killed(taken, tmp_path, stride=29)


def _killed(taken: Path, folder: Path, *, stride: int) -> int:
    return killed_everywhere(
        lambda number, step: _restore_dying(taken, folder / str(number), step),
        lambda number: _go_on(taken, folder / str(number)),
        stride=stride,
    )


def _restore_dying(taken: Path, data: Path, step: Step) -> None:
    hurting = {"os.rename", "os.mkdir", "os.remove"}
    sys.addaudithook(lambda name, _arguments: step() if name in hurting else None)
    statements = itertools.count(1)

    def executing(*_more: object) -> None:
        if next(statements) % 25 == 0:  # hundreds are the schema's
            step()

    event.listen(Engine, "before_cursor_execute", executing)
    event.listen(Engine, "commit", step)
    restore(BackupFolder(taken).generation(), at(data), lambda _label: lambda *_: step())


def _go_on(taken: Path, data: Path) -> None:
    """A hub either does not start on what there is or has everything; another call completes it."""
    if not (data / MARKER).exists() and (data / "eirhub.sqlite").exists():
        assert whole(data)
        return
    if (data / MARKER).exists():
        with pytest.raises(ConfigurationError, match="half restored"):
            build_hub(at(data))
    bring_back(taken, at(data))
    assert whole(data)
    shutil.rmtree(data)


def whole(data: Path) -> bool:
    """Whether everything of the backup is there: keys, rows, bytes."""
    with closing(sqlite3.connect(data / "eirhub.sqlite")) as database:
        rows = list(database.execute("SELECT storage_key, dataset_sha256 FROM instance"))
        sites = list(database.execute("SELECT 1 FROM site"))
    for key, digest in rows:
        with (data / "archive" / key).open("rb") as stream:
            skip_file_meta(stream)
            assert hashlib.sha256(stream.read()).hexdigest() == digest
    keys = {path.name for path in (data / "secrets").iterdir()}
    assert (len(rows), len(sites), "audit.key" in keys) == (2, 3, True)
    return True
