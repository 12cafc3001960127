"""Keep and find registry objects inside the caller's transaction (ITI TF-2 3.42.4.1.3).

Nothing here commits: what is registered becomes true with the unit of work it is part of, or not at
all.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from xds_registry.errors import ErrorCode, XdsRefusalError, XdsRefusalsError
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    DocumentEntry,
    Submission,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_checks import ByIdentifier, against_registered, last_occurrences
from xds_registry.store_codes import index_codes
from xds_registry.store_content import association_of, entry_of, submission_set_of
from xds_registry.store_replacing import follow_up
from xds_registry.store_rows import (
    add,
    association_row,
    entry_row,
    folder_row,
    submission_set_row,
)
from xds_registry.tables import (
    DocumentEntryRow,
    DocumentReferenceRow,
    FolderRow,
    SubmissionSetRow,
    XdsAssociationRow,
)


def register(session: Session, submission: Submission, *, moment: str = "") -> None:
    """Add everything in `submission`, deprecating what it replaces.

    A replaced entry takes its transformations and addenda with it, and theirs; the new one takes
    its place in folders. `moment` is the DTM that those folders were changed at; without one, the
    submission's own time.

    Raises:
        XdsRefusalsError: all of it that contradicts what is registered: a target is missing,
            deprecated or another patient's, a uniqueId is taken by other content. Nothing of the
            submission may then be committed.
    """
    checked = against_registered(session, submission, ByIdentifier())
    if checked.refusals:
        raise XdsRefusalsError(checked.refusals)
    insert(session, submission, moment=moment, occurrences=checked.occurrences)


def insert(
    session: Session,
    submission: Submission,
    *,
    moment: str = "",
    occurrences: Mapping[str, int] | None = None,
) -> None:
    """Add what has been checked in this same transaction; see `register`.

    `occurrences` are those found by the check; without them they are asked for. Who took a uniqueId
    since then took the same number, and the database lets only one have it.

    Raises:
        XdsRefusalError: an identifier was taken by another in this moment; XDSRegistryBusy where
            only sending it again can tell whether it may be registered.
    """
    try:
        session.flush()  # what the caller has added is refused here too
        add(session, SubmissionSetRow, [submission_set_row(submission.submission_set)])
        add(session, FolderRow, map(folder_row, submission.folders))
        if occurrences is None:
            occurrences = last_occurrences(session, submission.entries)
        _add_entries(session, submission.entries, occurrences)
        add(session, XdsAssociationRow, map(association_row, submission.associations))
        index_codes(session, (*submission.entries, *submission.folders))
    except IntegrityError as error:
        raise XdsRefusalError(ErrorCode.REGISTRY_BUSY) from error
    follow_up(session, submission, moment or submission.submission_set.submission_time)


def insert_entries(session: Session, entries: Sequence[DocumentEntry]) -> None:
    """Add entries with the identifiers they refer to; rows that refer to entries follow them.

    Raises:
        XdsRefusalsError: a uniqueId is registered with another hash or size.
    """
    _add_entries(session, entries, last_occurrences(session, entries))


def _add_entries(
    session: Session, entries: Sequence[DocumentEntry], occurrences: Mapping[str, int]
) -> None:
    taken, rows = dict(occurrences), []
    for entry in entries:
        taken[entry.unique_id] = taken.get(entry.unique_id, -1) + 1
        rows.append(entry_row(entry, taken[entry.unique_id]))
    add(session, DocumentEntryRow, rows)
    references = (
        {"entry_uuid": entry.entry_uuid, "cxi": cxi}
        for entry in entries
        for cxi in {reference.cxi for reference in entry.reference_ids}
    )
    add(session, DocumentReferenceRow, references)


def documents_of(
    session: Session, linked: Collection[str], statuses: Collection[str] | None = None
) -> list[DocumentEntry]:
    """Return the entries under the identifiers `linked`, of any of `statuses` (None: of all)."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.linked_identifier.in_(linked))
    if statuses is not None:
        query = query.where(DocumentEntryRow.status.in_(statuses))
    return sorted(
        map(entry_of, session.scalars(query)), key=lambda e: (e.creation_time, e.unique_id)
    )


def submission_sets_of(
    session: Session, linked: Collection[str], statuses: Collection[str]
) -> list[SubmissionSet]:
    """Return the submission sets under the identifiers `linked`, of any of `statuses`."""
    query = select(SubmissionSetRow).where(
        SubmissionSetRow.linked_identifier.in_(linked), SubmissionSetRow.status.in_(statuses)
    )
    found = map(submission_set_of, session.scalars(query))
    return sorted(found, key=lambda item: (item.submission_time, item.unique_id))


def documents_by_uuid(session: Session, uuids: Collection[str]) -> list[DocumentEntry]:
    """Return the entries with these entryUUIDs, whatever their status."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.entry_uuid.in_(uuids))
    return [entry_of(row) for row in session.scalars(query.order_by(DocumentEntryRow.entry_uuid))]


def documents_by_unique_id(session: Session, unique_ids: Collection[str]) -> list[DocumentEntry]:
    """Return the entries with these uniqueIds, whatever their status."""
    query = select(DocumentEntryRow).where(DocumentEntryRow.unique_id.in_(unique_ids))
    return [entry_of(row) for row in session.scalars(query.order_by(DocumentEntryRow.entry_uuid))]


def submission_sets_by_uuid(session: Session, uuids: Collection[str]) -> list[SubmissionSet]:
    """Return the submission sets with these entryUUIDs."""
    query = select(SubmissionSetRow).where(SubmissionSetRow.entry_uuid.in_(uuids))
    return [submission_set_of(row) for row in session.scalars(query)]


def submission_sets_by_unique_id(
    session: Session, unique_ids: Collection[str]
) -> list[SubmissionSet]:
    """Return the submission sets with these uniqueIds."""
    query = select(SubmissionSetRow).where(SubmissionSetRow.unique_id.in_(unique_ids))
    return [submission_set_of(row) for row in session.scalars(query)]


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
    return [association_of(row) for row in session.scalars(query)]


def related(session: Session, uuids: Collection[str]) -> list[XdsAssociation]:
    """Return the relations (not memberships) that have one of `uuids` at either end."""
    return associations_of(session, uuids, RELATIONS)
