"""The rules for a submission as a whole: members, ends of associations, one patient (TF-3 4.2.1).

Nothing here asks the registry: an end that is not in the submission is taken to be registered, and
looked up by `validation_registry`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xds_registry.ebrim_names import place_of
from xds_registry.errors import ErrorCode, ErrorText, MetadataRefusalError
from xds_registry.model import (
    RELATIONS,
    REPLACING,
    AssociationType,
    DocumentEntry,
    DocumentType,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.validation_syntax import is_uuid

MEMBER = ErrorText(
    "every document entry of a submission is a member of its submission set",
    "提交中的每个文档条目都必须是提交集的成员",
)
ONE_ID = ErrorText("every object needs an id of its own", "每个对象必须有各自的 id")
SYMBOL = ErrorText(
    "a symbolic id must name an object of this submission", "符号标识必须指向本次提交中的对象"
)
MEMBER_SOURCE = ErrorText(
    "HasMember starts at the submission set of this submission or at a folder",
    "HasMember 的源必须是本次提交的提交集或文件夹",
)
MEMBER_TARGET = ErrorText("this cannot be a member of that", "该对象不能作为此源对象的成员")
RELATION_SOURCE = ErrorText(
    "a relation starts at a document entry of this submission", "关系的源必须是本次提交中的文档条目"
)
RELATION_TARGET = ErrorText(
    "a replacement refers to a document that is registered already", "替换的目标必须是已登记的文档"
)
ORIGINAL = ErrorText(
    "a document of this submission is its Original member, a registered one a Reference",
    "本次提交的文档为 Original 成员，已登记的文档为 Reference 成员",
)
NOT_ALLOWED = ErrorText("this transaction does not carry this", "该交易不允许此内容")
DOCUMENTATION = ErrorText(
    "only relations between documents say what they are for", "仅文档之间的关系可带说明编码"
)
PATIENTS = ErrorText(
    "all objects of a submission have one patientId", "一次提交中所有对象的 patientId 必须相同"
)


@dataclass(frozen=True)
class Profile:
    """What one transaction may carry."""

    document_types: frozenset[DocumentType]
    association_types: frozenset[AssociationType]


_COMMON = RELATIONS | {AssociationType.HAS_MEMBER}
REGISTER = Profile(frozenset({DocumentType.STABLE}), _COMMON)
REGISTER_ON_DEMAND = Profile(frozenset({DocumentType.ON_DEMAND}), _COMMON)


def structure_refusals(submission: Submission, profile: Profile) -> Iterator[MetadataRefusalError]:
    """Yield everything that is wrong with the submission as a whole."""
    objects = {item.entry_uuid: item for item in objects_of(submission)}
    yield from _doubled_ids(submission)
    yield from _doubled_unique_ids(submission)
    yield from _several_patients(submission)
    yield from _not_members(submission)
    for entry in submission.entries:
        if entry.document_type not in profile.document_types:
            yield _wrong(entry, "document_type", NOT_ALLOWED, came=entry.document_type)
    for association in submission.associations:
        if association.association_type not in profile.association_types:
            came = association.association_type
            yield _wrong(association, "association_type", NOT_ALLOWED, came=came)
            continue
        yield from _wrong_symbols(association, objects)
        if association.association_type is AssociationType.HAS_MEMBER:
            yield from _wrong_membership(association, objects)
        else:
            yield from _wrong_relation(association, objects)


def objects_of(submission: Submission) -> Iterator[RegistryObject]:
    """Yield every object of a submission; the submission set first."""
    yield from described(submission)
    yield from submission.associations


def described(submission: Submission) -> Iterator[DocumentEntry | SubmissionSet | Folder]:
    """Yield what has a uniqueId and a patient; the submission set first."""
    yield submission.submission_set
    yield from submission.entries
    yield from submission.folders


def _doubled_ids(submission: Submission) -> Iterator[MetadataRefusalError]:
    ids = Counter(item.entry_uuid for item in objects_of(submission))
    for item in objects_of(submission):
        if ids[item.entry_uuid] > 1:
            yield _wrong(item, "entry_uuid", ONE_ID, came=item.entry_uuid)


def _doubled_unique_ids(submission: Submission) -> Iterator[MetadataRefusalError]:
    items = list(described(submission))
    ids = Counter(item.unique_id for item in items)
    for item in items:
        if item.unique_id and ids[item.unique_id] > 1:
            place = place_of(type(item), item.entry_uuid, "unique_id")
            code = ErrorCode.REGISTRY_DUPLICATE_IN_MESSAGE
            refusal = MetadataRefusalError(code, place, came=item.unique_id)
            yield refusal.about(item.entry_uuid, "unique_id")


def _several_patients(submission: Submission) -> Iterator[MetadataRefusalError]:
    items = list(described(submission))
    ids = list(dict.fromkeys(item.patient_id for item in items if item.patient_id))
    for item in items:
        if item.patient_id and item.patient_id != ids[0]:
            place = place_of(type(item), item.entry_uuid, "patient_id")
            refusal = MetadataRefusalError(
                ErrorCode.PATIENT_ID_DOES_NOT_MATCH, place, ids[0], came=item.patient_id,
                rule=PATIENTS,
            )  # fmt: skip
            yield refusal.about(item.entry_uuid, "patient_id")


def members_of_set(submission: Submission) -> frozenset[str]:
    """Return the ids of what the submission says is a member of its submission set."""
    return frozenset(
        one.target
        for one in submission.associations
        if one.association_type is AssociationType.HAS_MEMBER
        and one.source == submission.submission_set.entry_uuid
    )


def _not_members(submission: Submission) -> Iterator[MetadataRefusalError]:
    """Yield entries without membership; a folder's is added where it was left out."""
    members = members_of_set(submission)
    for entry in submission.entries:
        if entry.entry_uuid not in members:
            yield _wrong(entry, "", MEMBER)


