"""What a registered submission does to others: deprecation, and membership of folders.

ITI TF-2 3.42.4.1.3.3: a replaced entry is deprecated with its transformations and addenda, and its
successor joins the folders it was in. A folder's lastUpdateTime is when its members last changed
(ITI TF-3 4.2.3.4.6).
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hub_kernel.identifiers import new_urn_uuid
from xds_registry.model import (
    DEPENDENT,
    REPLACING,
    AssociationType,
    AvailabilityStatus,
    Submission,
    XdsAssociation,
)
from xds_registry.store_rows import add, association_row
from xds_registry.tables import DocumentEntryRow, FolderRow, XdsAssociationRow


def follow_up(session: Session, submission: Submission, moment: str) -> None:
    """Deprecate what `submission` replaces and keep folders right; its rows are flushed already."""
    replacements = [
        (one.source, one.target)
        for one in submission.associations
        if one.association_type in REPLACING
    ]
    if replacements:
        deprecate(session, {old for _, old in replacements})
    joined = _carried_on(session, submission, replacements)
    add(session, XdsAssociationRow, map(association_row, joined))
    own = {folder.entry_uuid for folder in submission.folders}
    sets = {submission.submission_set.entry_uuid}
    changed = {
        one.source
        for one in (*submission.associations, *joined)
        if one.association_type is AssociationType.HAS_MEMBER
    } - sets
    touch_folders(session, changed - own, moment)


def deprecate(session: Session, entry_uuids: Collection[str]) -> None:
    """Deprecate entries with their transformations and addenda, and theirs."""
    wave = set(entry_uuids)
    done: set[str] = set()
    while wave:
        session.execute(
            update(DocumentEntryRow)
            .where(DocumentEntryRow.entry_uuid.in_(wave))
            .values(status=AvailabilityStatus.DEPRECATED)
        )
        done |= wave
        wave = set(_dependents(session, wave)) - done


def touch_folders(session: Session, folder_uuids: Collection[str], moment: str) -> None:
    """Set the time of update of registered folders; it never goes back."""
    if folder_uuids:
        session.execute(
            update(FolderRow)
            .where(FolderRow.entry_uuid.in_(folder_uuids), FolderRow.last_update_time < moment)
            .values(last_update_time=moment)
        )


def _carried_on(
    session: Session, submission: Submission, replacements: Iterable[tuple[str, str]]
) -> list[XdsAssociation]:
    """Return the memberships that successors take over from what they replace.

    Each is itself a member of the submission set, as one that was submitted would be
    (ITI TF-2 3.42.4.1.3.3.3).
    """
    pairs = list(replacements)
    if not pairs:
        return []
    present = {(one.source, one.target) for one in submission.associations}
    joined: list[XdsAssociation] = []
    for folder, old in _memberships(session, {old for _, old in pairs}):
        for successor in (new for new, replaced in pairs if replaced == old):
            if (folder, successor) not in present:
                present.add((folder, successor))
                joined += _memberships_of(submission.submission_set.entry_uuid, folder, successor)
    return joined


def _memberships_of(set_uuid: str, folder: str, entry: str) -> tuple[XdsAssociation, ...]:
    in_folder = XdsAssociation(
        entry_uuid=new_urn_uuid(),
        association_type=AssociationType.HAS_MEMBER,
        source=folder,
        target=entry,
    )
    in_set = XdsAssociation(
        entry_uuid=new_urn_uuid(),
        association_type=AssociationType.HAS_MEMBER,
        source=set_uuid,
        target=in_folder.entry_uuid,
    )
    return in_folder, in_set


def _memberships(session: Session, entries: Collection[str]) -> Sequence[tuple[str, str]]:
    """Return (folder, entry) of the folders in force that hold `entries`."""
    rows = session.execute(
        select(XdsAssociationRow.source, XdsAssociationRow.target)
        .join(FolderRow, FolderRow.entry_uuid == XdsAssociationRow.source)
        .where(
            XdsAssociationRow.target.in_(entries),
            XdsAssociationRow.association_type == AssociationType.HAS_MEMBER,
            XdsAssociationRow.status == AvailabilityStatus.APPROVED,
            FolderRow.status == AvailabilityStatus.APPROVED,
        )
        .order_by(XdsAssociationRow.source)
    )
    return [(folder, entry) for folder, entry in rows]


def _dependents(session: Session, uuids: Collection[str]) -> Sequence[str]:
    return session.scalars(
        select(XdsAssociationRow.source).where(
            XdsAssociationRow.target.in_(uuids),
            XdsAssociationRow.association_type.in_(DEPENDENT),
            XdsAssociationRow.status == AvailabilityStatus.APPROVED,
        )
    ).all()
