"""What the archive refuses, one error per decision a caller can take."""

from hub_kernel.errors import HubError, InvalidValueError


class ArchiveError(HubError):
    """The root of the archive's errors."""


class ArchiveFullError(ArchiveError):
    """There is no room; nothing was kept, the sender may try again (C-STORE 0xA700)."""


class ArchiveUnavailableError(ArchiveError):
    """The archive no longer acknowledges: a flush to disk failed, so no promise can be kept.

    Flushing again would report success for pages the kernel has already dropped, so the only way
    back is a restart after the disk has been looked at.
    """


class ArchiveBusyError(ArchiveError):
    """The index could not take the receipt now; the sender may try again."""


class FarTierUnreachableError(ArchiveBusyError):
    """What is asked for lies in the far tier alone, and that cannot be reached; try again later."""


class TieringRunningError(ArchiveError):
    """Another process is moving instances between the tiers; one at a time may."""


class UnreadableInstanceError(ArchiveError):
    """The dataset cannot be read as DICOM PS3.5 (C-STORE 0xC000); its bytes are in quarantine."""


class IdentityMismatchError(ArchiveError):
    """The dataset is another instance than the C-STORE command announced (C-STORE 0xA900)."""


class ConflictingInstanceError(ArchiveError):
    """The SOP Instance UID is taken by other bytes: both are kept, the first stays live."""


class ConflictingStudyError(ArchiveError):
    """The Study Instance UID belongs to another patient: the bytes are kept apart."""


class ContradictingPatientError(ArchiveError):
    """The patient ID is known as somebody else's: the bytes are kept apart for a person to see."""


class NotCompactableError(ArchiveError):
    """No master can stand for this original, which stays; `reason` is a word that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not compactable: {reason}")
        self.reason = reason


class CompactionRunningError(ArchiveError):
    """Another process is compacting this archive; one at a time may."""


class CaseDecidedError(ArchiveError, InvalidValueError):
    """Nothing of a case waits any more: it was decided, perhaps by somebody else meanwhile."""


class InvalidDecisionError(ArchiveError, InvalidValueError):
    """A decision does not fit its case, or cannot be taken back; the message says why."""


class InvalidQueryError(ArchiveError, InvalidValueError):
    """A matching value breaks DICOM PS3.4 C.2.2.2, or the query is larger than any honest one.

    `keyword` is the DICOM keyword of the key, empty where no single one is to blame.
    """

    def __init__(self, message: str, keyword: str = "") -> None:
        super().__init__(f"{keyword}: {message}" if keyword else message)
        self.keyword = keyword


class StudyStillNeededError(ArchiveError):
    """A study cannot be deleted now; the message says what still needs it."""


class ClockDoubtedError(ArchiveError):
    """The hub's clock contradicts what it has received: nothing may be deleted by it."""
