"""What a hub of the first schema had registered, and what an upgrade must make of it."""

import json

from sqlalchemy import text

from hub_kernel.database import Database
from xds_registry.store_codes import CLASS, EVENT, FACILITY, code_hash

_CODES = {
    "class_code": {"code": "IMG", "scheme": "1.2.3", "display": "影像"},
    "healthcare_facility_type_code": {"code": "B1", "scheme": "1.2.3", "display": "医院"},
    "event_codes": [{"code": "CT", "scheme": "DCM", "display": "CT"}],
    "creation_time": "20261101",
}
_STATEMENTS = (
    "INSERT INTO document_entry (entry_uuid, unique_id, linked_identifier, status, document_type,"
    " content) VALUES (:uuid, '1.2.3.4', '7^^^&1.2.3&ISO', 'Approved', 'Stable', :content)",
    "INSERT INTO document_reference (entry_uuid, cxi) VALUES (:uuid, '9^^^&1.2.3&ISO')",
    "INSERT INTO study_manifest (study_instance_uid, generation, entry_uuid, unique_id,"
    " registered_at) VALUES (:uuid, 1, :uuid, '1.2.3.4', '2026-11-01 00:00:00')",
)
UUIDS = ("urn:uuid:1", "urn:uuid:2")


def register_as_before(database: Database) -> None:
    """Write two entries with one uniqueId, as a replaced manifest leaves them."""
    with database.unit_of_work() as work:
        for uuid in UUIDS:
            for statement in _STATEMENTS:
                values = {"uuid": uuid, "content": json.dumps(_CODES)}
                work.session.execute(text(statement), values)


def require_kept(database: Database) -> None:
    """Everything is there, is its own first version, and is found by its codes."""
    wanted = {(CLASS, "IMG^^1.2.3"), (FACILITY, "B1^^1.2.3"), (EVENT, "CT^^DCM")}
    with database.read() as session:
        entries = session.execute(
            text("SELECT entry_uuid, logical_id, version, occurrence FROM document_entry")
        )
        assert sorted(map(tuple, entries)) == [
            (uuid, uuid, 1, number) for number, uuid in enumerate(UUIDS)
        ]
        for table in ("document_reference", "study_manifest"):
            rows = session.execute(text(f"SELECT entry_uuid FROM {table}"))  # noqa: S608
            assert sorted(row[0] for row in rows) == list(UUIDS)
        codes = session.execute(text("SELECT code_hash, moment, entry_uuid FROM document_code"))
        assert {tuple(row) for row in codes} == {
            (code_hash(kind, key), "20261101000000", uuid) for kind, key in wanted for uuid in UUIDS
        }
