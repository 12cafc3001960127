"""What a registered submission says to the rest of the hub."""

from hub_kernel.clock import Clock
from hub_kernel.events import DocumentsRegistered, new_event
from xds_registry.model import Submission


def documents_registered(submission: Submission, clock: Clock) -> DocumentsRegistered:
    """Return the event that becomes true with the transaction that registers `submission`."""
    uuids = tuple(entry.entry_uuid for entry in submission.entries)
    return updated_documents(submission.submission_set.entry_uuid, uuids, clock)


def updated_documents(
    submission_set_uuid: str, entry_uuids: tuple[str, ...], clock: Clock
) -> DocumentsRegistered:
    """Return the event of new versions of documents that an update has registered."""
    return new_event(
        DocumentsRegistered,
        clock,
        submission_set_uuid=submission_set_uuid,
        entry_uuids=entry_uuids,
    )
