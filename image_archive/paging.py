"""Rows of a long job over the archive: a page at a time, holding no transaction open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from hub_kernel.database import Database
from image_archive.model import Condition
from image_archive.tables import INSTANCE, SERIES

_PER_QUERY = 200


@dataclass(frozen=True)
class Part:
    """Of all rows those after the row `after`, at most `limit` of them (None: all)."""

    after: int = 0
    limit: int | None = None


ALL = Part()


def instances_in_pages(database: Database, wanted: Select[Any], part: Part = ALL) -> Iterator[Any]:
    """Yield what `wanted` selects of instances, `INSTANCE.id` among it, in order of arrival."""
    last, left = part.after, part.limit
    while left is None or left > 0:
        most = _PER_QUERY if left is None else min(left, _PER_QUERY)
        page = wanted.where(INSTANCE.c.id > last).order_by(INSTANCE.c.id).limit(most)
        with database.read() as session:
            rows = session.execute(page).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].id
        left = None if left is None else left - len(rows)


def count_of(database: Database, wanted: Select[Any], part: Part = ALL) -> int:
    """Return how many rows `wanted` selects; no more than `part.limit` are looked at."""
    some = wanted.where(INSTANCE.c.id > part.after)
    if part.limit is not None:
        some = some.order_by(INSTANCE.c.id).limit(part.limit)
    with database.read() as session:
        counted = session.execute(select(func.count()).select_from(some.subquery()))
        count: int = counted.scalar_one()
    return count


def has_had_its_turn(done: ColumnElement[int], part: Part) -> ColumnElement[bool]:
    """Return how instances are joined to the table of what is done, for a job that goes on there.

    A database may not see by itself that it need not read that table from its beginning.
    """
    return and_(done == INSTANCE.c.id, done > part.after)


def of_age(
    database: Database, modalities: tuple[str, ...], older_than_days: int
) -> list[ColumnElement[bool]]:
    """Return the conditions for intact instances of an age; of these modalities, if there are any.

    They speak of instances and their series.
    """
    before = database.clock.now() - timedelta(days=older_than_days)
    wanted = [INSTANCE.c.condition == Condition.INTACT.value, INSTANCE.c.received_at <= before]
    return [*wanted, SERIES.c.modality.in_(modalities)] if modalities else wanted
