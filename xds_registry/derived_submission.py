"""Submissions of documents that the hub itself makes about a study.

Everything in them is named after a document's entry, the set after that of the first, so that the
same entries are the same submission.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence

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
    return derived_submissions([(entry, relations)], content_type)


def derived_submissions(
    related: Sequence[tuple[DocumentEntry, Iterable[Relation]]], content_type: Code
) -> Submission:
    """Return what registers several entries of one study in one set, each with its relations."""
    entries = tuple(entry for entry, _ in related)
    first = entries[0]
    submission_set = SubmissionSet(
        entry_uuid=f"urn:uuid:{_made(first, 'submission-set')}",
        unique_id=f"2.25.{_made(first, 'submission-set').int}",
        source_id=first.repository_unique_id,
        patient_id=first.patient_id,
        linked_identifier=first.linked_identifier,
        submission_time=max(entry.creation_time for entry in entries),
        content_type_code=content_type,
        authors=first.authors,
        title=first.title,
        home_community_id=first.home_community_id,
    )
    associations = tuple(
        made
        for entry, relations in related
        for made in _associations(submission_set, entry, relations)
    )
    return Submission(submission_set=submission_set, entries=entries, associations=associations)


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
