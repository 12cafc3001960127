"""Fill a registry with documents as submissions would have left them.

Rows are made by the product's own code. Documents belong to the persons of the identity
benchmark: each has `DOCUMENTS_OF_PERSON`, of which one in ten was replaced.
"""

import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.bulk_loading import BulkLoad, Rows, load
from benchmarks.identity_population import resident
from hub_kernel.database import Database
from xds_registry.model import (
    AssociationType,
    Author,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    ReferenceId,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_codes import code_rows
from xds_registry.store_rows import Row, association_row, entry_row, submission_set_row
from xds_registry.tables import (
    DocumentEntryRow,
    DocumentReferenceRow,
    SubmissionSetRow,
    XdsAssociationRow,
)
from xds_registry.tables_codes import CodeIndexRow

DOCUMENTS_OF_PERSON = 20
_DOCUMENTS_OF_SUBMISSION = 2
_REPLACED_ONE_IN = 10
_SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
_DCM, _SCT, _LOINC = "1.2.840.10008.2.16.4", "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1"
_CONTENT = Code("18748-4", _LOINC, "Diagnostic imaging study")
_MODALITIES = tuple(Code(name, _DCM, name) for name in ("CT", "MR", "DX", "US", "CR"))
_PARTS = tuple(
    Code(str(number), _SCT, f"部位 {number}") for number in (12738006, 10200004, 14975008, 15825003)
)
_KINDS = (
    Code("IMAGES", "1.3.6.1.4.1.19376.1.2.6.1", "Images"),
    Code("REPORTS", "1.3.6.1.4.1.19376.1.2.6.1", "Reports"),
)
COLUMNS = {
    row.__tablename__: tuple(column.name for column in row.__table__.columns)
    for row in (
        DocumentEntryRow,
        DocumentReferenceRow,
        SubmissionSetRow,
        XdsAssociationRow,
        CodeIndexRow,
    )
}


def fill(
    database: Database, entries: range, *, processes: int, said: Callable[[str], None]
) -> None:
    """Load documents of these numbers; `said` hears of the progress."""
    load(database, DOCUMENTS, entries, processes=processes, said=said)


def document(number: int) -> DocumentEntry:
    """Return the document of that number, before anything replaced it."""
    person = resident(number // DOCUMENTS_OF_PERSON)
    cx = person.identifier(person.sites[0]).cx
    day = f"20{10 + number % 16}{1 + number % 12:02}{1 + number % 28:02}"
    name = person.demographics.name
    return DocumentEntry(
        entry_uuid=urn("document", number),
        unique_id=f"2.25.{uuid.uuid5(_SPACE, f'document {number}').int}",
        patient_id=cx,
        linked_identifier=cx,
        source_patient_id=cx,
        source_patient_info=(
            f"PID-3|{cx}",
            f"PID-5|{name.ideographic}",
            f"PID-7|{person.demographics.birth_date:%Y%m%d}",
            f"PID-8|{person.demographics.sex}",
        ),
        mime_type="application/dicom",
        class_code=_KINDS[number % 2],
        type_code=_CONTENT,
        format_code=Code("1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.2.6.1", "KOS"),
        practice_setting_code=Code("309964003", _SCT, "Radiology"),
        healthcare_facility_type_code=Code("35971002", _SCT, "Ambulatory care site"),
        confidentiality_codes=(Code("N", "2.16.840.1.113883.5.25", "normal"),),
        event_codes=(_MODALITIES[number % 5], _PARTS[number % 4]),
        language_code="zh-CN",
        creation_time=f"{day}0830",
        service_start_time=f"{day}0810",
        service_stop_time=f"{day}0815",
        authors=(Author("0042^李^四", (f"{person.sites[0].namespace}卫生院",), ("医师",)),),
        title=f"胸部检查 {day}",
        sha1=uuid.uuid5(_SPACE, f"bytes {number}").hex + "00000000",
        size=2_000 + number % 900,
        repository_unique_id="1.2.826.0.1.3680043.10.1717.2",
        reference_ids=(
            ReferenceId.study(f"1.2.826.0.1.3680043.10.1717.7.{number}"),
            ReferenceId.accession(f"A{number}", person.sites[0].oid),
        ),
    )


def urn(kind: str, number: int) -> str:
    """Return the id of an object, made from its number."""
    return f"urn:uuid:{uuid.uuid5(_SPACE, f'{kind} {number}')}"


def made(numbers: range) -> Rows:
    """Return the rows of these documents; a chunk begins with a submission."""
    rows: Rows = {name: [] for name in COLUMNS}
    for first in range(numbers.start, numbers.stop, _DOCUMENTS_OF_SUBMISSION):
        _add(rows, [document(n) for n in range(first, first + _DOCUMENTS_OF_SUBMISSION)], first)
    return rows


def _add(rows: Rows, documents: list[DocumentEntry], first: int) -> None:
    one = documents[0]
    own = SubmissionSet(
        entry_uuid=urn("set", first),
        unique_id=f"2.25.{uuid.uuid5(_SPACE, f'set {first}').int}",
        source_id="1.2.826.0.1.3680043.10.1717.2",
        patient_id=one.patient_id,
        linked_identifier=one.linked_identifier,
        submission_time=one.creation_time,
        content_type_code=_CONTENT,
        authors=one.authors,
    )
    rows["submission_set"].append(_values("submission_set", submission_set_row(own)))
    for number, entry in enumerate(documents, start=first):
        row = dict(entry_row(entry, 0))
        if number % _REPLACED_ONE_IN == 0:
            row["status"] = AvailabilityStatus.DEPRECATED
        rows["document_entry"].append(_values("document_entry", row))
        rows["document_reference"] += [(entry.entry_uuid, x.cxi) for x in entry.reference_ids]
        rows["document_code"] += code_rows(entry)
        member = XdsAssociation(
            entry_uuid=urn("member", number),
            association_type=AssociationType.HAS_MEMBER,
            source=own.entry_uuid,
            target=entry.entry_uuid,
            submission_set_status="Original",
        )
        rows["xds_association"].append(_values("xds_association", association_row(member)))


def _values(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in COLUMNS[table])


DOCUMENTS = BulkLoad("documents", COLUMNS, made)
