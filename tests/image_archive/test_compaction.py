"""Compacted instances are the same bytes to everybody, and a kill at any step loses none."""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from sqlalchemy import select

from eir_versions.master_making import HtMasterMaker
from eir_versions.master_reading import HtMasterReader
from hub_kernel.clock import SystemClock
from hub_kernel.database import Base
from hub_kernel.errors import NotFoundError
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.compaction import (
    DAMAGED,
    NOT_RESTORED,
    Compaction,
    CompactionParts,
    CompactionPolicy,
    CompactionReport,
)
from image_archive.errors import CompactionRunningError
from image_archive.exporting import as_stored
from image_archive.masters import BackendWithMasters, master_key
from image_archive.paging import Part
from image_archive.tables import COMPACTION, INSTANCE
from tests.image_archive.datasets import Sender, ct_slice
from tests.image_archive.mastered import MasteredArchive
from tests.support.clock import FixedClock
from tests.support.in_process_frames import InProcessFrames
from tests.support.kill_steps import Step, killed_everywhere, writes_of
from tests.support.overtaken import Overtaken

EVERYTHING = CompactionPolicy()


def smooth(number: int = 1, **attributes: Any) -> Dataset:
    rows, columns = np.mgrid[:96, :80]
    pixels = (1000 + 300 * np.sin((rows + number) / 9) * np.cos(columns / 7)).astype("<i2")
    return ct_slice(
        number,
        Rows=96,
        Columns=80,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelData=pixels.tobytes(),
        **attributes,
    )


