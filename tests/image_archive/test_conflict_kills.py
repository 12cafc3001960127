"""A hub killed at any statement of a resolution has carried out all of the decision, or nothing."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.conflict_resolving import ConflictResolver
from image_archive.conflict_words import CaseStatus, Decided, Verdict
from image_archive.conflicts import CaseQuery
from image_archive.errors import ConflictingInstanceError
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from tests.image_archive.datasets import Sender, ct_slice, encoded
from tests.support.tables import create_tables

FIRST, LATER = ct_slice(1), ct_slice(1, StudyDescription="later")
_MOST_POINTS = 200


def opened(folder: Path) -> tuple[Database, ArchiveService]:
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}", clock=SystemClock())
    backend = FilesystemBackend(folder / "archive")
    return database, ArchiveService(database, backend, SystemClock())


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """An archive in which one case waits."""
    folder = tmp_path / "before"
    folder.mkdir()
    database, archive = opened(folder)
    create_tables(database)
    Sender(archive).send(FIRST)
    with pytest.raises(ConflictingInstanceError):
        Sender(archive).send(LATER)
    database.dispose()
    return folder


def decide_until_killed(folder: Path, verdict: Verdict, statement: int) -> bool:
    """Decide in a process that dies at that statement; whether it died."""
    child = os.fork()
    if child == 0:
        _decide(folder, verdict, statement)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _decide(folder: Path, verdict: Verdict, statement: int) -> None:
    database, archive = opened(folder)
    resolver = ConflictResolver(database, archive)
    left = statement

    def count(*_args: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    (case,) = resolver.cases.page(CaseQuery())
    for name in ("before_cursor_execute", "commit"):
        event.listen(database.engine, name, count)
    resolver.decide(case.case_key, verdict, Decided("li", "why"), quietly)


def quietly(_session: Session) -> None:
    """No audit record here."""


@pytest.mark.parametrize("verdict", [Verdict.KEEP_FIRST, Verdict.REPLACE, Verdict.KEEP_BOTH])
def test_all_or_nothing_at_every_statement(before: Path, tmp_path: Path, verdict: Verdict) -> None:
    half_done = 0
    for statement in range(1, _MOST_POINTS):
        folder = tmp_path / f"{verdict}-{statement}"
        shutil.copytree(before, folder)
        died = decide_until_killed(folder, verdict, statement)
        database, archive = opened(folder)
        archive.reconcile()
        resolver = ConflictResolver(database, archive)
        half_done += resolver.finish_pending()
        outcome = _outcome(database, archive, resolver)
        database.dispose()
        shutil.rmtree(folder)
        assert outcome in {(True, *_NOTHING), (False, *_ALL[verdict])}, f"statement {statement}"
        if not died:
            assert outcome[0] is False
            break
    assert statement > 5
    assert not died, "the decision has more statements than are tried"
    # The control: without finishing at the start some of these would be half done.
    assert bool(half_done) is (verdict is Verdict.KEEP_BOTH)


_NOTHING = ("first", 1)
_ALL = {
    Verdict.KEEP_FIRST: ("first", 1),
    Verdict.REPLACE: ("later", 1),
    Verdict.KEEP_BOTH: ("first", 2),
}


def _outcome(
    database: Database, archive: ArchiveService, resolver: ConflictResolver
) -> tuple[bool, str, int]:
    """Whether the case waits, which bytes are live, how many instances the study has."""
    assert not resolver.cases.page(CaseQuery(CaseStatus.PENDING))
    assert archive.verify(lambda done, total: None).ok
    with archive.open_dataset("1.2.3.1.1.1") as stream:
        live = {encoded(FIRST): "first", encoded(LATER): "later"}[stream.read()]
    study = ArchiveIndex(database).study("1.2.3")
    assert study is not None
    instances = ArchiveIndex(database).instances_of("1.2.3")
    assert study.instance_count == len(instances)
    return bool(resolver.cases.page(CaseQuery())), live, len(instances)
