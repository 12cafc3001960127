"""What `eirhub registry verify` can find, and what each finding asks of an operator."""

from dataclasses import dataclass
from enum import StrEnum

_RESEND = "have the site send it again, or restore the archive folder from the backup"
_LOOK = "retry with --repair; if it stays, look at the parked events"


class DriftKind(StrEnum):
    """What does not agree; the words are what `eirhub registry verify` prints."""

    INSTANCE_LOST = "instance_lost"
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_LEFT = "manifest_left"
    MANIFESTS_MANY = "manifests_many"
    MANIFEST_WITHDRAWN = "manifest_withdrawn"
    MANIFEST_UNREADABLE = "manifest_unreadable"
    MANIFEST_CONTENTS = "manifest_contents"
    REPORT_MISSING = "report_missing"
    REPORT_LEFT = "report_left"
    VERSION_MISSING = "version_missing"
    VERSION_LEFT = "version_left"
    VERSION_DISAGREES = "version_disagrees"
    ENTRY_WITHOUT_DOCUMENT = "entry_without_document"
    ENTRY_DISAGREES = "entry_disagrees"
    DOCUMENT_WITHOUT_ENTRY = "document_without_entry"
    DOCUMENT_LOST = "document_lost"
    DOCUMENT_CHANGED = "document_changed"
    BYTES_UNNAMED = "bytes_unnamed"
    ASSOCIATION_ORPHANED = "association_orphaned"
    RENDITION_LOST = "rendition_lost"
    RENDITION_CHANGED = "rendition_changed"


REPORT_DRIFTS = frozenset({DriftKind.REPORT_MISSING, DriftKind.REPORT_LEFT})
COMPLETION_DRIFTS = frozenset(
    {
        DriftKind.MANIFEST_MISSING,
        DriftKind.VERSION_MISSING,
        DriftKind.VERSION_LEFT,
        DriftKind.VERSION_DISAGREES,
    }
)

_WORDS = {
    DriftKind.INSTANCE_LOST: ("the archive has lost the bytes of instance", _RESEND),
    DriftKind.MANIFEST_MISSING: ("no manifest of this generation is registered for study", _LOOK),
    DriftKind.MANIFEST_LEFT: (
        "all instances are rejected, yet a manifest is approved for study",
        "deprecate its entry with ITI-57",
    ),
    DriftKind.MANIFESTS_MANY: (
        "more than one manifest is approved for study",
        "deprecate all but the latest with ITI-57",
    ),
    DriftKind.MANIFEST_WITHDRAWN: (
        "its manifest has been deprecated or removed, and no other is approved for study",
        "find out who did it in the audit trail; approve the entry again with ITI-57",
    ),
    DriftKind.MANIFEST_UNREADABLE: (
        "the document is no manifest that can be read, of study",
        "restore the archive folder from the backup",
    ),
    DriftKind.MANIFEST_CONTENTS: (
        "the manifest does not list exactly the archived instances of study",
        "send one instance of the study that is not archived yet, or restore index and archive"
        " from the same backup",
    ),
    DriftKind.REPORT_MISSING: (
        "a signed report is not registered beside the manifest of study",
        _LOOK,
    ),
    DriftKind.REPORT_LEFT: (
        "a report that is no longer in force is still approved for study",
        _LOOK,
    ),
    DriftKind.VERSION_MISSING: (
        "a version in force is not registered beside the manifest of study",
        "if its hub did not register versions before, `eirhub registry register-versions`;"
        f" else {_LOOK}",
    ),
    DriftKind.VERSION_LEFT: (
        "a version that is no longer in force is still approved for study",
        _LOOK,
    ),
    DriftKind.VERSION_DISAGREES: (
        "hash, size or place of a registered version are not the ledger's, of study",
        _LOOK,
    ),
    DriftKind.ENTRY_WITHOUT_DOCUMENT: (
        "the repository holds no document for entry",
        "if it was removed with ITI-86, remove the entry with ITI-62; else have its source provide"
        " it again",
    ),
    DriftKind.ENTRY_DISAGREES: (
        "hash or size differ from the document's for entry",
        "have its source replace it (RPLC)",
    ),
    DriftKind.DOCUMENT_WITHOUT_ENTRY: (
        "no entry is registered for document",
        "remove it with ITI-86, or have its source register it (ITI-42)",
    ),
    DriftKind.DOCUMENT_LOST: (
        "the archive has lost the bytes of document",
        "restore the archive folder from the backup",
    ),
    DriftKind.DOCUMENT_CHANGED: (
        "the bytes are no longer those that were stored, of document",
        "restore the archive folder from the backup",
    ),
    DriftKind.BYTES_UNNAMED: (
        "no document has the bytes stored as",
        "they do no harm; if a database backup was restored, restore the archive's of that moment",
    ),
    DriftKind.ASSOCIATION_ORPHANED: (
        "one end is not registered, of association",
        "remove it with ITI-62",
    ),
    DriftKind.RENDITION_LOST: (
        "the archive has lost the bytes of picture",
        "restore the archive folder from the backup",
    ),
    DriftKind.RENDITION_CHANGED: (
        "the bytes are no longer those that were rendered, of picture",
        "restore the archive folder from the backup",
    ),
}


@dataclass(frozen=True)
class Drift:
    """One disagreement about what `subject` identifies: a UID, an entryUUID or a storage key."""

    kind: DriftKind
    subject: str
    detail: str = ""

    @property
    def what(self) -> str:
        """What is wrong, in one sentence."""
        more = f" ({self.detail})" if self.detail else ""
        return f"{_WORDS[self.kind][0]} {self.subject}{more}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _WORDS[self.kind][1]


@dataclass(frozen=True)
class RegistryReport:
    """What was compared; `waiting` are studies to which the task engine still owes something."""

    studies: int
    entries: int
    documents: int
    pictures: int
    waiting: int
    drifts: tuple[Drift, ...]
