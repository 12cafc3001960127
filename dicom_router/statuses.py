"""What requests are answered with (PS3.4 B.2.3 and C.4.1.1.4, PS3.7 9.1.1.1.9 and annex C).

Senders act on the class of a status: 0xA7xx they try again later, 0xA9xx, 0xCxxx and 01xx they park
for a person. The comment tells that person what to do and names no patient.
"""

from sqlalchemy.exc import SQLAlchemyError

from dicom_router.answer import Answer
from hub_kernel.errors import HubError, InvalidUidError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveFullError,
    ArchiveUnavailableError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.model import TOLD, QuarantineReason

# What the conflict desk says the sender was told.
_TOLD_INSTANCE = TOLD[QuarantineReason.CONFLICTING_INSTANCE]
_TOLD_STUDY = TOLD[QuarantineReason.CONFLICTING_STUDY]
_TOLD_PATIENT = TOLD[QuarantineReason.CONTRADICTING_PATIENT]

SUCCESS = Answer(0x0000)
INVALID_SOP_INSTANCE_UID = Answer(0x0117, "SOP Instance UID breaks PS3.5 9.1; correct it, resend")
SOP_CLASS_NOT_SUPPORTED = Answer(0x0122, "SOP class is not the one negotiated for this context")
NOT_AUTHORIZED = Answer(0x0124, "This site may not store here; ask the hub's operator")
UNRECOGNIZED_OPERATION = Answer(0x0211, "Operation is not provided in this association")
NO_DATASET = Answer(0xC000, "C-STORE without a dataset; send the instance")
INSTANCE_TOO_LARGE = Answer(0xA700, "Instance exceeds the size limit; split it or ask operator")
QUOTA_USED_UP = Answer(0xA700, "Site's quota of today is used up; send again tomorrow")
TOTAL_QUOTA_USED_UP = Answer(0xA700, "Site's quota in all is used up; keep copy, ask operator")
NO_IDENTIFIER = Answer(0xA900, "C-FIND without an identifier; send the keys asked for")
WRONG_LEVEL = Answer(0xA900, "QueryRetrieveLevel missing or not of this model; correct it")
MISSING_UNIQUE_KEY = Answer(0xA900, "Unique key of a level above needs one value; or go relational")
UNREADABLE_IDENTIFIER = Answer(0xC000, "Identifier cannot be read as DICOM; correct the query")
INVALID_QUERY = Answer(0xC001, "A matching value breaks PS3.4 C.2.2.2; correct the query")
RESPONSE_LIMIT_REACHED = Answer(0xB001, "More matches than the hub answers at once; narrow it")
TOO_MANY_KEYS = Answer(0xA700, "Identifier holds too many keys; ask for fewer")
NOT_AUTHORIZED_TO_QUERY = Answer(0x0124, "This site may not query; ask the hub's operator")
FIND_FAILED = Answer(0xA700, "Index is not available; try again later")
NO_RETRIEVE_IDENTIFIER = Answer(0xA900, "Retrieval without an identifier; send its unique keys")
NO_UNIQUE_KEY = Answer(0xA900, "Unique key of the level missing, no UID, or a wildcard")
SEVERAL_PATIENTS = Answer(0xA900, "Patient ID of several issuers; add Issuer of Patient ID")
UNREADABLE_SELECTION = Answer(0xC000, "Identifier cannot be read as DICOM; correct the request")
NOT_AUTHORIZED_TO_RETRIEVE = Answer(0x0124, "This site may not retrieve; ask the hub's operator")
UNKNOWN_DESTINATION = Answer(0xA801, "Move destination is not configured; ask the hub's operator")
MATCHES_UNKNOWN = Answer(0xA701, "Index is not available; try again later")
NO_SUCH_OBJECT = Answer(0x0112, "Not the well-known instance of storage commitment")
NO_SUCH_ACTION = Answer(0x0123, "Storage commitment knows action type 1 only")
INVALID_ARGUMENT = Answer(0x0115, "Transaction or references missing, unreadable, or too many")
COMMITMENT_NOT_KEPT = Answer(0x0110, "Hub failed, nothing is promised; ask again later")
PROCESSING_FAILURE = Answer(0x0110, "Hub failed, nothing stored; keep your copy, send again later")

# The first line whose error fits is the answer. PS3.4 B.2.3 leaves the last three digits of A7xx,
# A9xx and Cxxx to the provider; 0x0111 is PS3.7's Duplicate SOP Instance, 0x0117 its Invalid
# Object Instance ("UID construction rules violated").
STORE_FAILURES: tuple[tuple[type[Exception], Answer], ...] = (
    (ArchiveFullError, Answer(0xA700, "Archive is full; keep your copy and send again later")),
    (ArchiveBusyError, Answer(0xA702, "Archive is busy; keep your copy and send again later")),
    (ArchiveUnavailableError, Answer(0xA701, "Archive stopped after disk error; tell operator")),
    (IdentityMismatchError, Answer(0xA900, "UID in dataset differs from command; correct, resend")),
    (
        ConflictingInstanceError,
        Answer(_TOLD_INSTANCE, "UID is archived with other content; ask operator"),
    ),
    (
        ConflictingStudyError,
        Answer(_TOLD_STUDY, "Study UID is another patient's; correct and resend"),
    ),
    (
        ContradictingPatientError,
        Answer(_TOLD_PATIENT, "Patient ID is somebody else's here; ask registrar"),
    ),
    (UnreadableInstanceError, Answer(0xC000, "Dataset unreadable or incomplete; export it again")),
    (InvalidUidError, Answer(0xC011, "Study, series or instance UID invalid; correct, resend")),
    (HubError, PROCESSING_FAILURE),
    (SQLAlchemyError, PROCESSING_FAILURE),
    (OSError, PROCESSING_FAILURE),
)
EXPECTED_STORE_ERRORS = (HubError, SQLAlchemyError, OSError)


def store_failure(error: Exception) -> Answer:
    """Return the answer that `error`, one of `EXPECTED_STORE_ERRORS`, is told as."""
    return next(answer for kind, answer in STORE_FAILURES if isinstance(error, kind))
