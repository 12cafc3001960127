"""The log is only ever added to: the database itself refuses anything else."""

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from hub_kernel.append_only import append_only_statements
from hub_kernel.database import Base, Database
from hub_kernel.identifiers import PatientIdentifier
from patient_index.model import Decided
from patient_index.service import PatientIndex
from patient_index.tables import APPEND_ONLY, LinkLog
from tests.patient_index.conftest import EAST, NUMBER, WEST, patient

DECIDED = Decided(by="clerk", reason="test")


def _fill(index: PatientIndex) -> None:
    """Put a row into every table."""
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), name="李^娜"))
    [review] = index.open_reviews()
    index.keep_apart(review.review_id, DECIDED)


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_no_row_can_be_changed_or_deleted(
    index: PatientIndex, database: Database, table: str, verb: str
) -> None:
    _fill(index)
    target = Base.metadata.tables[table]
    with database.read() as session:
        assert session.execute(select(target)).first() is not None
    statement = update(target).values(id=999) if verb == "update" else delete(target)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        database.unit_of_work() as unit,
    ):
        unit.session.execute(statement)


def test_every_table_of_the_index_is_append_only() -> None:
    own = {
        mapper.local_table.name
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ == "patient_index.tables"
    }
    assert own == set(APPEND_ONLY)


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
