"""Completion of quiet studies, and the re-hash of everything stored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hub_kernel.events import Event, StudyCompleted
from image_archive.index import ArchiveIndex
from image_archive.model import Condition, StoreOutcome, StudyState
from image_archive.service import ArchiveService
from tests.image_archive.datasets import Sender, ct_slice
from tests.support.clock import FixedClock

Published = Callable[[], list[Event]]


def completions(published: Published) -> list[tuple[str, str, int]]:
    return [
        (event.study_instance_uid, event.site_id, event.generation)
        for event in published()
        if isinstance(event, StudyCompleted)
    ]


def test_a_study_is_complete_once_it_has_been_quiet(
    sender: Sender,
    archive: ArchiveService,
    index: ArchiveIndex,
    clock: FixedClock,
    published: Published,
) -> None:
    sender.send(ct_slice(1))
    clock.advance(seconds=59)
    assert archive.complete_quiet_studies() == 0
    sender.send(ct_slice(2))
    clock.advance(seconds=59)
    assert archive.complete_quiet_studies() == 0
    clock.advance(seconds=1)
    assert archive.complete_quiet_studies() == 1
    assert archive.complete_quiet_studies() == 0
    assert completions(published) == [("1.2.3", "qingshan", 1)]
    study = index.study("1.2.3")
    assert study
    assert (study.state, study.generation) == (StudyState.COMPLETE, 1)
    assert study.completed_at == clock.now()


@pytest.mark.parametrize("said", [{}, {"RequestedProcedurePriority": "STAT"}])
def test_the_completion_of_an_emergency_says_so(
    sender: Sender,
    archive: ArchiveService,
    clock: FixedClock,
    published: Published,
    said: dict[str, str],
) -> None:
    sender.send(ct_slice(1, **said))
    clock.advance(seconds=60)
    archive.complete_quiet_studies()
    (completed,) = (one for one in published() if isinstance(one, StudyCompleted))
    assert completed.is_urgent == bool(said)


def test_a_study_received_under_a_fast_clock_is_complete_when_it_is_set_right(
    sender: Sender, archive: ArchiveService, clock: FixedClock
) -> None:
    clock.advance(days=365)
    sender.send(ct_slice(1))
    clock.advance(days=-365)
    assert archive.complete_quiet_studies() == 1


def test_a_late_instance_reopens_the_study_and_counts_the_next_generation(
    sender: Sender,
    archive: ArchiveService,
    index: ArchiveIndex,
    clock: FixedClock,
    published: Published,
) -> None:
    sender.send(ct_slice(1))
    clock.advance(seconds=60)
    archive.complete_quiet_studies()
    sender.send(ct_slice(2))
    study = index.study("1.2.3")
    assert study
    assert study.state is StudyState.RECEIVING
    clock.advance(seconds=60)
    archive.complete_quiet_studies()
    assert completions(published) == [("1.2.3", "qingshan", 1), ("1.2.3", "qingshan", 2)]


def test_an_instance_sent_again_does_not_reopen_its_study(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, clock: FixedClock
) -> None:
    sender.send(ct_slice(1))
    clock.advance(seconds=60)
    archive.complete_quiet_studies()
    assert sender.send(ct_slice(1)) is StoreOutcome.ALREADY_STORED
    study = index.study("1.2.3")
    assert study
    assert study.state is StudyState.COMPLETE


def test_many_studies_complete_in_one_run(
    sender: Sender, archive: ArchiveService, clock: FixedClock, published: Published
) -> None:
    for number in range(120):
        uid = f"1.9.{number}"
        sender.send(
            ct_slice(
                SOPInstanceUID=f"{uid}.1.1", StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1"
            )
        )
    clock.advance(seconds=60)
    assert archive.complete_quiet_studies() == 120
    assert len(set(completions(published))) == 120


def test_verify_counts_everything_and_tells_how_far_it_is(
    sender: Sender, archive: ArchiveService
) -> None:
    for number in (1, 2, 3):
        sender.send(ct_slice(number))
    steps: list[tuple[int, int]] = []
    report = archive.verify(lambda done, total: steps.append((done, total)))
    assert report.ok
    assert report.checked == 3
    assert report.checked_bytes > 3 * 32
    assert steps == [(1, 3), (2, 3), (3, 3)]


def flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "condition"),
    [
        (flip_last_bit, Condition.DAMAGED),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), Condition.DAMAGED),
        (lambda path: path.write_bytes(b""), Condition.DAMAGED),
        (Path.unlink, Condition.MISSING),
    ],
    ids=["one bit", "one byte short", "empty", "gone"],
)
def test_verify_finds_the_one_harmed_instance_and_sending_it_again_mends_it(
    sender: Sender,
    archive: ArchiveService,
    index: ArchiveIndex,
    tmp_path: Path,
    harm: Callable[[Path], None],
    condition: Condition,
) -> None:
    for number in (1, 2, 3):
        sender.send(ct_slice(number))
    found = index.instance("1.2.3.1.1.2")
    assert found
    harm(tmp_path / "archive" / found.storage_key)
    report = archive.verify(lambda done, total: None)
    assert [(b.sop_instance_uid, b.condition) for b in report.broken] == [
        ("1.2.3.1.1.2", condition)
    ]
    assert sender.send(ct_slice(2)) is StoreOutcome.STORED
    assert archive.verify(lambda done, total: None).ok
    study = index.study("1.2.3")
    assert study
    assert study.instance_count == 3
