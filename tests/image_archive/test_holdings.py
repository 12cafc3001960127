"""What is held of each site, counted a step behind the index."""

from hub_kernel.database import Database
from image_archive.holdings import Holdings, held_by_site
from tests.image_archive.datasets import Sender, ct_slice


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
