"""What a metadata update asks for: the operations a submission is made of (ITI TF-2 3.57.4.1.3.1).

Each operation hangs on one association from the submission set: HasMember with PreviousVersion to a
new version, UpdateAvailabilityStatus to what is to change, SubmitAssociation to an association.
Whatever hangs on none of them is refused: an update brings no first versions.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xds_registry.ebrim_names import place_of
from xds_registry.ebrim_reading import Reading
from xds_registry.errors import ErrorCode, ErrorText, MetadataRefusalError, XdsRefusalError
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    XdsAssociation,
)
from xds_registry.validation_structure import described, objects_of
from xds_registry.validation_syntax import is_uuid

_VERSION = re.compile(r"[1-9]\d{0,8}")
_SUBMITTED = RELATIONS | {AssociationType.HAS_MEMBER}

NO_OPERATION = ErrorText(
    "an update is made of operations alone, and of at least one",
    "元数据更新只能由更新操作组成，且至少一个",
)
FIRST_VERSION = ErrorText(
    "an update carries the lid of what it updates; first versions are registered by ITI-42",
    "更新须给出被更新对象的 lid；首个版本请用 ITI-42 登记",
)
PREVIOUS_VERSION = ErrorText(
    "PreviousVersion is the number of the version that is updated",
    "PreviousVersion 必须为被更新版本的版本号",
)
ORIGINAL = ErrorText(
    "a new version is an Original member of its submission set",
    "新版本在提交集中的 SubmissionSetStatus 必须为 Original",
)
EXTRA = ErrorText("this slot has no meaning in an update", "更新操作中不允许该槽")
STATUSES = ErrorText(
    "OriginalStatus and NewStatus are two different availability statuses",
    "OriginalStatus 与 NewStatus 必须为两个不同的可用状态",
)
SUBMITTED = ErrorText(
    "SubmitAssociation leads to an association of this submission",
    "SubmitAssociation 必须指向本次提交中的关联",
)
ONCE = ErrorText(
    "an update changes an object once and has each uniqueId once",
    "一次更新中同一对象只能更新一次，唯一标识不得重复",
)


@dataclass(frozen=True)
class NewVersion:
    """One object to be followed by `item`; `previous` is the version it was made from."""

    item: DocumentEntry | Folder
    previous: int
    propagates: bool


@dataclass(frozen=True)
class StatusChange:
    """One object, by id as sent, whose availability changes."""

    target: str
    original: AvailabilityStatus
    new: AvailabilityStatus
    trigger: str


@dataclass(frozen=True)
class Operations:
    """What one submission asks for, in the order it was sent."""

    versions: tuple[NewVersion, ...] = ()
    changes: tuple[StatusChange, ...] = ()
    additions: tuple[XdsAssociation, ...] = ()


def operations_of(reading: Reading) -> tuple[Operations, list[XdsRefusalError]]:
    """Return the operations that could be made out, and everything that is wrong with them."""
    submission = reading.submission
    objects = {item.entry_uuid: item for item in objects_of(submission)}
    refusals: list[XdsRefusalError] = [*_faults(reading), *_repeated(submission)]
    own = submission.submission_set.entry_uuid
    triggers = [one for one in submission.associations if one.source == own]
    found: list[NewVersion | StatusChange | XdsAssociation] = []
    for trigger in triggers:
        wrong = list(_TRIGGERS.get(trigger.association_type, _no_trigger)(trigger, objects))
        refusals += (one for one in wrong if isinstance(one, XdsRefusalError))
        found += (one for one in wrong if not isinstance(one, XdsRefusalError))
    refusals += _idle(submission, triggers)
    operations = Operations(
        tuple(one for one in found if isinstance(one, NewVersion)),
        tuple(one for one in found if isinstance(one, StatusChange)),
        tuple(one for one in found if isinstance(one, XdsAssociation)),
    )
    refusals += _doubled(operations)
    return operations, refusals


Made = NewVersion | StatusChange | XdsAssociation | XdsRefusalError


def _new_version(trigger: XdsAssociation, objects: Mapping[str, RegistryObject]) -> Iterator[Made]:
    item = objects.get(trigger.target)
    if not isinstance(item, DocumentEntry | Folder):
        yield from _no_trigger(trigger, objects)
        return
    wrong = len(
        found := [
            *_unless(is_uuid(item.logical_id) and item.logical_id != item.entry_uuid, item,
                     "logical_id", FIRST_VERSION),
            *_unless(_VERSION.fullmatch(trigger.previous_version), trigger, "previous_version",
                     PREVIOUS_VERSION),
            *_unless(_is_original(trigger, item), trigger, "submission_set_status", ORIGINAL),
            *_unless(not trigger.extra_slots, trigger, "", EXTRA),
        ]
    )  # fmt: skip
    yield from found
    if not wrong:
        yield NewVersion(item, int(trigger.previous_version), trigger.propagates)


def _is_original(trigger: XdsAssociation, item: DocumentEntry | Folder) -> bool:
    """SubmissionSetStatus is asked of documents, and tolerated of folders (TF-3 4.2.2.2.3)."""
    return trigger.submission_set_status == "Original" or (
        isinstance(item, Folder) and not trigger.submission_set_status
    )


def _status_change(
    trigger: XdsAssociation, _objects: Mapping[str, RegistryObject]
) -> Iterator[Made]:
    statuses = {trigger.original_status, trigger.new_status}
    if statuses != set(AvailabilityStatus):
        yield wrong_operation(trigger, "new_status", STATUSES)
        return
    yield StatusChange(
        trigger.target,
        AvailabilityStatus(trigger.original_status),
        AvailabilityStatus(trigger.new_status),
        trigger.entry_uuid,
    )


def _addition(trigger: XdsAssociation, objects: Mapping[str, RegistryObject]) -> Iterator[Made]:
    added = objects.get(trigger.target)
    if not isinstance(added, XdsAssociation) or added.association_type not in _SUBMITTED:
        yield wrong_operation(trigger, "target", SUBMITTED)
        return
    yield added


def _no_trigger(trigger: XdsAssociation, _objects: Mapping[str, RegistryObject]) -> Iterator[Made]:
    yield wrong_operation(trigger, "", NO_OPERATION)


_TRIGGERS: Mapping[
    AssociationType,
    Callable[[XdsAssociation, Mapping[str, RegistryObject]], Iterator[Made]],
] = {
    AssociationType.HAS_MEMBER: _new_version,
    AssociationType.UPDATES_AVAILABILITY: _status_change,
    AssociationType.SUBMITS_ASSOCIATION: _addition,
}


def wrong_operation(
    item: RegistryObject,
    attribute: str,
    rule: ErrorText,
    code: ErrorCode = ErrorCode.METADATA_UPDATE_OPERATION,
) -> XdsRefusalError:
    """Return the refusal of an operation for what `attribute` of `item` says."""
    came = getattr(item, attribute, "") if attribute else item.entry_uuid
    place = place_of(type(item), item.entry_uuid, attribute)
    refusal = MetadataRefusalError(code, place, came=str(came), rule=rule)
    return refusal.about(item.entry_uuid, attribute)


def _unless(
    fine: object, item: RegistryObject, attribute: str, rule: ErrorText
) -> Iterator[XdsRefusalError]:
    if not fine:
        yield wrong_operation(item, attribute, rule)


def _faults(reading: Reading) -> Iterator[XdsRefusalError]:
    """A misshapen slot of an association is a misshapen operation; all else stays as it is."""
    ties = {one.entry_uuid for one in reading.submission.associations}
    for fault in reading.faults:
        if fault.object_id in ties and fault.attribute != "association_type":
            code = ErrorCode.METADATA_UPDATE_OPERATION
            yield MetadataRefusalError(
                code, fault.place, fault.allowed, came=fault.came, rule=fault.rule
            ).about(fault.object_id, fault.attribute)
        else:
            yield fault


def _repeated(submission: Submission) -> Iterator[XdsRefusalError]:
    items = list(described(submission))
    counts = Counter(item.unique_id for item in items)
    for item in items:
        if item.unique_id and counts[item.unique_id] > 1:
            code = ErrorCode.REGISTRY_DUPLICATE_IN_MESSAGE
            yield wrong_operation(item, "unique_id", ONCE, code)
    ids = Counter(item.entry_uuid for item in objects_of(submission))
    for object_id, count in ids.items():
        if count > 1:
            place = f"//*[@id='{object_id}']"
            yield XdsRefusalError(ErrorCode.REGISTRY_METADATA, place, rule=ONCE)


def _idle(submission: Submission, triggers: Sequence[XdsAssociation]) -> Iterator[XdsRefusalError]:
    """Yield what takes part in no operation."""
    if not triggers:
        yield wrong_operation(submission.submission_set, "", NO_OPERATION)
    busy = {one.target for one in triggers} | {one.entry_uuid for one in triggers}
    for item in list(objects_of(submission))[1:]:
        if item.entry_uuid not in busy:
            yield wrong_operation(item, "", NO_OPERATION)


def _doubled(operations: Operations) -> Iterator[XdsRefusalError]:
    logical = Counter(one.item.logical_id for one in operations.versions)
    for version in operations.versions:
        if logical[version.item.logical_id] > 1:
            yield wrong_operation(version.item, "logical_id", ONCE)
    targets = Counter(one.target for one in operations.changes)
    for target, count in targets.items():
        if count > 1:
            code = ErrorCode.METADATA_UPDATE_OPERATION
            yield XdsRefusalError(code, target, rule=ONCE)
