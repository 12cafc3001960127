"""Keep and find registry objects inside the caller's transaction (ITI TF-2 3.42.4.1.3).

Nothing here commits: what is registered becomes true with the unit of work it is part of, or not at
all.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import TypeAdapter
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.model import (
    DEPENDENT,
    RELATIONS,
    REPLACING,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Submission,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.tables import (
    DocumentEntryRow,
    DocumentReferenceRow,
    SubmissionSetRow,
    XdsAssociationRow,
)

_ENTRY = TypeAdapter(DocumentEntry)
_SUBMISSION_SET = TypeAdapter(SubmissionSet)
_ASSOCIATION = TypeAdapter(XdsAssociation)

T = TypeVar("T", DocumentEntry, SubmissionSet, XdsAssociation)


def register(session: Session, submission: Submission) -> None:
    """Add everything in `submission`, deprecating what it replaces.

    A replaced entry takes its transformations and addenda with it, and theirs.

    Raises:
        XdsRefusalError: a target is missing, deprecated or another patient's; a uniqueId is taken
            by other content. Nothing of the submission may then be committed.
    """
    _refuse_taken_unique_ids(session, submission)
    own = {entry.entry_uuid: entry for entry in submission.entries}
    replaced = [
        target
        for association in submission.associations
        if (target := _checked_target(session, association, own)) is not None
        and association.association_type in REPLACING
    ]
    _insert(session, submission)
    session.flush()
    if replaced:
        _deprecate(session, replaced)


def documents_of(
    session: Session, linked: Collection[str], statuses: Collection[str] | None = None
) -> list[DocumentEntry]:
    """Return the entries under the identifiers `linked`, of any of `statuses` (None: of all)."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.linked_identifier.in_(linked))
    if statuses is not None:
        query = query.where(DocumentEntryRow.status.in_(statuses))
    return sorted(map(_entry, session.scalars(query)), key=lambda e: (e.creation_time, e.unique_id))


def submission_sets_of(
    session: Session, linked: Collection[str], statuses: Collection[str]
) -> list[SubmissionSet]:
    """Return the submission sets under the identifiers `linked`, of any of `statuses`."""
    query = select(SubmissionSetRow).where(
        SubmissionSetRow.linked_identifier.in_(linked), SubmissionSetRow.status.in_(statuses)
    )
    found = map(_submission_set, session.scalars(query))
    return sorted(found, key=lambda item: (item.submission_time, item.unique_id))


def documents_by_uuid(session: Session, uuids: Collection[str]) -> list[DocumentEntry]:
    """Return the entries with these entryUUIDs, whatever their status."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.entry_uuid.in_(uuids))
    return [_entry(row) for row in session.scalars(query.order_by(DocumentEntryRow.entry_uuid))]


def documents_by_unique_id(session: Session, unique_ids: Collection[str]) -> list[DocumentEntry]:
    """Return the entries with these uniqueIds, whatever their status."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.unique_id.in_(unique_ids))
    return [_entry(row) for row in session.scalars(query.order_by(DocumentEntryRow.entry_uuid))]


def submission_sets_by_uuid(session: Session, uuids: Collection[str]) -> list[SubmissionSet]:
    """Return the submission sets with these entryUUIDs."""
    query = select(SubmissionSetRow).where(SubmissionSetRow.entry_uuid.in_(uuids))
    return [_submission_set(row) for row in session.scalars(query)]


def submission_sets_by_unique_id(
    session: Session, unique_ids: Collection[str]
) -> list[SubmissionSet]:
    """Return the submission sets with these uniqueIds."""
    query = select(SubmissionSetRow).where(SubmissionSetRow.unique_id.in_(unique_ids))
    return [_submission_set(row) for row in session.scalars(query)]


def associations_of(
    session: Session, uuids: Collection[str], types: Collection[AssociationType]
) -> list[XdsAssociation]:
    """Return the associations of `types` that have one of `uuids` at either end."""
    query = (
        select(XdsAssociationRow)
        .where(or_(XdsAssociationRow.source.in_(uuids), XdsAssociationRow.target.in_(uuids)))
        .where(XdsAssociationRow.association_type.in_(types))
        .order_by(XdsAssociationRow.entry_uuid)
    )
    return [_association(row) for row in session.scalars(query)]


def related(session: Session, uuids: Collection[str]) -> list[XdsAssociation]:
    """Return the relations (not memberships) that have one of `uuids` at either end."""
    return associations_of(session, uuids, RELATIONS)


