"""The log is only ever added to: the database itself refuses anything else."""

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from hub_kernel.append_only import append_only_statements
from hub_kernel.database import Base, Database
from hub_kernel.identifiers import PatientIdentifier
from patient_index import tables, tables_feed
from patient_index.feed import PatientFeed
from patient_index.model import Decided
from patient_index.service import PatientIndex
from patient_index.tables import LinkLog
from tests.patient_index.conftest import (
    EAST,
    NORTH,
    NUMBER,
    ON_BOTH,
    ON_POSTGRESQL,
    WEST,
    card,
    patient,
    statement,
)

DECIDED = Decided(by="clerk", reason="test")
APPEND_ONLY = (*tables.APPEND_ONLY, *tables_feed.APPEND_ONLY)


def _fill(index: PatientIndex, feed: PatientFeed) -> None:
    """Put a row into every table."""
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), name="李^娜"))
    [review] = index.open_reviews()
    index.keep_apart(review.review_id, DECIDED)
    feed.register(
        statement(
            NORTH,
            "child",
            card(EAST, "12345"),
            phones=("021-57641234",),
            mothers_identifiers=(PatientIdentifier("12345", WEST),),
        )
    )


@ON_BOTH
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_no_row_can_be_changed_or_deleted(
    index: PatientIndex, feed: PatientFeed, database: Database, verb: str
) -> None:
    _fill(index, feed)
    for table in APPEND_ONLY:
        target = Base.metadata.tables[table]
        with database.read() as session:
            assert session.execute(select(target)).first() is not None
        column = next(iter(target.primary_key.columns)).name
        change = update(target).values({column: 999}) if verb == "update" else delete(target)
        with (
            pytest.raises(DBAPIError, match=f"{table} is append-only"),
            database.unit_of_work() as unit,
        ):
            unit.session.execute(change)


@ON_POSTGRESQL
def test_no_table_can_be_emptied_at_once(database: Database) -> None:
    """SQLite has no TRUNCATE; there, emptying a table is deleting its rows."""
    for table in APPEND_ONLY:
        with (
            pytest.raises(DBAPIError, match="is append-only"),
            database.unit_of_work() as unit,
        ):
            unit.session.execute(text(f"TRUNCATE {table} CASCADE"))


def test_every_table_of_the_index_is_append_only() -> None:
    own = {
        mapper.local_table.name
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ in {"patient_index.tables", "patient_index.tables_feed"}
    }
    # Keys to match by can be made again, and messages may be forgotten; neither says who is who.
    assert own - set(APPEND_ONLY) == {"match_key", "feed_message"}


@ON_BOTH
def test_undoing_a_link_leaves_every_earlier_line(index: PatientIndex, database: Database) -> None:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,)))
    before = _lines(database)
    index.unlink(PatientIdentifier("12345", WEST), DECIDED)
    index.link(PatientIdentifier("12345", WEST), before[0][1], DECIDED)
    after = _lines(database)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2


def _lines(database: Database) -> list[tuple[int, str, str]]:
    with database.read() as session:
        return [(row.id, row.global_id, row.action) for row in _log(session)]


def _log(session: Session) -> list[LinkLog]:
    return list(session.scalars(select(LinkLog).order_by(LinkLog.id)))


def test_postgresql_is_told_the_same() -> None:
    statements = append_only_statements(APPEND_ONLY, "postgresql")
    for table in APPEND_ONLY:
        assert any(f"BEFORE UPDATE OR DELETE ON {table} " in line for line in statements)
    assert append_only_statements(APPEND_ONLY, "another") == ()


def test_keys_are_ordered_by_code_point_on_postgresql() -> None:
    """Prefix searches are ranges; the order of a language would break them."""
    table = Base.metadata.tables["observed_demographics"]
    created = str(CreateTable(table).compile(dialect=postgresql.dialect()))
    assert 'key_hanzi VARCHAR(255) COLLATE "C"' in created
