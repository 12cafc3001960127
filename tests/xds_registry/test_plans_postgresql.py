"""How PostgreSQL carries out what every query asks: by its keys, however much is registered.

A plan that changes with the size of the tables is a registry that becomes slow without a warning.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.sql import ClauseElement

from hub_kernel.database import Database
from patient_index import history, queries
from tests.support.postgresql import PostgresqlServer
from xds_registry import store_reading

APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
PERSONS = 5_000
FILL = (
    "INSERT INTO document_entry (entry_uuid, unique_id, occurrence, linked_identifier, status,"
    " document_type, logical_id, version, content)"
    " SELECT 'urn:' || n, '1.2.' || n, 0, (n % :persons) || '^^^&1.2.3&ISO', :approved,"
    " 'urn:stable', 'urn:' || n, 1, repeat('x', 900) FROM generate_series(1, :documents) AS n",
    "INSERT INTO global_person (global_id, issued_at)"
    " SELECT 'G' || n, now() FROM generate_series(0, :persons - 1) AS n",
    "INSERT INTO patient_identifier (value, issuer_namespace, issuer_oid, registered_at)"
    " SELECT n::text, 'A', '1.2.3', now() FROM generate_series(0, :persons - 1) AS n",
    "INSERT INTO link_log (identifier_id, position, global_id, action, rule, reason, decided_by,"
    " logged_at) SELECT id, 1, 'G' || value, 'REGISTER', 'r', 'r', 'r', now()"
    " FROM patient_identifier",
    "ANALYZE",
)
ONE_PERSON = {"linked": ["17^^^&1.2.3&ISO", "G17^^^&1.2.4&ISO"], "statuses": [APPROVED]}
ASKED: dict[str, tuple[ClauseElement, dict[str, Any]]] = {
    "documents": (store_reading._DOCUMENTS_OF, ONE_PERSON),  # noqa: SLF001 (the statement itself)
    "identifiers": (queries._IDENTIFIERS_OF, {"global_id": "G17"}),  # noqa: SLF001
    "known as": (history._KNOWN_AS, {"person": "G17"}),  # noqa: SLF001
    "resolve": (queries._GLOBAL_ID_OF, {"value": "17", "oid": "1.2.3"}),  # noqa: SLF001
}


@pytest.fixture(scope="module", params=[10_000, 100_000])
def filled(request: pytest.FixtureRequest, postgresql: PostgresqlServer) -> Iterator[Database]:
    with postgresql.database() as url:
        database = Database(url)
        given = {"documents": request.param, "persons": PERSONS, "approved": APPROVED}
        try:
            with database.unit_of_work() as work:
                for statement in FILL:
                    used = {name: given[name] for name in given if f":{name}" in statement}
                    work.session.execute(text(statement), used)
            yield database
        finally:
            database.dispose()


@pytest.mark.parametrize("name", ASKED)
def test_what_every_query_asks_is_found_by_its_keys_at_every_size(
    filled: Database, name: str
) -> None:
    statement, given = ASKED[name]
    with filled.read() as session:
        nodes = list(_nodes(_plan(session, statement, given)))
    scanned = {(node["Node Type"], node.get("Relation Name")) for node in nodes}
    assert not {kind for kind, _ in scanned} & {"Seq Scan"}, scanned
    assert {kind for kind, _ in scanned} & {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in nodes) <= 100
    for node in nodes:
        if node["Node Type"] == "Sort":
            assert node["Actual Rows"] <= 100


def test_a_plan_without_its_index_is_found_out(filled: Database) -> None:
    statement, given = ASKED["documents"]
    with filled.read() as session:
        session.execute(text("DROP INDEX ix_document_entry_person"))
        kinds = {node["Node Type"] for node in _nodes(_plan(session, statement, given))}
    assert "Seq Scan" in kinds


def _plan(session: Session, statement: ClauseElement, given: dict[str, Any]) -> dict[str, Any]:
    literal = statement.params(**given).compile(  # type: ignore[attr-defined]
        session.get_bind(), compile_kwargs={"literal_binds": True}
    )
    asked = f"EXPLAIN (ANALYZE, FORMAT JSON) {literal}".replace("%", "%%")
    ((found,),) = session.connection().exec_driver_sql(asked).all()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
