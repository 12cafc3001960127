"""Remove what the hub itself registered of a study that is deleted for good.

Its manifests of every generation, in both forms, its versions and its reports go: entries, the
submission sets they were alone in, every association at them, and the documents. Of what was
removed the ids and the hashes stay in `removed_object`. What others have submitted about the study
is theirs.
"""

import json
from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hub_kernel.database import UnitOfWork
from xds_registry import store_reading as reading
from xds_registry.mado.registration import FORMAT_CODE
from xds_registry.model import (
    DEPENDENT,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    RegistryObject,
    XdsAssociation,
)
from xds_registry.removing import KIND_OF, NamedObjects, delete_objects
from xds_registry.report_documents import is_report
from xds_registry.repository_intake import DocumentIntake
from xds_registry.store_reading import End, Wanted
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow, StudyManifestRow
from xds_registry.tables_removed import RemovedObjectRow
from xds_registry.version_documents import is_version

_EVERY_STATUS = frozenset(AvailabilityStatus)
_ANY = Wanted(frozenset(AssociationType), _EVERY_STATUS)
_MEMBERS = Wanted(frozenset({AssociationType.HAS_MEMBER}), _EVERY_STATUS)
_DEPENDENT = Wanted(DEPENDENT, _EVERY_STATUS)


def remove_study(
    work: UnitOfWork, intake: DocumentIntake, study_instance_uid: str, removed_by: str
) -> int:
    """Remove the hub's own documents about a study in the caller's transaction; return how many.

    The bytes are released to `intake`, whose next sweep reclaims what nothing else names.
    """
    session = work.session
    documents = own_documents(session, study_instance_uid)
    named = _with_what_holds_them(session, documents)
    session.execute(
        delete(StudyManifestRow).where(StudyManifestRow.study_instance_uid == study_instance_uid)
    )
    session.add_all(_record(one, removed_by, work) for one in named.all())
    session.flush()
    delete_objects(session, named)
    _release(session, intake, {one.unique_id for one in documents})
    return len(documents)


def own_documents(session: Session, study_instance_uid: str) -> list[DocumentEntry]:
    """Return what the hub itself registered of a study, of every generation and availability."""
    manifests = session.scalars(
        select(StudyManifestRow.entry_uuid).where(
            StudyManifestRow.study_instance_uid == study_instance_uid
        )
    ).all()
    made = reading.associations_at(session, set(manifests), _DEPENDENT, [End.TARGET])
    others = reading.documents_by_uuid(session, {one.source for one in made} - set(manifests))
    own = [one for one in others if _is_own(one)]
    return [*reading.documents_by_uuid(session, set(manifests)), *own]


def _is_own(entry: DocumentEntry) -> bool:
    return is_version(entry) or is_report(entry) or entry.format_code == FORMAT_CODE


def _with_what_holds_them(session: Session, documents: list[DocumentEntry]) -> NamedObjects:
    gone = {one.entry_uuid for one in documents}
    holders = {one.source for one in reading.associations_at(session, gone, _MEMBERS, [End.TARGET])}
    sets = reading.submission_sets_by_uuid(session, holders)
    held = reading.associations_at(
        session, {one.entry_uuid for one in sets}, _MEMBERS, [End.SOURCE]
    )
    ties = _ties(session, gone)
    # A set holds documents, and associations such as those that go with them.
    leaving = gone | set(ties)
    kept = {one.source for one in held if one.target not in leaving}
    alone = [one for one in sets if one.entry_uuid not in kept]
    ties |= _ties(session, {one.entry_uuid for one in alone})
    return NamedObjects(documents, alone, [], list(ties.values()))


def _ties(session: Session, uuids: Iterable[str]) -> dict[str, XdsAssociation]:
    """Return the associations at these objects, and those at such associations."""
    found: dict[str, XdsAssociation] = {}
    asked = set(uuids)
    while asked:
        new = reading.associations_at(session, asked, _ANY)
        asked = {one.entry_uuid for one in new} - set(found)
        found.update((one.entry_uuid, one) for one in new)
    return found


def _record(item: RegistryObject, removed_by: str, work: UnitOfWork) -> RemovedObjectRow:
    """What stays: no name, and nothing of the content but its hash."""
    kept = {"entry_uuid": item.entry_uuid}
    if isinstance(item, DocumentEntry):
        kept |= {"unique_id": item.unique_id, "hash": item.sha1}
    return RemovedObjectRow(
        entry_uuid=item.entry_uuid,
        kind=KIND_OF[type(item)],
        content=json.dumps(kept),
        removed_by=removed_by,
        removed_at=work.clock.now(),
    )


def _release(session: Session, intake: DocumentIntake, unique_ids: set[str]) -> None:
    """Forget the documents that no entry describes any more."""
    described = set(
        session.scalars(
            select(DocumentEntryRow.unique_id).where(DocumentEntryRow.unique_id.in_(unique_ids))
        )
    )
    rows = session.scalars(
        select(RepositoryDocumentRow).where(
            RepositoryDocumentRow.unique_id.in_(unique_ids - described)
        )
    ).all()
    keys = {row.storage_key for row in rows}
    for row in rows:
        session.delete(row)
    session.flush()
    intake.release(session, keys)
