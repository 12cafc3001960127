"""Everything that is wrong with a submission, found in one pass (ITI TF-2 3.42.4.1.3, TF-3 4.2).

What reading already found fault with is not reported a second time as missing.
"""

from collections.abc import Iterable, Iterator, Sequence

from xds_registry.codes import CodeLists
from xds_registry.ebrim_names import place_of
from xds_registry.errors import ErrorCode, MetadataRefusalError
from xds_registry.model import RegistryObject, Submission
from xds_registry.validation_rules import (
    ASSOCIATION_RULES,
    ENTRY_RULES,
    FOLDER_RULES,
    SET_RULES,
    Found,
    Rule,
    T,
)
from xds_registry.validation_structure import Profile, structure_refusals

_MOST_REFUSALS = 200


def metadata_refusals(
    submission: Submission,
    lists: CodeLists,
    profile: Profile,
    faults: Sequence[MetadataRefusalError] = (),
) -> list[MetadataRefusalError]:
    """Return `faults` and every rule that `submission` breaks, without asking the registry.

    At most 200 are returned; a sender who has broken more learns of the others the next time.
    """
    known = {(fault.object_id, fault.attribute) for fault in faults}
    broken = (*value_refusals(submission, lists), *structure_refusals(submission, profile))
    fresh = (one for one in broken if (one.object_id, one.attribute) not in known)
    if not submission.submission_set.entry_uuid:
        fresh = (one for one in fresh if one.object_id and one.attribute)
    return [*faults, *fresh][:_MOST_REFUSALS]


def value_refusals(submission: Submission, lists: CodeLists) -> Iterator[MetadataRefusalError]:
    """Yield every attribute of every object that breaks a rule of its own."""
    yield from _checked([submission.submission_set], SET_RULES, lists)
    yield from _checked(submission.entries, ENTRY_RULES, lists)
    yield from _checked(submission.folders, FOLDER_RULES, lists)
    yield from _checked(submission.associations, ASSOCIATION_RULES, lists)


def _checked(
    items: Iterable[T], rules: Sequence[Rule[T]], lists: CodeLists
) -> Iterator[MetadataRefusalError]:
    for item in items:
        found = Found(item, lists)
        for rule in rules:
            for came in rule.breaks(found):
                yield _refusal(item, rule, rule.allowed_by(lists), came)


def _refusal(item: T, rule: Rule[T], allowed: str, came: str) -> MetadataRefusalError:
    kind: type[RegistryObject] = type(item)
    place = place_of(kind, item.entry_uuid, rule.attribute)
    refusal = MetadataRefusalError(
        ErrorCode.REGISTRY_METADATA, place, allowed, came=came, rule=rule.text
    )
    return refusal.about(item.entry_uuid, rule.attribute)
