"""What is held of each site, counted a step behind the index."""

import pytest

from hub_kernel.database import Database
from image_archive import holdings as counting
from image_archive.holdings import Holdings, held_by_site
from tests.image_archive.datasets import OTHER_TOWNSHIP, Sender, ct_slice


def held(database: Database) -> dict[str, tuple[int, int]]:
    with database.read() as session:
        return dict(held_by_site(session))


def test_counters_follow_the_index_one_run_behind(sender: Sender, database: Database) -> None:
    holdings = Holdings(database)
    sender.send(ct_slice(1))
    holdings.count()
    assert held(database) == {}
    holdings.count()
    ((size, count),) = held(database).values()
    assert (count, size > 0) == (1, True)
    sender.send(ct_slice(2))
    sender.send(ct_slice(3))
    holdings.count()
    holdings.count()
    holdings.count()
    ((_, count),) = held(database).values()
    assert count == 3
    holdings.recount()
    ((again, count),) = held(database).values()
    assert (count, again > size) == (3, True)


def test_what_came_before_is_caught_up_with_in_steps_and_by_site(
    sender: Sender, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_PER_STEP", 2)
    for number in range(1, 6):
        sender.send(ct_slice(number))
    elsewhere = {"StudyInstanceUID": "1.2.4", "SeriesInstanceUID": "1.2.4.1"}
    Sender(sender.archive, OTHER_TOWNSHIP).send(ct_slice(6, **elsewhere))
    holdings = Holdings(database)
    holdings.count()
    holdings.count()
    counts = {site: count for site, (_, count) in held(database).items()}
    assert counts == {"qingshan": 5, "baihe": 1}
