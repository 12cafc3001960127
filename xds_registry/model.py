"""Document Sharing metadata as values: entries, folders, submission sets, associations.

ITI TF-3 4.1, 4.2.

Nothing here knows XML, SQL or HTTP. Times are DTM texts in UTC, `YYYY[MM[DD[hh[mm[ss]]]]]`, exactly
as they were submitted (ITI TF-3 4.2.3.1.7): their precision is part of their meaning.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from xds_registry.errors import MetadataValueError

_DTM = re.compile(
    r"\d{4}((0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?)?)?)?"
)
_EARLIEST = "00000101000000"


class AvailabilityStatus(StrEnum):
    """Whether an object is current (ITI TF-3 4.2.3.2.2)."""

    APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
    DEPRECATED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"


class DocumentType(StrEnum):
    """`objectType` of a document entry (ITI TF-3 4.2.5.2)."""

    STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
    ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"


class AssociationType(StrEnum):
    """What one registry object is to another (ITI TF-3 4.2.2)."""

    HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
    REPLACES = "urn:ihe:iti:2007:AssociationType:RPLC"
    TRANSFORMS = "urn:ihe:iti:2007:AssociationType:XFRM"
    APPENDS = "urn:ihe:iti:2007:AssociationType:APND"
    TRANSFORMS_AND_REPLACES = "urn:ihe:iti:2007:AssociationType:XFRM_RPLC"
    SIGNS = "urn:ihe:iti:2007:AssociationType:signs"
    IS_SNAPSHOT_OF = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf"
    UPDATES_AVAILABILITY = "urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus"
    SUBMITS_ASSOCIATION = "urn:ihe:iti:2010:AssociationType:SubmitAssociation"


REPLACING = frozenset({AssociationType.REPLACES, AssociationType.TRANSFORMS_AND_REPLACES})
DEPENDENT = frozenset({AssociationType.TRANSFORMS, AssociationType.APPENDS})
UPDATING = frozenset({AssociationType.UPDATES_AVAILABILITY, AssociationType.SUBMITS_ASSOCIATION})
RELATIONS = frozenset(AssociationType) - {AssociationType.HAS_MEMBER} - UPDATING

ExtraSlot = tuple[str, tuple[str, ...]]
"""A slot whose name is no attribute of the profile, kept as it came (ITI TF-3 4.2.3.1.6)."""


@dataclass(frozen=True)
class Code:
    """A coded value: code, the OID or name of its scheme, and its text for people."""

    code: str
    scheme: str
    display: str = ""

    @property
    def key(self) -> str:
        """The code as a stored query writes it: `code^^scheme` (ITI TF-2 3.18.4.1.2.3.4)."""
        return f"{self.code}^^{self.scheme}"


NO_CODE = Code("", "")
"""Stands where a code is missing; only limited metadata may be registered with one."""


@dataclass(frozen=True)
class LocalText:
    """A title or comment as it was sent in one language; `language` may be empty."""

    language: str
    text: str


@dataclass(frozen=True)
class Author:
    """Who made a document or a submission; `person` is an XCN, institutions are XONs."""

    person: str = ""
    institutions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    specialties: tuple[str, ...] = ()
    telecommunications: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReferenceId:
    """An identifier a document refers to, kept as the CXi that was submitted (4.2.3.2.28)."""

    cxi: str

    @classmethod
    def study(cls, study_instance_uid: str) -> "ReferenceId":
        """A DICOM Study Instance UID."""
        return cls(f"{study_instance_uid}^^^^urn:ihe:iti:xds:2016:studyInstanceUID")

    @classmethod
    def accession(cls, number: str, issuer_oid: str) -> "ReferenceId":
        """An accession number; HL7's separators inside it are dropped, or the CXi would lie."""
        safe = re.sub(r"[\^&|~\\]", "", number)
        return cls(f"{safe}^^^&{issuer_oid}&ISO^urn:ihe:iti:xds:2013:accession")


UNTOLD_SIZE = -1
"""Stands where a submission gives a hash without the size; nothing is registered with it."""


