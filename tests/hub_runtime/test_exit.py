"""A hub leaves as plain files that anybody can read, and comes back the same from them."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from hub_kernel.database import Database
from hub_kernel.settings import HubSettings, Settings
from hub_runtime import schema
from hub_runtime.backup.model import BackupError, DamagedBackupError
from hub_runtime.backup.taking import DERIVED
from hub_runtime.bootstrap import build_hub
from hub_runtime.compacting import compaction
from hub_runtime.exit.reading import import_everything
from hub_runtime.exit.writing import export_everything
from hub_runtime.hub import Hub
from hub_runtime.table_rows import canonical, rows_of
from image_archive.compaction import CompactionPolicy
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import new_hub, sample, settle, store

FORMULA = '=HYPERLINK("http://evil")'
NAMES = {"SpecificCharacterSet": "GB18030", "PatientName": "Tui^Chu=退初", "PatientID": "X7001"}


def quiet(_label: str) -> Callable[[int, int], None]:
    """Show no progress."""
    return lambda _done, _total: None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with two studies, registered and rendered, one of them compacted."""
    hub = new_hub(tmp_path_factory.mktemp("source") / "data")
    store(hub, "sijing", sample("CT_small.dcm", **NAMES, StudyDescription=FORMULA))
    store(hub, "jiuting", sample("MR_small.dcm", PatientID="X7002"))
    settle(hub, studies=2)
    report = compaction(hub).run(CompactionPolicy(("CT",)), lambda _done, _total: None)
    assert report.converted == 1
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def exported(source: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "hub"
    export_everything(source, folder, quiet)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """An export that may be spoiled."""
    return shutil.copytree(exported, tmp_path / "copied")


def settings_for(data: Path) -> Settings:
    return Settings(hub=HubSettings(data_dir=data))


def rows_in(database: Database, *, but: frozenset[str]) -> dict[str, list[bytes]]:
    with database.engine.connect() as connection:
        return {
            table.name: [canonical(row) for row in rows_of(connection, table)]
            for table in schema.METADATA.sorted_tables
            if table.name not in but
        }


def bytes_of(hub: Hub) -> dict[str, str]:
    """SHA-256 of everything the archive gives its readers, but what is made again."""
    found = {}
    for key in list(hub.base.backend.keys()):
        if not key.startswith(DERIVED):
            with hub.base.backend.open(key) as stream:
                found[key] = hashlib.sha256(stream.read()).hexdigest()
    return found


def test_everybody_can_read_it(source: Hub, exported: Path) -> None:
    files = sorted((exported / "dicom").rglob("*.dcm"))
    assert len(files) == 2
    for path in files:
        dataset = dcmread(path)
        assert path.name == f"{dataset.SOPInstanceUID}.dcm"
        assert path.parent.parent.name == dataset.StudyInstanceUID
    with (exported / "index.csv").open(encoding="utf-8") as index:
        lines = list(csv.DictReader(index))
    assert {line["path"] for line in lines} == {str(p.relative_to(exported)) for p in files}
    (ours,) = (line for line in lines if line["patient_id"] == "X7001")
    assert (ours["name_ideographic"], ours["study_description"]) == ("退初", f"'{FORMULA}")
    described = json.loads((exported / "schema.json").read_text("utf-8"))["tables"]
    assert set(described) == set(schema.METADATA.tables)
    assert all(table["about"] for table in described.values())
    for name, table in described.items():
        for line in (exported / f"rows/{name}.ndjson").read_bytes().splitlines():
            assert set(json.loads(line)) == set(table["columns"])


def test_the_same_hub_comes_back(source: Hub, exported: Path, tmp_path: Path) -> None:
    import_everything(exported, settings_for(tmp_path / "new"), quiet)
    back = build_hub(settings_for(tmp_path / "new"))
    try:
        passing = frozenset({"user_session", "compaction"})
        assert rows_in(back.database, but=passing) == rows_in(source.database, but=passing)
        assert bytes_of(back) == bytes_of(source)
        back.open()
        report = back.archive.verify(lambda *_: None)
        assert (report.checked, report.broken) == (2, ())
        assert back.access.audit.verify(lambda *_: None).ok
        again = compaction(back).run(CompactionPolicy(("CT",)), lambda _done, _total: None)
        assert again.converted == 1
    finally:
        back.close()


def test_an_interrupted_export_is_none_and_goes_on(source: Hub, tmp_path: Path) -> None:
    def interrupted(label: str) -> Callable[[int, int], None]:
        def progress(done: int, _total: int) -> None:
            if label == "files" and done == 3:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        export_everything(source, tmp_path / "out", interrupted)
    with pytest.raises(DamagedBackupError):
        import_everything(tmp_path / "out", settings_for(tmp_path / "new"), quiet)
    first = next((tmp_path / "out").rglob("objects/documents/**/*"))
    made = {path: path.stat().st_ino for path in first.parent.rglob("*") if path.is_file()}
    export_everything(source, tmp_path / "out", quiet)
    assert {path: path.stat().st_ino for path in made} == made
    import_everything(tmp_path / "out", settings_for(tmp_path / "new"), quiet)


def test_a_flipped_byte_is_found_before_anything_is_imported(copied: Path, tmp_path: Path) -> None:
    path = next((copied / "dicom").rglob("*.dcm"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedBackupError, match="objects are not what was written"):
        import_everything(copied, settings_for(tmp_path / "new"), quiet)
    assert not (tmp_path / "new").exists()


def test_a_list_that_leads_outside_is_refused(copied: Path, tmp_path: Path) -> None:
    files = copied / "files.ndjson"
    files.write_text(files.read_text("utf-8").replace('"dicom/', '"dicom/../../'), "utf-8")
    with pytest.raises(DamagedBackupError):
        import_everything(copied, settings_for(tmp_path / "new"), quiet)


def test_a_folder_that_holds_something_else_is_left_alone(source: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(BackupError, match="not empty"):
        export_everything(source, tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_commands_say_what_they_did(source: Hub, tmp_path: Path) -> None:
    out = eirhub("export", "all", tmp_path / "out", "--json", data=source.settings.hub.data_dir)
    assert out.returncode == 0, out.stderr
    back = eirhub("import", tmp_path / "out", "--json", data=tmp_path / "new")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["objects"] == json.loads(out.stdout)["objects"]