def _wrong_symbols(
    association: XdsAssociation, objects: Mapping[str, RegistryObject]
) -> Iterator[MetadataRefusalError]:
    for attribute in ("source", "target"):
        end = getattr(association, attribute)
        if end and end not in objects and not is_uuid(end):
            place = place_of(XdsAssociation, association.entry_uuid, attribute)
            refusal = MetadataRefusalError(
                ErrorCode.UNRESOLVED_REFERENCE, place, came=end, rule=SYMBOL
            )
            yield refusal.about(association.entry_uuid, attribute)


def _wrong_membership(
    association: XdsAssociation, objects: Mapping[str, RegistryObject]
) -> Iterator[MetadataRefusalError]:
    source, target = objects.get(association.source), objects.get(association.target)
    if association.documentation is not None:
        yield _wrong(association, "documentation", DOCUMENTATION)
    if source is not None and not isinstance(source, SubmissionSet | Folder):
        yield _wrong(association, "source", MEMBER_SOURCE, came=association.source)
        return
    allowed: tuple[type[RegistryObject], ...] = (DocumentEntry,)
    if isinstance(source, SubmissionSet):
        allowed = (DocumentEntry, Folder, XdsAssociation)
    if target is not None and not isinstance(target, allowed):
        yield _wrong(association, "target", MEMBER_TARGET, came=association.target)
    if isinstance(source, SubmissionSet):
        yield from _wrong_set_status(association, target)


def _wrong_set_status(
    association: XdsAssociation, target: RegistryObject | None
) -> Iterator[MetadataRefusalError]:
    """SubmissionSetStatus is asked of documents, and tolerated of other members (4.2.2.2.3)."""
    came = association.submission_set_status
    if isinstance(target, DocumentEntry):
        wanted = {"Original"}
    elif target is None:
        wanted = {"Reference"}
    else:
        wanted = {"", "Original"}
    if came not in wanted:
        allowed = " | ".join(sorted(filter(None, wanted)))
        yield _wrong(association, "submission_set_status", ORIGINAL, allowed=allowed, came=came)


def _wrong_relation(
    association: XdsAssociation, objects: Mapping[str, RegistryObject]
) -> Iterator[MetadataRefusalError]:
    if not isinstance(objects.get(association.source), DocumentEntry):
        yield _wrong(association, "source", RELATION_SOURCE, came=association.source)
    target = objects.get(association.target)
    if association.association_type in REPLACING and target is not None:
        yield _wrong(association, "target", RELATION_TARGET, came=association.target)
    elif target is not None and not isinstance(target, DocumentEntry):
        signs = association.association_type is AssociationType.SIGNS
        if not (signs and isinstance(target, SubmissionSet)):
            yield _wrong(association, "target", MEMBER_TARGET, came=association.target)


def _wrong(
    item: RegistryObject, attribute: str, rule: ErrorText, *, allowed: str = "", came: str = ""
) -> MetadataRefusalError:
    place = place_of(type(item), item.entry_uuid, attribute)
    refusal = MetadataRefusalError(
        ErrorCode.REGISTRY_METADATA, place, allowed, came=came, rule=rule
    )
    return refusal.about(item.entry_uuid, attribute)
