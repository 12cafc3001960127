"""Fill a database with persons as the feed would have left them, by the fastest way it offers.

Rows are made by the product's own code (keys, fingerprints, details) in child processes; PostgreSQL
takes them by COPY into bare tables, whose keys and indexes are made afterwards.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, text
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from benchmarks.identity_population import Resident, residents
from hub_kernel.database import Base, Database
from hub_kernel.person_names import name_keys
from patient_index.candidates import compared_identifiers
from patient_index.global_ids import SystemGlobalIdFactory
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.statements import Statement, stated
from patient_index.text_keys import folded

Rows = dict[str, list[tuple[Any, ...]]]
COLUMNS = {
    "global_person": ("id", "global_id", "issued_at"),
    "patient_identifier": (
        "id", "value", "issuer_oid", "issuer_namespace", "registered_at",
    ),
    "observed_demographics": (
        "id", "identifier_id", "fingerprint", "name_alphabetic", "name_ideographic",
        "name_phonetic", "name_confident", "name_rule", "key_hanzi", "key_pinyin", "key_initials",
        "key_alphabetic", "birth_date", "sex", "observed_at",
    ),
    "statement_detail": (
        "observed_id", "source", "provisional", "details", "key_street", "key_city",
        "key_province", "key_postal_code", "key_mother",
    ),
    "link_log": (
        "id", "identifier_id", "position", "global_id", "action", "rule", "reason", "decided_by",
        "logged_at",
    ),
    "identity_number": ("id", "value", "kind"),
    "identity_evidence": ("id", "identifier_id", "number_id", "observed_at"),
    "claimed_identifier": (
        "id", "identifier_id", "value", "issuer_oid", "issuer_namespace", "kind", "claimed_at",
    ),
    "stated_phone": ("digits", "identifier_id"),
    "match_key": ("key", "identifier_id"),
}  # fmt: skip
_CHUNK = 20_000
_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_TODAY = date(2026, 11, 1)


def fill(database: Database, persons: int, *, processes: int, said: Callable[[str], None]) -> None:
    """Load persons 0 to `persons` - 1; `said` hears of the progress."""
    tables = [Base.metadata.tables[name] for name in COLUMNS]
    postgresql = database.engine.dialect.name == "postgresql"
    if postgresql:
        with database.engine.begin() as connection:
            _strip(connection, tables)
    chunks = [range(start, min(start + _CHUNK, persons)) for start in range(0, persons, _CHUNK)]
    put = _copy if postgresql else _insert
    with ProcessPoolExecutor(processes) as pool:
        for done, rows in enumerate(_in_order(pool, chunks, processes), start=1):
            with database.unit_of_work() as work:
                put(work.session.connection(), rows)
            if done % 10 == 0 or done == len(chunks):
                said(f"loaded {min(done * _CHUNK, persons):,} persons")
    with database.engine.begin() as connection:
        if postgresql:
            said("making keys and indexes")
            _dress(connection, tables)
            _continue_sequences(connection, tables)
        connection.execute(text("ANALYZE"))


def _in_order(pool: ProcessPoolExecutor, chunks: Iterable[range], ahead: int) -> Iterator[Rows]:
    """Keep every process busy without piling up what the database has not taken yet."""
    waiting: list[Any] = []
    for chunk in chunks:
        waiting.append(pool.submit(made, chunk))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def made(numbers: range) -> Rows:
    """Return the rows of these persons; row numbers follow from theirs."""
    rows: Rows = {name: [] for name in COLUMNS}
    matcher, ids = Matcher(load_weights()), SystemGlobalIdFactory()
    for person in residents(numbers):
        _add(rows, person, matcher, ids.new_global_id())
    return rows


def _add(rows: Rows, person: Resident, matcher: Matcher, global_id: str) -> None:
    first = person.number + 1
    rows["global_person"].append((first, global_id, _NOW))
    for place, site in enumerate(person.sites):
        # Second identifiers are numbered beyond every first one.
        row_id = first if place == 0 else first + 1_000_000_000
        statement = stated(person.statement(site), _TODAY, lambda _one: False)
        own = statement.own[0]
        rows["patient_identifier"].append(
            (row_id, own.value, own.issuer.oid, own.issuer.namespace, _NOW)
        )
        rows["link_log"].append(
            (row_id, row_id, 1, global_id, "REGISTER", "new-identifier", "first seen", "rule", _NOW)
        )
        _add_said(rows, row_id, statement)
        record = matcher.record(statement.demographics, compared_identifiers(statement))
        rows["match_key"] += [(key, row_id) for key in matcher.keys(record)]
        for number in statement.numbers:
            if place == 0:
                rows["identity_number"].append((first, number.value, number.kind.value))
            rows["identity_evidence"].append((row_id, row_id, first, _NOW))
        for claim in statement.claims:
            issuer, kind = claim.identifier.issuer, claim.kind.value
            rows["claimed_identifier"].append(
                (row_id, row_id, claim.identifier.value, issuer.oid, issuer.namespace, kind, _NOW)
            )


def _add_said(rows: Rows, row_id: int, statement: Statement) -> None:
    said, keys = statement.demographics, name_keys(statement.demographics.name)
    name = said.name
    rows["observed_demographics"].append(
        (
            row_id, row_id, statement.fingerprint, name.alphabetic, name.ideographic,
            name.phonetic, name.confident, name.rule, keys.hanzi, keys.pinyin, keys.initials,
            keys.alphabetic, said.birth_date, said.sex, _NOW,
        )
    )  # fmt: skip
    address = said.address
    rows["statement_detail"].append(
        (
            row_id, statement.source, False, statement.details, folded(address.street),
            folded(address.city), folded(address.province), folded(address.postal_code), "",
        )
    )  # fmt: skip
    rows["stated_phone"] += [(one, row_id) for one in said.phones]


def _insert(connection: Connection, rows: Rows) -> None:
    for name, values in rows.items():
        if values:
            table = Base.metadata.tables[name]
            named = [dict(zip(COLUMNS[name], value, strict=True)) for value in values]
            connection.execute(insert(table), named)


def _copy(connection: Connection, rows: Rows) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        for name, values in rows.items():
            buffer = io.StringIO()
            csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(values)
            columns = ", ".join(COLUMNS[name])
            with cursor.copy(f"COPY {name} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                copy.write(buffer.getvalue())


def _strip(connection: Connection, tables: Iterable[Table]) -> None:
    """Drop keys and indexes; those that refer to others first."""
    for table in tables:
        for index in table.indexes:
            connection.execute(DropIndex(index))
    for constraint in _constraints(tables, foreign=True) + _constraints(tables, foreign=False):
        connection.execute(DropConstraint(constraint, cascade=True))


def _dress(connection: Connection, tables: Iterable[Table]) -> None:
    connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
    for constraint in _constraints(tables, foreign=False) + _constraints(tables, foreign=True):
        connection.execute(AddConstraint(constraint))
    for table in tables:
        for index in table.indexes:
            connection.execute(CreateIndex(index))


def _constraints(tables: Iterable[Table], *, foreign: bool) -> list[Any]:
    found = [one for table in tables for one in table.constraints]
    return [one for one in found if (one.__visit_name__ == "foreign_key_constraint") == foreign]


def _continue_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """New rows are numbered after those that came with their numbers."""
    for table in tables:
        if "id" in table.c:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), 2000000000)"  # noqa: S608
                )
            )
