"""Fill a database with persons as the feed would have left them.

Rows are made by the product's own code: keys, fingerprints, details.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime

from benchmarks.bulk_loading import BulkLoad, Rows, load
from benchmarks.identity_population import Resident, residents
from hub_kernel.database import Database
from hub_kernel.person_names import name_keys
from patient_index.candidates import compared_identifiers
from patient_index.global_ids import SystemGlobalIdFactory
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.statements import Statement, stated
from patient_index.text_keys import folded

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
_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_TODAY = date(2026, 11, 1)


def fill(
    database: Database, persons: range, *, processes: int, said: Callable[[str], None]
) -> None:
    """Load persons of these numbers; `said` hears of the progress."""
    load(database, PERSONS, persons, processes=processes, said=said)


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


PERSONS = BulkLoad("persons", COLUMNS, made, chunk=20_000)
