"""Old instances go to the far tier; readers see the same bytes, and a kill loses none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub_kernel.clock import SystemClock
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.s3 import S3Backend
from image_archive.errors import (
    ArchiveBusyError,
    FarTierUnreachableError,
    TieringRunningError,
)
from image_archive.paging import Part
from image_archive.tables import INSTANCE
from image_archive.tables_tiers import TIER_COPY
from image_archive.tiering import Tiering, TieringReport, TierPolicy
from image_archive.tiers import TieredBackend
from tests.image_archive.datasets import Sender, ct_slice
from tests.image_archive.mastered import MasteredArchive
from tests.support.clock import FixedClock
from tests.support.kill_steps import Step, killed_everywhere, writes_of
from tests.support.overtaken import Overtaken
from tests.support.s3_server import S3Server

NOW = TierPolicy(grace_days=0)
DAY_S = 86_400


class World(MasteredArchive):
    """An archive of two tiers."""

    def __init__(self, folder: Path, clock: Any, far: ArchiveBackend | None = None) -> None:
        self.near = FilesystemBackend(folder / "archive")
        self.far = far or FilesystemBackend(folder / "far")
        self.tiers = TieredBackend(self.near, self.far)
        super().__init__(folder, clock, self.tiers)

    def move(self, policy: TierPolicy = NOW, **kw: Any) -> TieringReport:
        return Tiering(self.database, self.tiers).run(policy, lambda _done, _total: None, **kw)


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[World]:
    world = World(tmp_path, clock)
    world.database.create_all()
    yield world
    world.close()


def test_readers_get_the_same_bytes_from_either_tier(world: World) -> None:
    for number in (1, 2):
        Sender(world.archive).send(ct_slice(number))
    before, keys = world.digests(), list(world.backend.keys())
    report = world.move()
    assert (report.copied, report.freed) == (2, 2)
    assert list(world.near.keys()) == []
    assert world.digests() == before
    assert list(world.backend.keys()) == keys
    with (
        world.tiers.far.open(keys[0]) as whole,
        world.backend.open(keys[0], start=7, length=9) as one,
    ):
        assert one.read() == whole.read()[7:16]
    assert world.archive.verify(lambda *_: None).broken == ()
    assert world.archive.reconcile(full=True).missing == ()
    assert Sender(world.archive).send(ct_slice(1)).value == "already_stored"


def test_the_near_copy_stays_for_the_days_of_grace(world: World, clock: FixedClock) -> None:
    Sender(world.archive).send(ct_slice(1))
    policy = TierPolicy(("CT",), older_than_days=30, grace_days=7)
    assert world.move(policy).examined == 0
    clock.advance(seconds=31 * DAY_S)
    assert world.move(TierPolicy(("MR",), 30)).examined == 0
    assert (world.move(policy).copied, len(list(world.near.keys()))) == (1, 1)
    assert world.move(policy).freed == 0
    clock.advance(seconds=8 * DAY_S)
    assert (world.move(policy).freed, list(world.near.keys())) == (1, [])


def test_a_trial_run_says_what_would_go_and_changes_nothing(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    trial = world.move(dry_run=True)
    assert (trial.copied, list(world.far.keys())) == (1, [])
    assert world.move().copied_bytes == trial.copied_bytes > 0


def test_a_study_that_is_read_comes_back_whole(world: World, clock: FixedClock) -> None:
    for number in (1, 2, 3):
        Sender(world.archive).send(ct_slice(number))
    world.move()
    before = world.digests()
    (study,) = world.tiers.wanted()
    assert world.tiers.wanted() == []
    assert Tiering(world.database, world.tiers).recall(study) == 3
    assert len(list(world.near.keys())) == 3
    assert (world.digests(), world.tiers.wanted()) == (before, [])
    clock.advance(seconds=8 * DAY_S)
    assert (world.move(TierPolicy()).freed, list(world.near.keys())) == (3, [])
    assert Tiering(world.database, world.tiers).recall("1.2.3") == 3


def test_a_damaged_instance_does_not_go_far(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    path = Path(world.near.path_of(next(world.near.keys())))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert (world.move().damaged, list(world.far.keys())) == (1, [])


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
def test_what_cannot_go_far_does_not_stand_before_what_can(world: World, *, gone: bool) -> None:
    for number in (1, 2):
        Sender(world.archive).send(ct_slice(number))
    first = world.index.instance("1.2.3.1.1.1")
    assert first
    path = Path(world.near.path_of(first.storage_key))
    if gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    one = TierPolicy(grace_days=0, part=Part(limit=1))
    assert [world.move(one).copied for _ in range(3)] == [0, 1, 0]
    assert world.index.instance("1.2.3.1.1.1") != first
    Sender(world.archive).send(ct_slice(1))
    assert world.move(one).copied == 1


def test_a_far_copy_that_is_gone_is_made_again_before_the_near_one_goes(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    world.move(TierPolicy(grace_days=1))
    key = next(world.far.keys())
    world.far.delete(key)
    before = world.digests()
    assert world.move().freed == 0
    assert (world.move().freed, world.digests()) == (1, before)


def test_a_far_copy_that_rots_in_the_days_of_grace_is_made_again(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    world.move(TierPolicy(grace_days=1))
    path = Path(world.far.path_of(next(world.far.keys())))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = world.digests()
    assert world.move().freed == 0
    assert (world.move().freed, world.digests()) == (1, before)


def test_what_is_far_without_a_row_is_found(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    world.move()
    with world.database.unit_of_work() as work:
        work.session.execute(TIER_COPY.delete())
    world.move()
    with world.database.read() as session:
        assert session.scalar(select(TIER_COPY.c.state)) == "moved"


def test_removing_an_instance_removes_both_copies(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))
    world.move()
    assert world.archive.release("1.2.3.1.1.1")
    assert (list(world.far.keys()), list(world.near.keys())) == ([], [])
    with pytest.raises(NotFoundError):
        world.archive.open_instance("1.2.3.1.1.1")


@pytest.mark.parametrize("to", ["far", "near"])
def test_what_is_deleted_while_it_moves_is_left_nowhere(
    tmp_path: Path, clock: FixedClock, to: str
) -> None:
    world = World(tmp_path, clock)
    world.database.create_all()
    Sender(world.archive).send(ct_slice(1))
    tiers = TieredBackend(world.near, world.far)
    if to == "near":
        world.move()

    def delete_for_good(key: str) -> None:
        with world.database.unit_of_work() as work:
            work.session.execute(INSTANCE.delete())
        world.tiers.delete(key)

    folder = tmp_path / ("far" if to == "far" else "archive")
    setattr(tiers, to, Overtaken(folder, delete_for_good))
    moving = Tiering(world.database, tiers)
    if to == "far":
        assert moving.run(NOW, lambda *_: None).copied == 0
    else:
        assert moving.recall("1.2.3") == 0
    assert (list(world.near.keys()), list(world.far.keys())) == ([], [])
    world.close()


def test_two_runs_at_once_are_one_too_many(world: World) -> None:
    Sender(world.archive).send(ct_slice(1))

    def second(_done: int, _total: int) -> None:
        with pytest.raises(TieringRunningError):
            world.move()

    Tiering(world.database, world.tiers).run(NOW, second)


def test_while_the_bucket_is_out_of_reach_recent_instances_are_read(
    tmp_path: Path, clock: FixedClock, s3_server: S3Server
) -> None:
    with _over_bucket(tmp_path, clock, s3_server, "tiers-out") as world:
        Sender(world.archive).send(ct_slice(1))
        world.move()
        before = world.digests()
        Sender(world.archive).send(ct_slice(2))
        out = World(tmp_path, clock, _gone(tmp_path, s3_server))
        assert out.archive.reconcile(full=True).missing == ()
        with pytest.raises(FarTierUnreachableError):
            out.archive.open_instance("1.2.3.1.1.1")
        with out.archive.open_instance("1.2.3.1.1.2") as stream:
            assert stream.read()
        with pytest.raises(ArchiveBusyError):
            out.move()
        Sender(out.archive).send(ct_slice(3))
        out.close()
        assert before.items() <= world.digests().items()
        assert len(world.digests()) == 3


@contextmanager
def _over_bucket(folder: Path, clock: FixedClock, server: S3Server, name: str) -> Iterator[World]:
    local = FilesystemBackend(folder / "archive")
    world = World(folder, clock, S3Backend(server.bucket(name), local))
    world.database.create_all()
    yield world
    world.close()


def _gone(folder: Path, server: S3Server) -> S3Backend:
    bucket = server.bucket("tiers-out", endpoint="http://127.0.0.1:9", timeout_s=1.0)
    return S3Backend(bucket, FilesystemBackend(folder / "archive"))


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    """A folder with an archive of two instances, and what their files hash to."""
    folder = tmp_path / "before"
    folder.mkdir()
    world = World(folder, SystemClock())
    world.database.create_all()
    for number in (1, 2):
        Sender(world.archive).send(ct_slice(number))
    (folder / "digests").write_text(repr(world.digests()))
    world.close()
    return folder


def test_a_kill_at_some_steps_loses_nothing(archived: Path, tmp_path: Path) -> None:
    assert _killed(archived, tmp_path, stride=3) >= 8


@pytest.mark.long
def test_a_kill_at_any_step_loses_nothing(archived: Path, tmp_path: Path) -> None:
    assert _killed(archived, tmp_path, stride=1) >= 25


def test_the_kill_test_sees_a_loss(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the near copy removed before the far one stands, a kill does lose it."""

    def hasty(source: ArchiveBackend, target: ArchiveBackend, key: str) -> None:
        with source.open(key) as stream:
            data = stream.read()
        source.delete(key)
        pending = target.create()
        pending.write(data)
        pending.publish(key)

    monkeypatch.setattr("image_archive.tiering._carry", hasty)
    with pytest.raises(SystemExit):
        _killed(archived, tmp_path, stride=1)


