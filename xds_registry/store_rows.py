"""Turn values into the rows that keep them, and add these; `store_content` turns them back."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import cast

from pydantic import TypeAdapter
from sqlalchemy import Dialect, Table, insert
from sqlalchemy.orm import Session

from hub_kernel.database import Base
from hub_kernel.prepared import Prepared
from xds_registry.model import DocumentEntry, Folder, SubmissionSet, XdsAssociation

_ENTRY = TypeAdapter(DocumentEntry)
_SUBMISSION_SET = TypeAdapter(SubmissionSet)
_FOLDER = TypeAdapter(Folder)
_ASSOCIATION = TypeAdapter(XdsAssociation)

Row = Mapping[str, object]
"""The values of one row by column, all of them."""


def add(session: Session, kind: type[Base], rows: Iterable[Row]) -> None:
    """Add `rows` to the table of `kind` at once, in one statement of the caller's transaction."""
    values = list(rows)
    if values:
        connection = session.connection()
        _insert(kind, connection.dialect).execute(connection.connection, values)


@lru_cache(maxsize=64)
def _insert(kind: type[Base], dialect: Dialect) -> Prepared:
    """Made once, and without the objects of the mapper: nobody changes a row where it was added."""
    table = cast("Table", kind.__table__)
    return Prepared(insert(table).inline(), dialect, [column.name for column in table.columns])


def entry_row(entry: DocumentEntry, occurrence: int) -> Row:
    """Return the row of an entry; `occurrence` counts the earlier ones with its uniqueId."""
    return {
        "entry_uuid": entry.entry_uuid,
        "unique_id": entry.unique_id,
        "occurrence": occurrence,
        "linked_identifier": entry.linked_identifier,
        "status": entry.status,
        "document_type": entry.document_type,
        "logical_id": entry.logical_id or entry.entry_uuid,
        "version": entry.version,
        "content": _ENTRY.dump_json(entry, exclude_defaults=True).decode(),
    }


def submission_set_row(item: SubmissionSet) -> Row:
    """Return the row of a submission set."""
    return {
        "entry_uuid": item.entry_uuid,
        "unique_id": item.unique_id,
        "linked_identifier": item.linked_identifier,
        "status": item.status,
        "content": _SUBMISSION_SET.dump_json(item, exclude_defaults=True).decode(),
    }


def folder_row(folder: Folder) -> Row:
    """Return the row of a folder."""
    return {
        "entry_uuid": folder.entry_uuid,
        "unique_id": folder.unique_id,
        "linked_identifier": folder.linked_identifier,
        "status": folder.status,
        "logical_id": folder.logical_id or folder.entry_uuid,
        "version": folder.version,
        "last_update_time": folder.last_update_time,
        "content": _FOLDER.dump_json(folder, exclude_defaults=True).decode(),
    }


def association_row(item: XdsAssociation) -> Row:
    """Return the row of an association."""
    return {
        "entry_uuid": item.entry_uuid,
        "association_type": item.association_type,
        "source": item.source,
        "target": item.target,
        "status": item.status,
        "content": _ASSOCIATION.dump_json(item, exclude_defaults=True).decode(),
    }
