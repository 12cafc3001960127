"""What a metadata update may not do, seen from what is registered (ITI TF-2 3.57.4.1.3, RMU 3.92).

What the asker may not see is answered like what is not there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from xds_registry import store_reading as reading
from xds_registry.codes import CodeLists
from xds_registry.ebrim_names import place_of
from xds_registry.errors import ErrorCode, ErrorText, MetadataRefusalError, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.tables import RepositoryDocumentRow, SubmissionSetRow
from xds_registry.update_operations import (
    NO_OPERATION,
    NewVersion,
    Operations,
    StatusChange,
    wrong_operation,
)
from xds_registry.update_plan import Plan
from xds_registry.validation import value_refusals
from xds_registry.validation_structure import described

Owned = DocumentEntry | SubmissionSet | Folder
"""What belongs to a patient."""

SAME_TYPE = ErrorText("an update keeps the objectType", "更新不得改变对象类型")
IN_FORCE = ErrorText(
    "only what is in force is updated; approve it first", "只能更新有效的对象；请先恢复其有效状态"
)
LATEST = ErrorText("only the latest version changes its state", "只能更改最新版本的状态")
OTHER_STATE = ErrorText(
    "the object is not in the state that OriginalStatus says", "对象当前状态与 OriginalStatus 不符"
)
NO_STATE = ErrorText(
    "a submission set, and what is in one, has no state to change",
    "提交集及其成员关系的状态不可更改",
)
ONE_PERSON = ErrorText(
    "the submission set and what it updates belong to one patient",
    "提交集与其更新的对象必须属于同一患者",
)
KNOWN_TIE = ErrorText("this membership is registered already", "该成员关系已登记")
TIE_ENDS = ErrorText(
    "an association is submitted between objects that are registered and in force",
    "只能在已登记且有效的对象之间提交关联",
)
MEMBER_ENDS = ErrorText("a folder has documents as members", "文件夹的成员只能是文档条目")
OWN_BYTES = ErrorText(
    "hash and size are those of the document that the hub holds",
    "哈希与大小必须与平台所存文档一致",
)
OWN_MANIFEST = ErrorText(
    "the hub writes this entry itself and keeps it in step with the archive",
    "该条目由平台自动生成并与影像归档保持同步，不能从外部修改或删除",
)
_UNMODIFIABLE = (
    "repository_unique_id",
    "document_type",
    "source_patient_id",
    "document_availability",
)


class UpdateChecks:
    """Judges the updates of one request."""

    def __init__(
        self, people: LinkedPeople, gate: Gate, is_derived: Callable[[Session, str], bool]
    ) -> None:
        self._people = people
        self._gate = gate
        self._is_derived = is_derived

    def of_message(self, submission: Submission, lists: CodeLists) -> Iterator[XdsRefusalError]:
        """Yield values that break the rules of metadata, and patients that nobody knows."""
        yield from value_refusals(submission, lists)
        for patient_id in dict.fromkeys(item.patient_id for item in described(submission)):
            person = self._people.global_id_of(patient_id) if patient_id else None
            if patient_id and (person is None or not self._gate.sees_person(person)):
                yield XdsRefusalError(ErrorCode.UNKNOWN_PATIENT_ID, came=patient_id)

    def of_set(self, session: Session, own: SubmissionSet) -> Iterator[XdsRefusalError]:
        """Yield when the submission set is registered already."""
        taken = select(SubmissionSetRow.unique_id).where(
            SubmissionSetRow.unique_id == own.unique_id
        )
        if session.scalar(taken) is not None:
            yield _wrong(own, "unique_id", ErrorCode.DUPLICATE_UNIQUE_ID)

    def of_version(
        self,
        session: Session,
        version: NewVersion,
        before: DocumentEntry | Folder | None,
        *,
        restricted: bool,
    ) -> Iterator[XdsRefusalError]:
        """Yield why `version` cannot follow `before`, its latest registered version."""
        item = version.item
        if before is None or not self._gate.sees(before):
            yield _wrong(item, "logical_id", ErrorCode.METADATA_VERSION)
            return
        if before.version != version.previous:
            yield _wrong(item, "logical_id", ErrorCode.METADATA_VERSION)
        if before.unique_id != item.unique_id:
            yield _wrong(item, "unique_id", ErrorCode.METADATA_IDENTIFIER)
        if not restricted and before.status != AvailabilityStatus.APPROVED:
            yield _wrong(item, "", ErrorCode.METADATA_UPDATE, IN_FORCE)
        if isinstance(item, DocumentEntry) and isinstance(before, DocumentEntry):
            yield from self._of_document(session, item, before, restricted=restricted)

    def of_restriction(self, operations: Operations) -> Iterator[XdsRefusalError]:
        """Yield what ITI-92 does not carry: it updates document entries and nothing else."""
        code = ErrorCode.METADATA_UPDATE_OPERATION
        for version in operations.versions:
            if isinstance(version.item, Folder):
                yield wrong_operation(version.item, "", NO_OPERATION)
        for change in operations.changes:
            yield XdsRefusalError(code, change.trigger, rule=NO_OPERATION)
        for added in operations.additions:
            yield wrong_operation(added, "", NO_OPERATION)

    def of_change(
        self,
        session: Session,
        change: StatusChange,
        target: RegistryObject | None,
        own: SubmissionSet,
    ) -> Iterator[XdsRefusalError]:
        """Yield why the state of `target` cannot change."""
        owned: Sequence[Owned] = [target] if isinstance(target, DocumentEntry | Folder) else []
        if isinstance(target, XdsAssociation):
            owned = self._ends_of(session, [target])
        if target is None or not all(map(self._gate.sees, owned)):
            yield XdsRefusalError(ErrorCode.UNRESOLVED_REFERENCE, came=change.target)
            return
        if isinstance(target, SubmissionSet) or not owned or _is_of_set(target, owned):
            yield XdsRefusalError(ErrorCode.METADATA_UPDATE, came=change.target, rule=NO_STATE)
            return
        if target.status != change.original:
            yield _wrong(target, "", ErrorCode.METADATA_UPDATE, OTHER_STATE)
        if self.superseded(session, [target.entry_uuid]):
            yield _wrong(target, "", ErrorCode.METADATA_VERSION, LATEST)
        if any(self._person(one) != self._owner(own) for one in owned):
            yield _wrong(own, "patient_id", ErrorCode.PATIENT_RECONCILIATION, ONE_PERSON)
        yield from self._own_manifests(session, owned)

    def of_ends(
        self,
        session: Session,
        associations: Sequence[XdsAssociation],
        followers: Mapping[str, DocumentEntry | Folder],
    ) -> list[XdsRefusalError]:
        """Return which associations would tie objects of different patients together."""
        new = list(followers.values())
        items = {one.entry_uuid: one for one in (*self._ends_of(session, associations), *new)}
        refusals = []
        for one in associations:
            source, target = items.get(one.source), items.get(one.target)
            if source and target and self._person(source) != self._person(target):
                code = ErrorCode.PATIENT_RECONCILIATION
                refusals.append(_wrong(source, "patient_id", code))
        return refusals

    def of_additions(self, session: Session, plan: Plan) -> Iterator[XdsRefusalError]:
        """Yield why associations that were submitted as such cannot be registered."""
        own, new = plan.submission_set, list(plan.followers.values())
        for one in plan.added():
            known = {item.entry_uuid: item for item in (*self._ends_of(session, [one]), *new)}
            ends = {end: known[end] for end in (one.source, one.target) if end in known}
            source, target = ends.get(one.source), ends.get(one.target)
            if not source or not target or not all(map(self._gate.sees, ends.values())):
                yield _wrong(one, "", ErrorCode.UNRESOLVED_REFERENCE, TIE_ENDS)
                continue
            if any(item.status != AvailabilityStatus.APPROVED for item in ends.values()):
                yield _wrong(one, "", ErrorCode.METADATA_UPDATE, TIE_ENDS)
            is_member = one.association_type is AssociationType.HAS_MEMBER
            if isinstance(target, Folder) or isinstance(source, Folder) != is_member:
                yield _wrong(one, "", ErrorCode.METADATA_UPDATE, MEMBER_ENDS)
            if is_member and self._is_registered(session, one):
                yield _wrong(one, "", ErrorCode.METADATA_UPDATE, KNOWN_TIE)
            if any(self._person(item) != self._owner(own) for item in ends.values()):
                yield _wrong(own, "patient_id", ErrorCode.PATIENT_RECONCILIATION, ONE_PERSON)

    def superseded(self, session: Session, uuids: Iterable[str]) -> set[str]:
        """Return which of `uuids` are former versions."""
        wanted = list(uuids)
        documents = reading.documents_by_uuid(session, wanted)
        folders = reading.folders_by_uuid(session, wanted)
        latest = {one.entry_uuid for one in reading.latest_documents(session, documents)}
        latest |= {one.entry_uuid for one in reading.latest_folders(session, folders)}
        return {*_ids(documents), *_ids(folders)} - latest

    def _of_document(
        self, session: Session, item: DocumentEntry, before: DocumentEntry, *, restricted: bool
    ) -> Iterator[XdsRefusalError]:
        if restricted:
            for name in _UNMODIFIABLE:
                if getattr(item, name) != getattr(before, name):
                    yield _wrong(item, name, ErrorCode.UNMODIFIABLE_METADATA)
            if self._people.global_id_of(item.patient_id) != self._person(before):
                yield _wrong(item, "patient_id", ErrorCode.PATIENT_RECONCILIATION)
        elif item.document_type is not before.document_type:
            yield _wrong(item, "document_type", ErrorCode.METADATA_UPDATE, SAME_TYPE)
        held = session.get(RepositoryDocumentRow, item.unique_id)
        if held and (item.sha1.lower(), item.size) != (held.sha1, held.size):
            yield _wrong(item, "sha1", ErrorCode.METADATA_UPDATE, OWN_BYTES)
        yield from self._own_manifests(session, [before])

    def _own_manifests(self, session: Session, items: Iterable[Owned]) -> Iterator[XdsRefusalError]:
        for item in items:
            if isinstance(item, DocumentEntry) and self._is_derived(session, item.unique_id):
                yield _wrong(item, "unique_id", ErrorCode.LOCAL_POLICY, OWN_MANIFEST)

    def _ends_of(self, session: Session, associations: Iterable[XdsAssociation]) -> list[Owned]:
        ends = {end for one in associations for end in (one.source, one.target)}
        return [
            *reading.documents_by_uuid(session, ends),
            *reading.folders_by_uuid(session, ends),
            *reading.submission_sets_by_uuid(session, ends),
        ]

    def _is_registered(self, session: Session, tie: XdsAssociation) -> bool:
        wanted = reading.Wanted((tie.association_type,), frozenset(AvailabilityStatus))
        found = reading.associations_at(session, [tie.target], wanted, (reading.End.TARGET,))
        return any(one.source == tie.source for one in found)

    def _person(self, item: Owned) -> str:
        return self._people.person_of(item.linked_identifier) or item.patient_id

    def _owner(self, own: SubmissionSet) -> str:
        return self._people.global_id_of(own.patient_id) or own.patient_id


def _ids(items: Iterable[Owned]) -> set[str]:
    return {item.entry_uuid for item in items}


def _is_of_set(target: RegistryObject, ends: Iterable[Owned]) -> bool:
    """Membership of a submission set says who submitted what, and that never changes."""
    return isinstance(target, XdsAssociation) and any(
        isinstance(one, SubmissionSet) for one in ends
    )


def _wrong(
    item: RegistryObject, attribute: str, code: ErrorCode, rule: ErrorText | None = None
) -> XdsRefusalError:
    came = getattr(item, attribute) if attribute else item.entry_uuid
    place = place_of(type(item), item.entry_uuid, attribute)
    refusal = MetadataRefusalError(code, place, came=str(came), rule=rule)
    return refusal.about(item.entry_uuid, attribute)
