"""Remove metadata from the registry; leave nothing loose and a record of all (RMD, 3.62).

What is removed is gone from every answer; as it was, it is kept in an append-only table.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import delete
from sqlalchemy.orm import Session

from access_control.model import Subject
from hub_kernel.clock import Clock
from xds_registry import store_reading as reading
from xds_registry.errors import ErrorCode, ErrorText, XdsRefusalError, XdsRefusalsError
from xds_registry.gate import HELD, Gate, ItemHeld
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.store_codes import forget_codes
from xds_registry.store_reading import Wanted
from xds_registry.tables import (
    DocumentEntryRow,
    DocumentReferenceRow,
    FolderRow,
    SubmissionSetRow,
    XdsAssociationRow,
)
from xds_registry.tables_imaging import ListedStudyRow
from xds_registry.tables_removed import RemovedObjectRow
from xds_registry.update_checks import OWN_MANIFEST

MOST_OBJECTS = 1_000
LATER_VERSION = ErrorText(
    "former versions of this object remain; remove them too, or the last would come back",
    "该对象仍有旧版本；须一并删除，否则旧版本会重新生效",
)
_ANY = Wanted(frozenset(AssociationType), frozenset(AvailabilityStatus))
_MEMBERS = Wanted(frozenset({AssociationType.HAS_MEMBER}), frozenset(AvailabilityStatus))
_JSON = TypeAdapter(RegistryObject)
KIND_OF: dict[type[RegistryObject], str] = {
    DocumentEntry: "document_entry",
    SubmissionSet: "submission_set",
    Folder: "folder",
    XdsAssociation: "association",
}


@dataclass(frozen=True)
class NamedObjects:
    """The registered objects that are to be removed."""

    documents: Sequence[DocumentEntry]
    sets: Sequence[SubmissionSet]
    folders: Sequence[Folder]
    ties: Sequence[XdsAssociation]

    def all(self) -> list[RegistryObject]:
        """Return all of them."""
        return [*self.documents, *self.sets, *self.folders, *self.ties]


class Remover:
    """Removes what one request names; `is_derived` knows what the hub itself wrote.

    What `is_held` names stays, whoever asks.
    """

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        is_derived: Callable[[Session, str], bool],
        is_held: ItemHeld,
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._is_derived = is_derived
        self._is_held = is_held

    def remove(
        self, session: Session, uuids: Collection[str], subject: Subject
    ) -> list[RegistryObject]:
        """Remove the objects with these ids; return them as they were.

        Raises:
            XdsRefusalsError: one is not registered, is held, is still referred to, or would leave
                others loose; nothing of it may then be committed.
        """
        named = self._named(session, uuids)
        gone = {item.entry_uuid for item in named.all()}
        refusals = [
            *(XdsRefusalError(ErrorCode.UNRESOLVED_REFERENCE, came=one)
              for one in sorted(set(uuids) - gone)),
            *self._own_manifests(session, named.documents),
            *self._held(session, named),
            *_still_referred_to(session, named, gone),
            *_left_loose(session, named, gone),
            *_resurrecting(session, named, gone),
        ]  # fmt: skip
        if refusals:
            raise XdsRefusalsError(refusals)
        self._record(session, named.all(), subject)
        delete_objects(session, named)
        return named.all()

    def _named(self, session: Session, uuids: Collection[str]) -> NamedObjects:
        sees = self._gate.sees
        ties = [
            one
            for one in reading.associations_by_uuid(session, uuids)
            if all(map(sees, _ends(session, [one])))
        ]
        return NamedObjects(
            [one for one in reading.documents_by_uuid(session, uuids) if sees(one)],
            [one for one in reading.submission_sets_by_uuid(session, uuids) if sees(one)],
            [one for one in reading.folders_by_uuid(session, uuids) if sees(one)],
            ties,
        )

    def _own_manifests(
        self, session: Session, documents: Iterable[DocumentEntry]
    ) -> Iterator[XdsRefusalError]:
        for one in documents:
            if self._is_derived(session, one.unique_id):
                code = ErrorCode.LOCAL_POLICY
                yield XdsRefusalError(code, came=one.entry_uuid, rule=OWN_MANIFEST)

    def _held(self, session: Session, named: NamedObjects) -> Iterator[XdsRefusalError]:
        items: list[DocumentEntry | SubmissionSet | Folder]
        items = [*named.documents, *named.sets, *named.folders]
        for one in items:
            if self._is_held(session, one):
                yield XdsRefusalError(ErrorCode.LOCAL_POLICY, came=one.entry_uuid, rule=HELD)

    def _record(self, session: Session, items: Iterable[RegistryObject], subject: Subject) -> None:
        now = self._clock.now()
        session.add_all(
            RemovedObjectRow(
                entry_uuid=item.entry_uuid,
                kind=KIND_OF[type(item)],
                content=_JSON.dump_json(item).decode(),
                removed_by=subject.subject_id,
                removed_at=now,
            )
            for item in items
        )


def _still_referred_to(
    session: Session, named: NamedObjects, gone: Collection[str]
) -> Iterator[XdsRefusalError]:
    """Every association at what is removed goes with it."""
    for one in reading.associations_at(session, gone, _ANY):
        if one.entry_uuid not in gone:
            ends = sorted({one.source, one.target} & set(gone))
            yield XdsRefusalError(ErrorCode.REFERENCES_EXIST, one.entry_uuid, came=" ".join(ends))


def _left_loose(
    session: Session, named: NamedObjects, gone: Collection[str]
) -> Iterator[XdsRefusalError]:
    """Every document and folder that stays is in a submission set, and none of those is empty."""
    ends = {end for one in named.ties for end in (one.source, one.target)} - set(gone)
    held = reading.associations_at(session, ends, _MEMBERS)
    kept = [one for one in held if one.entry_uuid not in gone]
    sets = {one.entry_uuid for one in reading.submission_sets_by_uuid(
        session, {*ends, *(one.source for one in kept)})}  # fmt: skip
    in_sets = {one.target for one in kept if one.source in sets}
    owned: list[DocumentEntry | Folder] = [
        *reading.documents_by_uuid(session, ends),
        *reading.folders_by_uuid(session, ends),
    ]
    loose = {one.entry_uuid for one in owned} - in_sets
    loose |= (ends & sets) - {one.source for one in kept}
    for one in sorted(loose):
        yield XdsRefusalError(ErrorCode.UNREFERENCED, one)


def _resurrecting(
    session: Session, named: NamedObjects, gone: Collection[str]
) -> Iterator[XdsRefusalError]:
    """A last version does not leave its former ones behind: they would be taken for the last."""
    documents = {reading.logical_id(one): one.version for one in named.documents}
    folders = {reading.logical_id(one): one.version for one in named.folders}
    others: list[DocumentEntry | Folder] = [
        *reading.documents(session, DocumentEntryRow.logical_id.in_(documents)),
        *reading.folders(session, FolderRow.logical_id.in_(folders)),
    ]
    removed = {**documents, **folders}
    for one in others:
        if one.entry_uuid not in gone and one.version < removed[reading.logical_id(one)]:
            code = ErrorCode.REFERENCES_EXIST
            yield XdsRefusalError(code, one.entry_uuid, rule=LATER_VERSION)


def _ends(
    session: Session, ties: Iterable[XdsAssociation]
) -> list[DocumentEntry | SubmissionSet | Folder]:
    """Return what owns associations: their ends, and the ends of associations they lead to."""
    ends = {end for one in ties for end in (one.source, one.target)}
    inner = reading.associations_by_uuid(session, ends)
    ends |= {end for one in inner for end in (one.source, one.target)}
    return [
        *reading.documents_by_uuid(session, ends),
        *reading.submission_sets_by_uuid(session, ends),
        *reading.folders_by_uuid(session, ends),
    ]


def delete_objects(session: Session, named: NamedObjects) -> None:
    """Remove the rows of these objects; nothing may refer to them any more."""
    forget_codes(session, (*named.documents, *named.folders))
    uuids = [one.entry_uuid for one in named.documents]
    session.execute(delete(DocumentReferenceRow).where(DocumentReferenceRow.entry_uuid.in_(uuids)))
    session.execute(delete(ListedStudyRow).where(ListedStudyRow.entry_uuid.in_(uuids)))
    for row, items in (
        (XdsAssociationRow, named.ties),
        (DocumentEntryRow, named.documents),
        (FolderRow, named.folders),
        (SubmissionSetRow, named.sets),
    ):
        ids = [one.entry_uuid for one in items]
        session.execute(delete(row).where(row.entry_uuid.in_(ids)))