def _killed(archived: Path, folder: Path, *, stride: int) -> int:
    return killed_everywhere(
        lambda at, step: _move_dying(_copied(archived, folder, at), step),
        lambda at: _go_on(folder / f"run{at}"),
        stride=stride,
    )


def _copied(source: Path, folder: Path, at: int) -> Path:
    return shutil.copytree(source, folder / f"run{at}", dirs_exist_ok=True)


def _move_dying(folder: Path, step: Step) -> None:
    world = World(folder, SystemClock())
    writes_of(world.database.engine, step)
    tiers = TieredBackend(_Stepping(world.near, step), _Stepping(world.far, step))  # type: ignore[arg-type]
    Tiering(world.database, tiers).run(NOW, lambda *_: step())


def _go_on(folder: Path) -> None:
    """Nothing is lost as it stands, and the next run ends what was begun."""
    world = World(folder, SystemClock())
    expected = eval((folder / "digests").read_text())  # noqa: S307 - written above
    assert world.digests() == expected
    assert world.archive.reconcile(full=True).missing == ()
    world.move()
    assert world.digests() == expected
    assert list(world.near.keys()) == []
    world.close()
    shutil.rmtree(folder)


class _Stepping:
    """A backend that can die before and after everything it does, and while it writes."""

    def __init__(self, backend: Any, step: Step) -> None:
        self._backend, self._step = backend, step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name not in {"create", "delete", "write", "publish"}:
            return found

        def stepping(*args: Any, **kw: Any) -> Any:
            self._step()
            done = found(*args, **kw)
            self._step()
            return _Stepping(done, self._step) if name == "create" else done

        return stepping
