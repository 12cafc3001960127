"""Rows are found by any of several pairs, and through an index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select, tuple_
from sqlalchemy.engine import Engine

from hub_kernel.pairs import bound, is_any_bound, is_any_of

ROOT = Path(__file__).resolve().parents[2]
TABLE = Table(
    "known",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("value", String(16), index=True),
    Column("issuer", String(16)),
)
PAIRS = [("1", "a"), ("2", "b"), ("2", "c")]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'known.sqlite'}")
    TABLE.create(engine)
    with engine.begin() as connection:
        rows = [("1", "a"), ("1", "b"), ("2", "b"), ("3", "a")]
        connection.execute(TABLE.insert(), [{"value": v, "issuer": i} for v, i in rows])
    yield engine
    engine.dispose()


def found(engine: Engine, query: Any, given: dict[str, list[Any]]) -> list[int]:
    with engine.connect() as connection:
        return sorted(connection.scalars(query, given))


@pytest.mark.parametrize(("pairs", "rows"), [(PAIRS, [1, 3]), (PAIRS[:1], [1]), ([], [])])
def test_a_row_matches_by_both_columns(
    engine: Engine, pairs: list[tuple[str, str]], rows: list[int]
) -> None:
    at_once = select(TABLE.c.id).where(is_any_of(TABLE.c.value, TABLE.c.issuer, pairs))
    assert found(engine, at_once, {}) == rows
    made_once = select(TABLE.c.id).where(is_any_bound(TABLE.c.value, TABLE.c.issuer, "one"))
    assert found(engine, made_once, bound("one", pairs)) == rows


def plan(engine: Engine, query: Any) -> str:
    text = query.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").first())


def test_an_index_finds_them_as_it_does_not_find_pairs_alone(engine: Engine) -> None:
    by_index = select(TABLE.c.id).where(is_any_of(TABLE.c.value, TABLE.c.issuer, PAIRS))
    assert "SEARCH known USING INDEX" in plan(engine, by_index)
    # Control: without the help the table is read whole.
    alone = select(TABLE.c.id).where(tuple_(TABLE.c.value, TABLE.c.issuer).in_(PAIRS))
    assert "SCAN known" in plan(engine, alone)


def test_nobody_asks_for_pairs_without_it() -> None:
    asking = [
        file.relative_to(ROOT)
        for package in ROOT.glob("[a-z]*/__init__.py")
        if package.parent.name not in {"tests", "benchmarks"}
        for file in package.parent.rglob("*.py")
        if "tuple_(" in file.read_text(encoding="utf-8")
    ]
    assert asking == [Path("hub_kernel/pairs.py")]
