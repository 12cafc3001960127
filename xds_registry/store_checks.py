"""What the registry already holds and a submission must not contradict (ITI TF-2 3.42.4.1.3).

Asked inside the transaction that will register it: rows that are related to are locked, so that of
two who replace one document the second sees what the first has done.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from sqlalchemy import BindParameter, Table, bindparam, literal_column, select, union_all
from sqlalchemy.orm import Session

from xds_registry.ebrim_names import place_of
from xds_registry.errors import ErrorCode, ErrorText, MetadataRefusalError, XdsRefusalsError
from xds_registry.model import (
    REPLACING,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    Submission,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_content import entry_of, folder_of
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow
from xds_registry.validation_structure import described, objects_of
from xds_registry.validation_syntax import is_uuid

TAKEN_ID = ErrorText(
    "an object with this entryUUID is registered already", "该 entryUUID 已登记其他对象"
)
SAME_KIND = ErrorText(
    "an on-demand entry replaces an on-demand entry, a stable one a stable one",
    "按需文档只能替换按需文档，稳定文档只能替换稳定文档",
)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_ALL: BindParameter[str] = bindparam("every", expanding=True)
_OWN: BindParameter[str] = bindparam("own", expanding=True)
_ID, _UNIQUE_ID = 0, 1
# Made once, and without the mapper: building a statement costs more than running it.
_ENTRIES, _SETS, _FOLDERS, _ASSOCIATIONS = (
    cast("Table", row.__table__).c
    for row in (DocumentEntryRow, SubmissionSetRow, FolderRow, XdsAssociationRow)
)
_TAKEN = union_all(
    *(
        select(literal_column(str(_ID)), columns.entry_uuid).where(columns.entry_uuid.in_(_IDS))
        for columns in (_ENTRIES, _SETS, _FOLDERS, _ASSOCIATIONS)
    ),
    *(
        select(literal_column(str(_UNIQUE_ID)), columns.unique_id).where(
            columns.unique_id.in_(wanted)
        )
        for columns, wanted in ((_SETS, _ALL), (_FOLDERS, _ALL), (_ENTRIES, _OWN))
    ),
)
_REGISTERED_AS = select(_ENTRIES.content, _ENTRIES.status, _ENTRIES.occurrence).where(
    _ENTRIES.unique_id.in_(_ALL)
)

Row = TypeVar("Row", DocumentEntryRow, FolderRow)


class Judge(Protocol):
    """Who knows whose documents are whose, and who may see them."""

    def same_person(self, item: DocumentEntry | Folder, submission_set: SubmissionSet) -> bool:
        """Tell whether a registered object is of the person of the submission."""
        ...

    def sees(self, item: DocumentEntry | Folder) -> bool:
        """Tell whether the submitter may know that the object is registered."""
        ...


class ByIdentifier:
    """Judges without a patient index: two names for one person may still be linked by one."""

    def same_person(self, item: DocumentEntry | Folder, submission_set: SubmissionSet) -> bool:
        """Tell whether patientId or linked identifier agree."""
        return (
            item.patient_id == submission_set.patient_id
            or item.linked_identifier == submission_set.linked_identifier
        )

    def sees(self, item: DocumentEntry | Folder) -> bool:  # noqa: ARG002 (part of the protocol)
        """Everything is seen."""
        return True


@dataclass(frozen=True)
class _Ends:
    """The registered objects that associations of a submission refer to."""

    entries: Mapping[str, DocumentEntry]
    folders: Mapping[str, Folder]
    sets: frozenset[str]


@dataclass(frozen=True)
class Checked:
    """What contradicts what is registered, and the last number given to each uniqueId sent."""

    refusals: list[MetadataRefusalError]
    occurrences: Mapping[str, int]


def against_registered(session: Session, submission: Submission, judge: Judge) -> Checked:
    """Hold `submission` against what is registered."""
    ends = _ends(session, submission, judge)
    known = _registered_as(session, submission.entries)
    own = {item.entry_uuid for item in objects_of(submission)}
    taken_ids, taken_unique_ids = _taken(session, submission, own)
    refusals = [
        *_duplicates(submission, taken_unique_ids),
        *_other_content(submission.entries, [one for one, _ in known]),
        *(
            refusal
            for association in submission.associations
            for refusal in _wrong_ends(association, submission, own, _Known(ends, judge))
        ),
        *_registered_ids(taken_ids),
    ]
    return Checked(refusals, _last_numbers(known))


@dataclass(frozen=True)
class _Known:
    ends: _Ends
    judge: Judge


def _taken(
    session: Session, submission: Submission, own: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return which entryUUIDs of the submission are registered, and which uniqueIds are taken.

    A submission set or a folder has the uniqueId, or would take it from a document.
    """
    packages: Sequence[SubmissionSet | Folder] = (submission.submission_set, *submission.folders)
    wanted = {
        "ids": [one for one in own if is_uuid(one)],
        "every": [item.unique_id for item in described(submission)],
        "own": [item.unique_id for item in packages],
    }
    ids: set[str] = set()
    unique_ids: set[str] = set()
    for kind, value in session.connection().execute(_TAKEN, wanted):
        (ids if kind == _ID else unique_ids).add(value)
    return sorted(ids), sorted(unique_ids)


