"""A backup is whole or is not, and brings back every byte and every row on an empty host."""

import hashlib
import json
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from access_control.model import Role
from access_control.shared_links import ShareRequest
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import DatabaseSettings, HubSettings, S3Settings, Settings, StudySettings
from hub_kernel.settings_archive import ArchiveSettings
from hub_runtime import schema
from hub_runtime.backup.checking import check_backup
from hub_runtime.backup.folder import BackupFolder, Generation
from hub_runtime.backup.model import BackupError, DamagedBackupError, Manifest
from hub_runtime.backup.restoring import restore
from hub_runtime.backup.taking import DERIVED, Taken, take_backup
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from hub_runtime.table_rows import canonical, rows_of
from image_archive.tables import INSTANCE
from tests.support.kill_steps import Step, killed_everywhere
from tests.support.postgresql import PostgresqlServer
from tests.support.s3_server import S3Server
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, sample, settle, site, store

NAMES = {"SpecificCharacterSet": "GB18030", "PatientName": "Bei^Fen=贝奋", "PatientID": "B7001"}
SECRET = "correct horse 电池"


def quiet(_label: str) -> Callable[[int, int], None]:
    """Show no progress."""
    return lambda _done, _total: None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with two studies, registered and rendered, a link and a session."""
    hub = new_hub(tmp_path_factory.mktemp("source") / "data")
    store(hub, "sijing", sample("CT_small.dcm", **NAMES))
    store(hub, "jiuting", sample("MR_small.dcm", PatientID="B7002"))
    settle(hub, studies=2)
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def taken(source: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("backup") / "target"
    take_backup(source, target, quiet, SECRET)
    return target


@pytest.fixture
def copied(taken: Path, tmp_path: Path) -> BackupFolder:
    """A backup that may be spoiled."""
    return BackupFolder(shutil.copytree(taken, tmp_path / "copied"))


def restored(target: Path, data: Path, **sections: object) -> Hub:
    quick = StudySettings(quiet_period_s=0.001)
    settings = Settings(hub=HubSettings(data_dir=data), study=quick, **sections)  # type: ignore[arg-type]
    restore(BackupFolder(target).generation(), settings, quiet, SECRET)
    return build_hub(settings)


def bytes_of(hub: Hub) -> dict[str, str]:
    """SHA-256 of every object of the archive but those that are made again."""
    found = {}
    for key in list(hub.base.backend.originals.keys()):
        with hub.base.backend.originals.open(key) as stream:
            found[key] = hashlib.sha256(stream.read()).hexdigest()
    return {key: digest for key, digest in found.items() if not key.startswith(DERIVED)}


def rows_in(database: Database, *, but: frozenset[str] = frozenset({"user_session"})) -> object:
    with database.engine.connect() as connection:
        return {
            table.name: [canonical(row) for row in rows_of(connection, table)]
            for table in schema.METADATA.sorted_tables
            if table.name not in but
        }


def test_everything_comes_back_on_an_empty_host(source: Hub, tmp_path: Path) -> None:
    source.access.accounts.add_user("bei", "Bei-7001-贝", (Role.RADIOLOGIST,), None, "贝")
    reader = source.access.accounts.authenticate("bei", "Bei-7001-贝", "127.0.0.1")
    session = source.access.sessions.start(reader)
    study, ends = str(sample("CT_small.dcm").StudyInstanceUID), source.base.clock.now()
    ends += timedelta(days=3)
    link = source.access.links.create(ShareRequest(study, "G1", "bei", ends, passcode="482913"))
    before = rows_in(source.database)
    take_backup(source, tmp_path / "target", quiet, SECRET)
    back = restored(tmp_path / "target", tmp_path / "new")
    try:
        assert rows_in(back.database) == before
        assert bytes_of(back) == bytes_of(source)
        back.open()
        assert back.archive.verify(lambda *_: None).broken == ()
        assert back.archive.verify(lambda *_: None).checked == 2
        assert back.access.audit.verify(lambda *_: None).ok
        assert back.access.links.open(link.token, "482913", "127.0.0.1").link_id == link.link_id
        assert source.access.sessions.subject(session) is not None
        assert back.access.sessions.subject(session) is None
        store(back, "sijing", sample("CT_small.dcm", **NAMES, SOPInstanceUID="1.2.3.77"))
        assert back.archive.verify(lambda *_: None).checked == 3
    finally:
        back.close()


def test_what_arrives_meanwhile_is_there_or_comes_again(tmp_path: Path) -> None:
    hub, ended, sent = new_hub(tmp_path / "data"), threading.Event(), list[str]()

    def receive() -> None:
        number = 0
        while not ended.is_set() and number < 60:
            number += 1
            uid = f"1.2.826.7.{number}"
            store(hub, "sijing", sample("CT_small.dcm", **NAMES, SOPInstanceUID=uid))
            sent.append(uid)

    sender = threading.Thread(target=receive)
    sender.start()
    try:
        while len(sent) < 5:
            ended.wait(0.01)
        sent_before = list(sent)
        take_backup(hub, tmp_path / "target", quiet, SECRET)
    finally:
        ended.set()
        sender.join()
        hub.close()
    back = restored(tmp_path / "target", tmp_path / "new")
    try:
        back.open()
        report = back.archive.verify(lambda *_: None)
        with back.database.read() as session:
            there = set(session.scalars(select(INSTANCE.c.sop_instance_uid)))
        assert report.broken == ()
        assert there >= set(sent_before)
        assert back.archive.reconcile(full=True).rebuilt == 0
    finally:
        back.close()


def test_an_object_is_copied_once(source: Hub, tmp_path: Path) -> None:
    first = take_backup(source, tmp_path / "target", quiet)
    second = take_backup(source, tmp_path / "target", quiet)
    assert first.copied == first.manifest.objects == second.manifest.objects > 4
    assert second.copied == 0
    assert len(BackupFolder(tmp_path / "target").generations()) == 2


def test_an_older_backup_goes_and_the_newer_stays_whole(source: Hub, tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "target")
    for _ in range(2):
        take_backup(source, folder.root, quiet)
    old, new = folder.generations()
    pending = folder.objects().create()
    pending.write(b"of the old one alone")
    pending.publish("renditions/zz/old")
    folder.remove(old)
    assert folder.generations() == [new]
    check_backup(new, quiet(""))


def test_keys_and_settings_are_closed(taken: Path) -> None:
    closed = BackupFolder(taken).generation().folder / "protected"
    assert stat.S_IMODE(closed.stat().st_mode) & 0o077 == 0 or taken.stat().st_mode & 0o077 == 0
    assert b"audit.key" not in closed.read_bytes()


@pytest.mark.parametrize("passphrase", ["", "another"])
def test_without_its_passphrase_nothing_is_restored(
    taken: Path, tmp_path: Path, passphrase: str
) -> None:
    settings = Settings(hub=HubSettings(data_dir=tmp_path / "new"))
    with pytest.raises(BackupError, match="passphrase"):
        restore(BackupFolder(taken).generation(), settings, quiet, passphrase)
    assert not (tmp_path / "new").exists()


PLACES = ["manifest.json", "objects.ndjson.gz", "rows/instance.ndjson.gz", "protected", "object"]


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_byte_is_found_before_anything_is_restored(
    copied: BackupFolder, tmp_path: Path, place: str
) -> None:
    path = copied.generation().folder / place
    if place == "object":
        key = next(copied.objects().keys("instances"))
        path = Path(copied.objects().path_of(key))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    settings = Settings(hub=HubSettings(data_dir=tmp_path / "new"))
    with pytest.raises(DamagedBackupError):
        restore(BackupFolder(copied.root).generation(), settings, quiet, SECRET)
    assert not (tmp_path / "new").exists()


def test_the_same_backup_without_the_flipped_byte_is_restored(
    copied: BackupFolder, tmp_path: Path
) -> None:
    """The control of the test above."""
    restored(copied.root, tmp_path / "new").close()


def test_a_folder_that_holds_something_is_left_alone(taken: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    settings = Settings(hub=HubSettings(data_dir=tmp_path))
    with pytest.raises(BackupError, match="not empty"):
        restore(BackupFolder(taken).generation(), settings, quiet, SECRET)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_restore_keeps_the_hub_out_and_goes_on(taken: Path, tmp_path: Path) -> None:
    settings = Settings(hub=HubSettings(data_dir=tmp_path / "new"))

    def interrupted(label: str) -> Callable[[int, int], None]:
        def progress(done: int, _total: int) -> None:
            if label == "objects" and done == 3:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        restore(BackupFolder(taken).generation(), settings, interrupted, SECRET)
    with pytest.raises(ConfigurationError, match="half restored"):
        build_hub(settings)
    back = restored(taken, tmp_path / "new")
    back.open()
    assert back.archive.verify(lambda *_: None).checked == 2
    back.close()


def test_a_damaged_instance_is_named_and_a_good_copy_is_never_replaced(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "data")
    try:
        store(hub, "sijing", sample("CT_small.dcm", **NAMES))
        good = take_backup(hub, tmp_path / "target", quiet)
        key = next(hub.base.backend.originals.keys("instances"))
        path = tmp_path / "data" / "archive" / key
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        again = take_backup(hub, tmp_path / "target", quiet)
        spoiled = take_backup(hub, tmp_path / "other", quiet)
    finally:
        hub.close()
    assert (good.manifest.damaged, again.manifest.damaged) == ((), ())
    assert spoiled.manifest.damaged == (key,)
    folder = BackupFolder(tmp_path / "target")
    check_backup(folder.generation(), quiet(""))


def test_a_hub_on_postgresql_and_a_bucket_comes_back_there_and_here(
    tmp_path: Path, postgresql: PostgresqlServer, s3_server: S3Server
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("secret-of-the-tests")

    def distributed(url: str, name: str) -> dict[str, object]:
        bucket = S3Settings(
            bucket="eir",
            endpoint=s3_server.endpoint,
            prefix=f"backup-{name}",
            access_key_id="hub",
            secret_access_key_file=key_file,
        )
        return {
            "database": DatabaseSettings(url=url),
            "archive": ArchiveSettings(backend="s3"),
            "s3": bucket,
        }

    with postgresql.bare_database() as one, postgresql.bare_database() as other:
        there = Settings(hub=HubSettings(data_dir=tmp_path / "data"), **distributed(one, "one"))  # type: ignore[arg-type]
        hub = build_hub(there)
        hub.open()
        hub.access.sites.add(site("sijing", 1))
        store(hub, "sijing", sample("CT_small.dcm", **NAMES))
        hub.archive.settled()
        take_backup(hub, tmp_path / "target", quiet, SECRET)
        before, held = rows_in(hub.database), bytes_of(hub)
        hub.close()
        for back in (
            restored(tmp_path / "target", tmp_path / "there", **distributed(other, "two")),
            restored(tmp_path / "target", tmp_path / "here"),
        ):
            assert rows_in(back.database) == before
            assert bytes_of(back) == held
            back.open()
            assert back.access.audit.verify(lambda *_: None).ok
            store(back, "sijing", sample("MR_small.dcm", PatientID="B7003"))
            assert back.archive.verify(lambda *_: None).checked == 2
            back.close()


def test_the_commands_say_what_they_did(source: Hub, tmp_path: Path) -> None:
    data, target = source.settings.hub.data_dir, tmp_path / "target"
    (tmp_path / "passphrase").write_text(f"{SECRET}\n")
    closed = ("--passphrase-file", tmp_path / "passphrase")
    made = eirhub("backup", target, *closed, "--json", data=data)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["encrypted"], told["damaged"], told["copied"]) == (True, [], told["objects"])
    assert eirhub("backup", target, "--verify", data=data).returncode == 0
    assert told["generation"] in eirhub("backup", target, "--list", data=data).stdout
    back = eirhub("restore", target, *closed, data=tmp_path / "new")
    assert back.returncode == 0, back.stderr
    assert eirhub("audit", "verify", data=tmp_path / "new").returncode == 0
    assert eirhub("archive", "verify", data=tmp_path / "new").returncode == 0
    assert eirhub("backup", target, "--keep", 1, data=data).returncode == 0
    assert len(BackupFolder(target).generations()) == 1
    inside = eirhub("backup", data / "backup", data=data)
    assert (inside.returncode, "own data folder" in inside.stderr) == (1, True)


class Hasty(BackupFolder):
    """The control: a generation is made where complete ones lie."""

    def begin(self, name: str) -> Path:
        folder = self._generations / name
        (folder / "rows").mkdir(parents=True)
        return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    hub = new_hub(tmp_path / "small")
    store(hub, "sijing", sample("CT_small.dcm", **NAMES))
    store(hub, "sijing", sample("CT_small.dcm", **NAMES, SOPInstanceUID="1.2.3.4"))
    hub.close()
    return tmp_path / "small"


def test_a_kill_at_some_steps_leaves_a_whole_backup_or_none(small: Path, tmp_path: Path) -> None:
    assert _killed(small, tmp_path / "target", stride=17) >= 5


@pytest.mark.long
def test_a_kill_at_any_step_leaves_a_whole_backup_or_none(small: Path, tmp_path: Path) -> None:
    assert _killed(small, tmp_path / "target", stride=1) >= 80


def test_the_kill_test_sees_half_a_backup(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the rename at the end, a kill leaves half a one under a good name."""
    monkeypatch.setattr("hub_runtime.backup.taking.BackupFolder", Hasty)
    with pytest.raises(SystemExit):
        _killed(small, tmp_path / "target", stride=40)


def _killed(data: Path, target: Path, *, stride: int) -> int:
    return killed_everywhere(
        lambda at, step: _back_up_dying(data, target / str(at), step),
        lambda at: _go_on(data, target / str(at)),
        stride=stride,
    )


def _back_up_dying(data: Path, target: Path, step: Step) -> None:
    hub = build_hub(Settings(hub=HubSettings(data_dir=data)))
    hurting = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"}
    sys.addaudithook(lambda name, _arguments: step() if name in hurting else None)
    take_backup(hub, target, lambda _label: lambda _done, _total: step())


def _go_on(data: Path, target: Path) -> None:
    """What stands as a backup is whole, and the next run makes one from what there is."""
    folder = BackupFolder(target)
    for one in folder.generations():
        check_backup(one, quiet(""))
    hub = build_hub(Settings(hub=HubSettings(data_dir=data)))
    taken: Taken = take_backup(hub, target, quiet)
    manifest: Manifest = check_backup(_newest(folder, taken), quiet(""))
    assert manifest.objects == 2
    assert folder.cut_short() == []
    hub.close()
    shutil.rmtree(target)


def _newest(folder: BackupFolder, taken: Taken) -> Generation:
    return folder.generation(taken.generation)
