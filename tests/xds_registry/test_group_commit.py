"""Sharing a transaction: everyone waits for their own part and hears of their own error."""

import threading
from collections.abc import Sequence

import pytest

from xds_registry.group_commit import LARGEST_GROUP, GroupCommit, GroupFailedError

DEADLINE_S = 20


def in_threads(count: int, work: object) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    return threads


def test_a_lone_caller_commits_alone_in_its_own_thread() -> None:
    seen: list[tuple[int, Sequence[int]]] = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        seen.append((threading.get_ident(), items))
        return [item * 2 for item in items]

    assert GroupCommit(commit).submit(21) == 42
    assert seen == [(threading.get_ident(), [21])]


def test_callers_who_come_during_a_commit_share_the_next_one() -> None:
    groups: list[int] = []
    first_is_in, go_on = threading.Event(), threading.Event()
    results: dict[int, int] = {}

    def commit(items: Sequence[int]) -> Sequence[int]:
        groups.append(len(items))
        if len(groups) == 1:
            first_is_in.set()
            assert go_on.wait(DEADLINE_S)
        return [-item for item in items]

    group: GroupCommit[int, int] = GroupCommit(commit)

    def submit(number: int) -> None:
        results[number] = group.submit(number)

    first = in_threads(1, submit)
    assert first_is_in.wait(DEADLINE_S)
    rest = in_threads(20, lambda number: submit(number + 100))
    while len(group._waiting) < 20:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in first + rest:
        thread.join(DEADLINE_S)
    assert groups == [1, 20]
    assert results == {0: 0, **{n + 100: -(n + 100) for n in range(20)}}


def test_one_item_can_fail_without_the_others() -> None:
    def commit(items: Sequence[int]) -> Sequence[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    group: GroupCommit[int, int] = GroupCommit(commit)
    assert group.submit(2) == 2
    with pytest.raises(ValueError, match="odd"):
        group.submit(3)
    assert group.submit(4) == 4


def test_whoever_waits_for_an_interrupted_group_hears_of_it() -> None:
    entered, go_on = threading.Event(), threading.Event()
    outcomes: list[type[BaseException] | int] = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise KeyboardInterrupt
        if not entered.is_set():
            entered.set()
            assert go_on.wait(DEADLINE_S)
        return items

    group: GroupCommit[int, int] = GroupCommit(commit)

    def submit(number: int) -> None:
        try:
            outcomes.append(group.submit(number))
        except (KeyboardInterrupt, GroupFailedError) as error:
            outcomes.append(type(error))

    first = in_threads(1, submit)
    assert entered.wait(DEADLINE_S)
    rest = in_threads(3, lambda number: submit(number + 1))
    while len(group._waiting) < 3:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in first + rest:
        thread.join(DEADLINE_S)
    assert sorted(map(str, outcomes)) == sorted(
        map(str, [0, KeyboardInterrupt, GroupFailedError, GroupFailedError])
    )
    assert group.submit(7) == 7


def test_no_group_is_larger_than_the_limit() -> None:
    sizes: list[int] = []
    entered, go_on = threading.Event(), threading.Event()

    def commit(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        if len(sizes) == 1:
            entered.set()
            assert go_on.wait(DEADLINE_S)
        return items

    group: GroupCommit[int, int] = GroupCommit(commit)
    threads = in_threads(1, group.submit)
    assert entered.wait(DEADLINE_S)
    threads += in_threads(LARGEST_GROUP + 10, group.submit)
    while len(group._waiting) < LARGEST_GROUP + 10:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sizes == [1, LARGEST_GROUP, 10]