def _registered_ids(taken: Iterable[str]) -> Iterator[MetadataRefusalError]:
    for one in taken:
        refusal = MetadataRefusalError(
            ErrorCode.REGISTRY_METADATA, f"//*[@id='{one}']", came=one, rule=TAKEN_ID
        )
        yield refusal.about(one, "entry_uuid")


def _duplicates(submission: Submission, taken: Iterable[str]) -> Iterator[MetadataRefusalError]:
    by_id: dict[str, DocumentEntry | SubmissionSet | Folder] = {
        item.unique_id: item for item in described(submission)
    }
    for unique_id in taken:
        item = by_id[unique_id]
        place = place_of(type(item), item.entry_uuid, "unique_id")
        refusal = MetadataRefusalError(ErrorCode.DUPLICATE_UNIQUE_ID, place, came=unique_id)
        yield refusal.about(item.entry_uuid, "unique_id")


def last_occurrences(session: Session, entries: Sequence[DocumentEntry]) -> dict[str, int]:
    """Return the last number given to each uniqueId of `entries` that is registered.

    A former version of the same object may say something else: an update may correct it.

    The numbers and the contents compared are of one statement, and so of one moment: who takes a
    uniqueId after it takes the same number, and the database lets only one have it.

    Raises:
        XdsRefusalsError: one of them is registered with another hash or size.
    """
    known = _registered_as(session, entries)
    own = {entry.logical_id or entry.entry_uuid for entry in entries}
    others = [entry for entry, _ in known if (entry.logical_id or entry.entry_uuid) not in own]
    refusals = list(_other_content(entries, others))
    if refusals:
        raise XdsRefusalsError(refusals)
    return _last_numbers(known)