@dataclass(frozen=True, kw_only=True)
class DocumentEntry:
    """One document as the registry describes it (ITI TF-3 4.2.3.2).

    `linked_identifier` is the CX whose links decide whose document this is: `patient_id` follows it
    when people are merged or parted, and nothing stored is rewritten. `logical_id` is empty where
    it is the entryUUID: nothing was updated yet (ITI TF-3 4.2.3.2.31). `title` and `comments` are
    in the language that fits; where others were sent too, `local_titles` and `local_comments` hold
    all of them. The digest `sha1` is empty, and then `size` means nothing, where no document is.
    """

    entry_uuid: str
    unique_id: str
    patient_id: str
    linked_identifier: str
    source_patient_id: str
    mime_type: str
    class_code: Code
    type_code: Code
    format_code: Code
    practice_setting_code: Code
    healthcare_facility_type_code: Code
    confidentiality_codes: tuple[Code, ...]
    language_code: str
    creation_time: str
    event_codes: tuple[Code, ...] = ()
    authors: tuple[Author, ...] = ()
    source_patient_info: tuple[str, ...] = ()
    service_start_time: str = ""
    service_stop_time: str = ""
    title: str = ""
    comments: str = ""
    sha1: str = ""
    size: int = 0
    repository_unique_id: str = ""
    home_community_id: str = ""
    reference_ids: tuple[ReferenceId, ...] = ()
    document_type: DocumentType = DocumentType.STABLE
    legal_authenticator: str = ""
    uri: str = ""
    document_availability: str = ""
    local_titles: tuple[LocalText, ...] = ()
    local_comments: tuple[LocalText, ...] = ()
    limited_metadata: bool = False
    logical_id: str = ""
    version: int = 1
    extra_slots: tuple[ExtraSlot, ...] = ()
    status: AvailabilityStatus = AvailabilityStatus.APPROVED

    def __post_init__(self) -> None:
        """Refuse times nobody could compare.

        Raises:
            MetadataValueError: a time is not a DTM.
        """
        for time in (self.creation_time, self.service_start_time, self.service_stop_time):
            if time and not _DTM.fullmatch(time):
                raise _no_dtm()


@dataclass(frozen=True, kw_only=True)
class SubmissionSet:
    """What was submitted together, by whom and when (ITI TF-3 4.2.3.3)."""

    entry_uuid: str
    unique_id: str
    source_id: str
    patient_id: str
    linked_identifier: str
    submission_time: str
    content_type_code: Code
    authors: tuple[Author, ...] = ()
    title: str = ""
    comments: str = ""
    intended_recipients: tuple[str, ...] = ()
    local_titles: tuple[LocalText, ...] = ()
    local_comments: tuple[LocalText, ...] = ()
    limited_metadata: bool = False
    home_community_id: str = ""
    extra_slots: tuple[ExtraSlot, ...] = ()
    status: AvailabilityStatus = AvailabilityStatus.APPROVED


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A bag of documents of one patient (ITI TF-3 4.2.3.4); `last_update_time` is the registry's.

    `linked_identifier` and `logical_id` are as in `DocumentEntry`.
    """

    entry_uuid: str
    unique_id: str
    patient_id: str
    linked_identifier: str
    codes: tuple[Code, ...] = ()
    title: str = ""
    comments: str = ""
    last_update_time: str = ""
    local_titles: tuple[LocalText, ...] = ()
    local_comments: tuple[LocalText, ...] = ()
    limited_metadata: bool = False
    home_community_id: str = ""
    logical_id: str = ""
    version: int = 1
    extra_slots: tuple[ExtraSlot, ...] = ()
    status: AvailabilityStatus = AvailabilityStatus.APPROVED


@dataclass(frozen=True, kw_only=True)
class XdsAssociation:
    """A relation between two registry objects (ITI TF-3 4.2.2). Not a DICOM association.

    `submission_set_status` is "Original" or "Reference" for members of a submission set;
    `documentation` says what a relation is for (4.2.2.2.4). The four fields after it are set by
    metadata updates alone (ITI TF-2 3.57.4.1.3).
    """

    entry_uuid: str
    association_type: AssociationType
    source: str
    target: str
    submission_set_status: str = ""
    documentation: Code | None = None
    previous_version: str = ""
    original_status: str = ""
    new_status: str = ""
    propagates: bool = True
    home_community_id: str = ""
    extra_slots: tuple[ExtraSlot, ...] = ()
    status: AvailabilityStatus = AvailabilityStatus.APPROVED


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Everything that is registered in one atomic step."""

    submission_set: SubmissionSet
    entries: tuple[DocumentEntry, ...] = ()
    folders: tuple[Folder, ...] = ()
    associations: tuple[XdsAssociation, ...] = ()


RegistryObject = DocumentEntry | SubmissionSet | Folder | XdsAssociation


def dtm(moment: datetime) -> str:
    """Return an aware time as a DTM of seconds, in UTC."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc:%m%d%H%M%S}"  # %Y pads no year before 1000 on every platform


def dtm_start(text: str) -> str:
    """Return the first second that the DTM `text` covers, as 14 digits that sort by time.

    Raises:
        MetadataValueError: `text` is not a DTM.
    """
    if not _DTM.fullmatch(text):
        raise _no_dtm()
    return text + _EARLIEST[len(text) :]


def _no_dtm() -> MetadataValueError:
    return MetadataValueError("time", "YYYY[MM[DD[hh[mm[ss]]]]], digits only, in UTC")