class World(MasteredArchive):
    """An archive that can be compacted."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.plain = FilesystemBackend(folder / "archive")
        super().__init__(folder, clock, self.plain)

    def compaction(self, maker: Any = None) -> Compaction:
        made = maker or HtMasterMaker(InProcessFrames())
        return Compaction(CompactionParts(self.database, self.backend, HtMasterReader(), made))

    def compact(self, policy: CompactionPolicy = EVERYTHING, **kw: Any) -> CompactionReport:
        return self.compaction().run(policy, lambda _done, _total: None, **kw)


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[World]:
    world = World(tmp_path, clock)
    world.database.create_all()
    yield world
    world.close()


def test_readers_get_the_same_bytes_before_and_after(world: World) -> None:
    for number in (1, 2, 3):
        Sender(world.archive).send(smooth(number))
    before = world.digests()
    exported = [
        b"".join(as_stored(world.backend, one).open()) for one in world.index.instances_of("1.2.3")
    ]
    report = world.compact()
    assert (report.examined, report.converted, dict(report.kept)) == (3, 3, {})
    assert list(world.plain.keys("instances")) == []
    assert world.digests() == before
    for record, whole in zip(world.index.instances_of("1.2.3"), exported, strict=True):
        assert b"".join(as_stored(world.backend, record).open()) == whole
        with world.archive.open_dataset(record.sop_instance_uid) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == record.dataset_sha256
        assert world.backend.size(record.storage_key) > world.plain.size(
            master_key(record.storage_key) or ""
        )
    assert world.archive.read_dataset("1.2.3.1.1.2").PatientID == "12345"


def test_what_is_deleted_while_it_is_compacted_leaves_no_master(
    world: World, tmp_path: Path
) -> None:
    Sender(world.archive).send(smooth())

    def delete_for_good(_key: str) -> None:
        (one,) = world.index.instances_of("1.2.3")
        with world.database.unit_of_work() as work:
            work.session.execute(INSTANCE.delete())
        world.backend.delete(one.storage_key)

    world.backend = BackendWithMasters(
        Overtaken(tmp_path / "archive", delete_for_good), HtMasterReader()
    )
    assert world.compact().converted == 0
    assert list(world.plain.keys()) == []


def test_the_archive_finds_a_compacted_instance_whole(world: World) -> None:
    Sender(world.archive).send(smooth())
    world.compact()
    assert world.archive.verify(lambda *_: None).broken == ()
    found = world.archive.reconcile(full=True)
    assert (found.rebuilt, found.missing, found.unrecognised) == (0, (), ())
    assert Sender(world.archive).send(smooth()).value == "already_stored"
    assert list(world.plain.keys("instances")) == []
    keys = list(world.backend.keys("instances"))
    assert keys == [one.storage_key for one in world.index.instances_of("1.2.3")]
    assert set(world.backend.keys()) == set(keys)


def test_a_lost_row_is_rebuilt_from_the_master(world: World) -> None:
    Sender(world.archive).send(smooth())
    world.compact()
    before = world.digests()
    with world.database.unit_of_work() as work:
        for table in ("compaction", "instance", "series", "study", "reconciliation"):
            work.session.execute(Base.metadata.tables[table].delete())
    assert world.archive.reconcile(full=True).rebuilt == 1
    assert world.digests() == before


def test_a_damaged_master_is_found_and_never_served(world: World) -> None:
    Sender(world.archive).send(smooth())
    world.compact()
    (record,) = world.index.instances_of("1.2.3")
    path = Path(world.plain.path_of(master_key(record.storage_key) or ""))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (broken,) = world.archive.verify(lambda *_: None).broken
    assert broken.condition.value == "damaged"


def test_only_what_the_policy_names_has_its_turn(world: World, clock: FixedClock) -> None:
    Sender(world.archive).send(smooth(1))
    Sender(world.archive).send(smooth(2, Modality="MR", SeriesInstanceUID="1.2.3.2"))
    assert world.compact(CompactionPolicy(modalities=("US",))).examined == 0
    assert world.compact(CompactionPolicy(older_than_days=2)).examined == 0
    clock.advance(seconds=3 * 86_400)
    assert world.compact(CompactionPolicy(("MR",), older_than_days=2)).converted == 1
    assert world.compact(CompactionPolicy(part=Part(limit=1))).examined == 1
    assert world.compact().examined == 0


def test_a_trial_run_measures_and_changes_nothing(world: World) -> None:
    Sender(world.archive).send(smooth())
    trial = world.compact(dry_run=True)
    assert (trial.converted, list(world.plain.keys("masters"))) == (1, [])
    assert world.compact().saved_bytes == trial.saved_bytes > 0


def test_what_cannot_be_compacted_stays_and_is_not_tried_again(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))  # 4 x 4 pixels: a master would be larger
    assert dict(world.compact().kept) == {"not_smaller": 1}
    assert world.compact().examined == 0
    with world.database.read() as session:
        assert session.execute(select(COMPACTION.c.reason)).scalar_one() == "not_smaller"


def test_a_damaged_original_is_not_made_into_a_master(world: World) -> None:
    Sender(world.archive).send(smooth())
    (record,) = world.index.instances_of("1.2.3")
    path = Path(world.plain.path_of(record.storage_key))
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    assert dict(world.compact().kept) == {DAMAGED: 1}
    assert path.read_bytes() == content


class Forgetful(HtMasterMaker):
    """Makes a master of another file than it was given."""

    def make(self, open_original: Callable[[], Any], out: Any) -> None:
        with open_original() as file:
            content = bytearray(file.read())
        content[-10] ^= 1
        super().make(lambda: io.BytesIO(bytes(content)), out)


def test_a_master_that_restores_something_else_is_thrown_away(world: World) -> None:
    Sender(world.archive).send(smooth())
    before = world.digests()
    maker = Forgetful(InProcessFrames())
    report = world.compaction(maker).run(EVERYTHING, lambda *_: None)
    assert dict(report.kept) == {NOT_RESTORED: 1}
    assert world.digests() == before
    assert list(world.plain.keys("masters")) == []


def test_two_runs_at_once_are_one_too_many(world: World) -> None:
    Sender(world.archive).send(smooth())

    def second(_done: int, _total: int) -> None:
        with pytest.raises(CompactionRunningError):
            world.compact()

    assert world.compaction().run(EVERYTHING, second).converted == 1


def test_removing_an_instance_removes_its_master(world: World) -> None:
    Sender(world.archive).send(smooth())
    world.compact()
    assert world.archive.release("1.2.3.1.1.1")
    assert list(world.plain.keys("masters")) == []
    with pytest.raises(NotFoundError):
        world.archive.open_instance("1.2.3.1.1.1")


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    """A folder with an archive of one instance, and what its file hashes to."""
    folder = tmp_path / "before"
    folder.mkdir()
    world = World(folder, SystemClock())
    world.database.create_all()
    Sender(world.archive).send(smooth())
    (folder / "digests").write_text(repr(world.digests()))
    world.close()
    return folder


def test_a_kill_at_some_steps_loses_nothing(archived: Path, tmp_path: Path) -> None:
    assert _killed(archived, tmp_path, stride=3) >= 5


@pytest.mark.long
def test_a_kill_at_any_step_loses_nothing(archived: Path, tmp_path: Path) -> None:
    assert _killed(archived, tmp_path, stride=1) >= 15


def test_the_kill_test_sees_a_loss(archived: Path, tmp_path: Path) -> None:
    """The control: with the original removed before the master stands, a kill does lose it."""

    class Hasty(Compaction):
        def _publish(self, spool: Any, master: str) -> None:
            self._originals.delete(master.replace("masters", "instances", 1))
            super()._publish(spool, master)

    with pytest.raises(SystemExit):
        _killed(archived, tmp_path, stride=3, kind=Hasty)


def _killed(
    archived: Path, folder: Path, *, stride: int, kind: type[Compaction] = Compaction
) -> int:
    """Kill a run at every `stride`-th step; return at how many."""
    return killed_everywhere(
        lambda at, step: _compact_dying(_copied(archived, folder, at), step, kind),
        lambda at: _go_on(folder / f"run{at}"),
        stride=stride,
    )


def _copied(source: Path, folder: Path, at: int) -> Path:
    return shutil.copytree(source, folder / f"run{at}", dirs_exist_ok=True)


def _compact_dying(folder: Path, step: Step, kind: type[Compaction]) -> None:
    world = World(folder, SystemClock())
    writes_of(world.database.engine, step)
    backend = BackendWithMasters(_Stepping(world.plain, step), HtMasterReader())  # type: ignore[arg-type]
    maker = HtMasterMaker(InProcessFrames())
    parts = CompactionParts(world.database, backend, HtMasterReader(), maker)
    kind(parts).run(EVERYTHING, lambda *_: step())


def _go_on(folder: Path) -> None:
    """Nothing is lost as it stands, and the next run ends what was begun."""
    world = World(folder, SystemClock())
    expected = eval((folder / "digests").read_text())  # noqa: S307 - written above
    assert world.digests() == expected
    assert world.archive.reconcile(full=True).missing == ()
    world.compact()
    assert world.digests() == expected
    assert list(world.plain.keys("instances")) == []
    world.close()
    shutil.rmtree(folder)


class _Stepping:
    """A backend that can die before and after everything it does, and while it writes."""

    def __init__(self, backend: Any, step: Step) -> None:
        self._backend, self._step = backend, step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name not in {"create", "delete", "write", "publish", "discard"}:
            return found

        def stepping(*args: Any, **kw: Any) -> Any:
            self._step()
            done = found(*args, **kw)
            self._step()
            return _Stepping(done, self._step) if name == "create" else done

        return stepping