def _last_numbers(known: Iterable[tuple[DocumentEntry, int]]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for entry, number in known:
        numbers[entry.unique_id] = max(number, numbers.get(entry.unique_id, 0))
    return numbers


def _registered_as(
    session: Session, entries: Sequence[DocumentEntry]
) -> list[tuple[DocumentEntry, int]]:
    wanted = {"every": list({entry.unique_id for entry in entries})}
    rows = session.connection().execute(_REGISTERED_AS, wanted)
    return [(entry_of(row), row.occurrence) for row in rows]


def _other_content(
    entries: Iterable[DocumentEntry], registered: Iterable[DocumentEntry]
) -> Iterator[MetadataRefusalError]:
    """Yield uniqueIds of documents that are registered with another hash or size."""
    by_id = {entry.unique_id: entry for entry in entries}
    for known in registered:
        entry = by_id[known.unique_id]
        if known.sha1.lower() != entry.sha1.lower():
            attribute, code, came = "sha1", ErrorCode.NON_IDENTICAL_HASH, entry.sha1
        elif known.size != entry.size:
            attribute, code, came = "size", ErrorCode.NON_IDENTICAL_SIZE, str(entry.size)
        else:
            continue
        place = place_of(DocumentEntry, entry.entry_uuid, attribute)
        refusal = MetadataRefusalError(code, place, came=f"{entry.unique_id} {came}")
        yield refusal.about(entry.entry_uuid, attribute)


def _ends(session: Session, submission: Submission, judge: Judge) -> _Ends:
    ends = {
        end for one in submission.associations for end in (one.source, one.target) if is_uuid(end)
    }
    ends -= {item.entry_uuid for item in objects_of(submission)}
    if not ends:
        return _Ends({}, {}, frozenset())
    entries = map(entry_of, _locked(session, DocumentEntryRow, ends))
    folders = map(folder_of, _locked(session, FolderRow, ends))
    sets = session.scalars(
        select(SubmissionSetRow.entry_uuid).where(SubmissionSetRow.entry_uuid.in_(ends))
    )
    return _Ends(
        {one.entry_uuid: one for one in entries if judge.sees(one)},
        {one.entry_uuid: one for one in folders if judge.sees(one)},
        frozenset(sets),
    )


def _locked(session: Session, kind: type[Row], ids: Collection[str]) -> list[Row]:
    statement = (
        select(kind)
        .where(kind.entry_uuid.in_(ids))
        .order_by(kind.entry_uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(statement))


def _wrong_ends(
    association: XdsAssociation, submission: Submission, own: Collection[str], known: _Known
) -> Iterator[MetadataRefusalError]:
    is_member = association.association_type is AssociationType.HAS_MEMBER
    if association.source not in own and is_uuid(association.source):
        yield from _wrong_end("source", association, submission, known)
    if association.target not in own and is_uuid(association.target):
        by_reference = is_member and association.source == submission.submission_set.entry_uuid
        if by_reference and association.target in known.ends.entries:
            return  # a set may hold documents of any state, and of other people (TF-3 4.2.1.4)
        yield from _wrong_end("target", association, submission, known)


def _wrong_end(
    attribute: str, association: XdsAssociation, submission: Submission, known: _Known
) -> Iterator[MetadataRefusalError]:
    """Yield what is wrong with a registered end: not there, deprecated, or another person's."""
    end: str = getattr(association, attribute)
    kind = association.association_type
    found: DocumentEntry | Folder | None
    if attribute == "source":
        is_member = kind is AssociationType.HAS_MEMBER
        found = known.ends.folders.get(end) if is_member else known.ends.entries.get(end)
    else:
        found = known.ends.entries.get(end)
    if found is None:
        if not (kind is AssociationType.SIGNS and end in known.ends.sets):
            yield _refusal(ErrorCode.UNRESOLVED_REFERENCE, association, attribute)
    elif found.status != AvailabilityStatus.APPROVED:
        yield _refusal(ErrorCode.DEPRECATED_DOCUMENT, association, attribute)
    elif not known.judge.same_person(found, submission.submission_set):
        yield _refusal(ErrorCode.PATIENT_ID_DOES_NOT_MATCH, association, attribute)
    elif kind in REPLACING and isinstance(found, DocumentEntry):
        yield from _other_kind(association, submission, found)


def _other_kind(
    association: XdsAssociation, submission: Submission, replaced: DocumentEntry
) -> Iterator[MetadataRefusalError]:
    for entry in submission.entries:
        is_source = entry.entry_uuid == association.source
        if is_source and entry.document_type is not replaced.document_type:
            yield _refusal(ErrorCode.REGISTRY_METADATA, association, "target", SAME_KIND)


def _refusal(
    code: ErrorCode,
    association: XdsAssociation,
    attribute: str,
    rule: ErrorText | None = None,
) -> MetadataRefusalError:
    place = place_of(XdsAssociation, association.entry_uuid, attribute)
    came: str = getattr(association, attribute)
    refusal = MetadataRefusalError(code, place, came=came, rule=rule)
    return refusal.about(association.entry_uuid, attribute)
