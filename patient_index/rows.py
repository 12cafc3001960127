"""Add rows by statements that are put together once: the feed adds a dozen for every newcomer."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import Insert, Table, insert
from sqlalchemy.orm import Session

from hub_kernel.database import Base

Values = Mapping[str, Any]


def add(session: Session, entity: type[Base], rows: Sequence[Values]) -> None:
    """Insert rows; nothing happens for none."""
    if rows:
        session.execute(_insert(entity), list(rows))


def add_one(session: Session, entity: type[Base], row: Values) -> int:
    """Insert one row and return its primary key."""
    return cast(int, session.execute(_insert_returning(entity), dict(row)).scalar_one())


def table_of(entity: type[Base]) -> Table:
    """Return the table behind an entity."""
    return cast(Table, entity.__table__)


@cache
def _insert(entity: type[Base]) -> Insert:
    return insert(table_of(entity))


@cache
def _insert_returning(entity: type[Base]) -> Any:
    table = table_of(entity)
    return insert(table).returning(*table.primary_key.columns)