def _refuse_taken_unique_ids(session: Session, submission: Submission) -> None:
    unique_id = submission.submission_set.unique_id
    if submission_sets_by_unique_id(session, [unique_id]):
        raise XdsRefusalError(ErrorCode.DUPLICATE_UNIQUE_ID, unique_id)
    known = documents_by_unique_id(session, [entry.unique_id for entry in submission.entries])
    for entry in submission.entries:
        for other in known:
            if other.unique_id != entry.unique_id:
                continue
            if other.sha1 != entry.sha1:
                raise XdsRefusalError(ErrorCode.NON_IDENTICAL_HASH, entry.unique_id)
            if other.size != entry.size:
                raise XdsRefusalError(ErrorCode.NON_IDENTICAL_SIZE, entry.unique_id)


def _checked_target(
    session: Session, association: XdsAssociation, own: dict[str, DocumentEntry]
) -> DocumentEntry | None:
    """Return the registered target of a relation, locked; None for a membership."""
    if association.association_type not in RELATIONS or association.target in own:
        return None
    row = session.scalar(
        select(DocumentEntryRow)
        .where(DocumentEntryRow.entry_uuid == association.target)
        .with_for_update()
    )
    if row is None:
        raise XdsRefusalError(ErrorCode.UNRESOLVED_REFERENCE, association.target)
    if row.status != AvailabilityStatus.APPROVED:
        raise XdsRefusalError(ErrorCode.DEPRECATED_DOCUMENT, association.target)
    target = _entry(row)
    source = own.get(association.source)
    if source is not None and source.patient_id != target.patient_id:
        _refuse_another_patient(source, target)
    return target


def _refuse_another_patient(source: DocumentEntry, target: DocumentEntry) -> None:
    """Two names for one person are no conflict: the linked identifier may still be the same."""
    if source.linked_identifier != target.linked_identifier:
        raise XdsRefusalError(ErrorCode.PATIENT_ID_DOES_NOT_MATCH, target.entry_uuid)


def _insert(session: Session, submission: Submission) -> None:
    session.add(_submission_set_row(submission.submission_set))
    session.add_all(_entry_row(entry) for entry in submission.entries)
    session.flush()  # rows that refer to entries follow them
    session.add_all(
        DocumentReferenceRow(entry_uuid=entry.entry_uuid, cxi=cxi)
        for entry in submission.entries
        for cxi in {reference.cxi for reference in entry.reference_ids}
    )
    session.add_all(_association_row(association) for association in submission.associations)


def _deprecate(session: Session, targets: Sequence[DocumentEntry]) -> None:
    wave = {target.entry_uuid for target in targets}
    done: set[str] = set()
    while wave:
        session.execute(
            update(DocumentEntryRow)
            .where(DocumentEntryRow.entry_uuid.in_(wave))
            .values(status=AvailabilityStatus.DEPRECATED)
        )
        done |= wave
        wave = set(_dependents(session, wave)) - done


def _dependents(session: Session, uuids: Iterable[str]) -> Sequence[str]:
    return session.scalars(
        select(XdsAssociationRow.source).where(
            XdsAssociationRow.target.in_(list(uuids)),
            XdsAssociationRow.association_type.in_(DEPENDENT),
            XdsAssociationRow.status == AvailabilityStatus.APPROVED,
        )
    ).all()


def _entry_row(entry: DocumentEntry) -> DocumentEntryRow:
    return DocumentEntryRow(
        entry_uuid=entry.entry_uuid,
        unique_id=entry.unique_id,
        linked_identifier=entry.linked_identifier,
        status=entry.status,
        document_type=entry.document_type,
        content=_ENTRY.dump_json(entry).decode(),
    )


def _submission_set_row(item: SubmissionSet) -> SubmissionSetRow:
    return SubmissionSetRow(
        entry_uuid=item.entry_uuid,
        unique_id=item.unique_id,
        linked_identifier=item.linked_identifier,
        status=item.status,
        content=_SUBMISSION_SET.dump_json(item).decode(),
    )


def _association_row(item: XdsAssociation) -> XdsAssociationRow:
    return XdsAssociationRow(
        entry_uuid=item.entry_uuid,
        association_type=item.association_type,
        source=item.source,
        target=item.target,
        status=item.status,
        content=_ASSOCIATION.dump_json(item).decode(),
    )


def _entry(row: DocumentEntryRow) -> DocumentEntry:
    return _with_status(_ENTRY.validate_json(row.content), row.status)


def _submission_set(row: SubmissionSetRow) -> SubmissionSet:
    return _with_status(_SUBMISSION_SET.validate_json(row.content), row.status)


def _association(row: XdsAssociationRow) -> XdsAssociation:
    return _with_status(_ASSOCIATION.validate_json(row.content), row.status)


def _with_status(item: T, status: str) -> T:
    return item if item.status == status else replace(item, status=AvailabilityStatus(status))
