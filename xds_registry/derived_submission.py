"""Submissions of documents that the hub itself makes about a study, each alone in its set.

Everything in them is named after the document's entry, so that the same entry is the same
submission.
"""

import uuid
from collections.abc import Iterable, Iterator

from xds_registry.model import (
    AssociationType,
    Code,
    DocumentEntry,
    Submission,
    SubmissionSet,
    XdsAssociation,
)

Relation = tuple[AssociationType, str]
"""What a document is to another, and the other's entryUUID."""


def derived_submission(
    entry: DocumentEntry, content_type: Code, relations: Iterable[Relation]
) -> Submission:
    """Return what registers `entry` with its relations to entries that are registered."""
    submission_set = SubmissionSet(
        entry_uuid=f"urn:uuid:{_made(entry, 'submission-set')}",
        unique_id=f"2.25.{_made(entry, 'submission-set').int}",
        source_id=entry.repository_unique_id,
        patient_id=entry.patient_id,
        linked_identifier=entry.linked_identifier,
        submission_time=entry.creation_time,
        content_type_code=content_type,
        authors=entry.authors,
        title=entry.title,
        home_community_id=entry.home_community_id,
    )
    associations = tuple(_associations(submission_set, entry, relations))
    return Submission(submission_set=submission_set, entries=(entry,), associations=associations)


def _associations(
    submission_set: SubmissionSet, entry: DocumentEntry, relations: Iterable[Relation]
) -> Iterator[XdsAssociation]:
    member = AssociationType.HAS_MEMBER
    ends = [(member, submission_set.entry_uuid, entry.entry_uuid)]
    ends += [(kind, entry.entry_uuid, target) for kind, target in relations]
    for kind, source, target in ends:
        yield XdsAssociation(
            entry_uuid=f"urn:uuid:{_made(entry, kind.rpartition(':')[2])}",
            association_type=kind,
            source=source,
            target=target,
            submission_set_status="Original" if kind is member else "",
            home_community_id=entry.home_community_id,
        )


def _made(entry: DocumentEntry, what: str) -> uuid.UUID:
    return uuid.uuid5(uuid.UUID(entry.entry_uuid), what)
