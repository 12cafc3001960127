"""Invented folders, the submissions that bring them, and versions of what was updated."""

from dataclasses import replace
from typing import Any

from tests.xds_registry.samples import GLOBAL, LOCAL, submission, urn
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    Folder,
    Submission,
    XdsAssociation,
)

REFERRAL = Code("Referrals", "1.3.6.1.4.1.21367.100.1", "转诊")
EMERGENCY = Code("Emergency", "1.3.6.1.4.1.21367.100.1", "急诊")


def folder(name: str = "folder", **changes: Any) -> Folder:
    made = Folder(
        entry_uuid=urn(name),
        unique_id=f"1.2.{int(urn(name)[9:17], 16)}",
        patient_id=GLOBAL.cx,
        linked_identifier=LOCAL.cx,
        codes=(REFERRAL,),
        title=name,
        last_update_time="20261121080000",
    )
    return replace(made, **changes)


def member(whole: str, part: str, **changes: Any) -> XdsAssociation:
    """Return the membership of one object in another, both by entryUUID."""
    made = XdsAssociation(
        entry_uuid=urn(f"member-{whole}-{part}"),
        association_type=AssociationType.HAS_MEMBER,
        source=whole,
        target=part,
    )
    return replace(made, **changes)


def filed(box: Folder, *documents: DocumentEntry) -> Submission:
    """Return a submission of `box` with new `documents` in it, as a source would send it."""
    made = submission(*documents, name=f"filed-{box.entry_uuid}")
    own = replace(
        made.submission_set, patient_id=box.patient_id, linked_identifier=box.linked_identifier
    )
    within = [member(box.entry_uuid, one.entry_uuid) for one in documents]
    brought = [box.entry_uuid, *(one.entry_uuid for one in within)]
    members = [member(own.entry_uuid, one, submission_set_status="Original") for one in brought]
    associations = (*made.associations, *within, *members)
    return replace(made, submission_set=own, folders=(box,), associations=associations)


def next_version(item: DocumentEntry, **changes: Any) -> tuple[DocumentEntry, DocumentEntry]:
    """Return the version before, deprecated, and the one after it, which has `changes`."""
    after = replace(
        item,
        entry_uuid=urn(f"{item.entry_uuid}-after"),
        logical_id=item.logical_id or item.entry_uuid,
        version=item.version + 1,
        **changes,
    )
    return replace(item, status=AvailabilityStatus.DEPRECATED), after
