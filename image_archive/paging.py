"""Rows of a long job over the archive: a page at a time, holding no transaction open."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from hub_kernel.database import Database
from image_archive.model import Condition
from image_archive.tables import INSTANCE, SERIES

_PER_QUERY = 200


def instances_in_pages(
    database: Database, wanted: Select[Any], limit: int | None = None
) -> Iterator[Any]:
    """Yield what `wanted` selects of instances, `INSTANCE.id` among it, in order of arrival."""
    last, left = 0, limit
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


def count_of(database: Database, wanted: Select[Any], limit: int | None = None) -> int:
    """Return how many rows `wanted` selects, at most `limit`."""
    with database.read() as session:
        counted = session.execute(select(func.count()).select_from(wanted.subquery()))
        count: int = counted.scalar_one()
    return count if limit is None else min(count, limit)


def of_age(
    database: Database, modalities: tuple[str, ...], older_than_days: int
) -> list[ColumnElement[bool]]:
    """Return the conditions for intact instances of an age; of these modalities, if there are any.

    They speak of instances and their series.
    """
    before = database.clock.now() - timedelta(days=older_than_days)
    wanted = [INSTANCE.c.condition == Condition.INTACT.value, INSTANCE.c.received_at <= before]
    return [*wanted, SERIES.c.modality.in_(modalities)] if modalities else wanted
