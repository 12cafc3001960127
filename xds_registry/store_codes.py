"""Fill and read the index of codes; ITI-51 finds by it what no patient identifier leads to."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from xds_registry.model import DocumentEntry, Folder, dtm_start
from xds_registry.store_rows import add
from xds_registry.tables_codes import CodeIndexRow

CLASS, EVENT, FACILITY, FOLDER = "class", "event", "facility", "folder"


@dataclass(frozen=True)
class CodeAlternatives:
    """Codes `code^^scheme` of one kind, of which an object must carry at least one."""

    kind: str
    keys: Collection[str]


def index_codes(session: Session, items: Iterable[DocumentEntry | Folder]) -> None:
    """Add the codes of `items`, in one statement, to the caller's transaction."""
    rows = [
        {"code_hash": number, "moment": moment, "entry_uuid": uuid}
        for item in items
        for number, moment, uuid in code_rows(item)
    ]
    add(session, CodeIndexRow, rows)


def forget_codes(session: Session, items: Iterable[DocumentEntry | Folder]) -> None:
    """Remove the codes of `items`, which are removed from the registry."""
    for item in items:
        for number, moment, uuid in code_rows(item):
            session.execute(
                delete(CodeIndexRow).where(
                    CodeIndexRow.code_hash == number,
                    CodeIndexRow.moment == moment,
                    CodeIndexRow.entry_uuid == uuid,
                )
            )


def code_rows(item: DocumentEntry | Folder) -> Sequence[tuple[int, str, str]]:
    """Return the index rows of `item`: hash of a code, moment, entryUUID."""
    created = item.creation_time if isinstance(item, DocumentEntry) else ""
    moment = dtm_start(created) if created else ""
    numbers = dict.fromkeys(code_hash(kind, key) for kind, key in _codes(item))
    return [(number, moment, item.entry_uuid) for number in numbers]


def carriers(codes: CodeAlternatives, earliest: str = "", end: str = "") -> Select[str]:
    """Return the statement that selects the entryUUIDs of what carries one of `codes`.

    `earliest` (inclusive) and `end` (exclusive) bound the moment; empty, they do not. What has no
    moment is never excluded.
    """
    numbers = sorted({code_hash(codes.kind, key) for key in codes.keys})
    statement = select(CodeIndexRow.entry_uuid).where(CodeIndexRow.code_hash.in_(numbers))
    if earliest:
        statement = statement.where(or_(CodeIndexRow.moment >= earliest, CodeIndexRow.moment == ""))
    if end:
        statement = statement.where(CodeIndexRow.moment < end)
    return statement


def code_hash(kind: str, key: str) -> int:
    """Return 64 bits that stand for a code in its place."""
    digest = hashlib.blake2b(f"{kind} {key}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def _codes(item: DocumentEntry | Folder) -> Iterator[tuple[str, str]]:
    if isinstance(item, Folder):
        yield from ((FOLDER, code.key) for code in item.codes)
        return
    yield CLASS, item.class_code.key
    yield FACILITY, item.healthcare_facility_type_code.key
    yield from ((EVENT, code.key) for code in item.event_codes)
