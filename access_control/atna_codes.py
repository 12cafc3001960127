"""The codes of audit messages: events, IHE transactions, objects (PS3.15 A.5, PS3.16 CID 400).

Which event a record is follows from its IHE transaction where it has one, else from its action.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Coded = tuple[str, str, str]
"""Code, code system, meaning."""

IHE = "IHE Transactions"
LOCAL = "EIRHUB"
SOURCE: Coded = ("110153", "DCM", "Source Role ID")
DESTINATION: Coded = ("110152", "DCM", "Destination Role ID")
APPLICATION: Coded = ("110150", "DCM", "Application")
LAUNCHER: Coded = ("110151", "DCM", "Application Launcher")

START_APPLICATION, STOP_APPLICATION = "start_application", "stop_application"
BREAK_GLASS, END_BREAK_GLASS = "break_glass", "end_break_glass"
_CODE_IN_TEXT = re.compile(r"\b(?:ITI|RAD)-[0-9]{1,3}\b")


@dataclass(frozen=True)
class EventKind:
    """EventID (DCM code and meaning) and EventActionCode of one kind of event."""

    code: str
    meaning: str
    action_code: str

    @property
    def hub_is_source(self) -> bool:
        """Whether the hub is where the data of such an event come from."""
        return self.code == _EXPORT


_EXPORT = "110106"
_QUERY = EventKind("110112", "Query", "E")
_IMPORTED = EventKind("110107", "Import", "C")
_AMENDED = EventKind("110107", "Import", "U")
_EXPORTED = EventKind(_EXPORT, "Export", "R")
_TRANSFERRED = EventKind("110104", "DICOM Instances Transferred", "R")
_FED = EventKind("110110", "Patient Record", "U")
_REMOVED = EventKind("110110", "Patient Record", "D")

# What the profile of each transaction says about the side that the hub is on.
TRANSACTIONS: Mapping[str, tuple[str, EventKind]] = {
    "ITI-8": ("Patient Identity Feed", _FED),
    "ITI-9": ("PIX Query", _QUERY),
    "ITI-10": ("PIX Update Notification", EventKind("110110", "Patient Record", "R")),
    "ITI-18": ("Registry Stored Query", _QUERY),
    "ITI-21": ("Patient Demographics Query", _QUERY),
    "ITI-30": ("Patient Identity Management", _FED),
    "ITI-38": ("Cross Gateway Query", _QUERY),
    "ITI-39": ("Cross Gateway Retrieve", _EXPORTED),
    "ITI-41": ("Provide and Register Document Set-b", _IMPORTED),
    "ITI-42": ("Register Document Set-b", _IMPORTED),
    "ITI-43": ("Retrieve Document Set", _EXPORTED),
    "ITI-44": ("Patient Identity Feed", _FED),
    "ITI-45": ("PIX Query", _QUERY),
    "ITI-47": ("Patient Demographics Query", _QUERY),
    "ITI-51": ("Multi-Patient Query", _QUERY),
    "ITI-52": ("Document Metadata Subscribe", _QUERY),
    "ITI-53": ("Document Metadata Notify", _EXPORTED),
    "ITI-55": ("Cross Gateway Patient Discovery", _QUERY),
    "ITI-57": ("Update Document Set", _AMENDED),
    "ITI-61": ("Register On-Demand Document Entry", _IMPORTED),
    "ITI-62": ("Remove Metadata", _REMOVED),
    "ITI-64": ("Notify XAD-PID Link Change", _FED),
    "ITI-65": ("Provide Document Bundle", _IMPORTED),
    "ITI-66": ("Find Document Lists", _QUERY),
    "ITI-67": ("Find Document References", _QUERY),
    "ITI-68": ("Retrieve Document", _EXPORTED),
    "ITI-78": ("Mobile Patient Demographics Query", _QUERY),
    "ITI-83": ("Mobile Patient Identifier Cross-reference Query", _QUERY),
    "ITI-86": ("Remove Documents", _REMOVED),
    "ITI-92": ("Restricted Update Document Set", _AMENDED),
    "ITI-104": ("Patient Identity Feed FHIR", _FED),
    "ITI-105": ("Simplified Publish", _IMPORTED),
    "ITI-119": ("Patient Demographics Match", _QUERY),
    "RAD-55": ("WADO Retrieve", _TRANSFERRED),
    "RAD-68": ("Provide and Register Imaging Document Set", _IMPORTED),
    "RAD-69": ("Retrieve Imaging Document Set", _EXPORTED),
    "RAD-75": ("Cross Gateway Retrieve Imaging Document Set", _EXPORTED),
    "RAD-107": ("WADO-RS Retrieve", _TRANSFERRED),
}

# action → (EventID code, its meaning, EventActionCode), for what is no IHE transaction
EVENT_CODES: Mapping[str, tuple[str, str, str]] = {
    "find_patient": ("110112", "Query", "E"),
    "feed_patient": ("110110", "Patient Record", "U"),
    "receive_report": ("110107", "Import", "C"),
    "query": ("110112", "Query", "E"),
    "query_registry": ("110112", "Query", "E"),
    "view_record": ("110110", "Patient Record", "R"),
    "view_diagnostic": ("110103", "DICOM Instances Accessed", "R"),
    "view_clinical": ("110103", "DICOM Instances Accessed", "R"),
    "view_public": ("110103", "DICOM Instances Accessed", "R"),
    "retrieve_document": (_EXPORT, "Export", "R"),
    "submit_documents": ("110107", "Import", "C"),
    "administer_documents": ("110107", "Import", "U"),
    "share": (_EXPORT, "Export", "C"),
    "store": ("110104", "DICOM Instances Transferred", "C"),
    "retrieve": ("110104", "DICOM Instances Transferred", "R"),
    "view_audit": ("110101", "Audit Log Used", "R"),
    "view_operations": ("110100", "Application Activity", "R"),
    "operate": ("110100", "Application Activity", "E"),
    START_APPLICATION: ("110100", "Application Activity", "E"),
    STOP_APPLICATION: ("110100", "Application Activity", "E"),
    "sign_in": ("110114", "User Authentication", "E"),
    "sign_out": ("110114", "User Authentication", "E"),
    "open_link": ("110114", "User Authentication", "E"),
    "review_identity": ("110110", "Patient Record", "R"),
    "decide_identity": ("110110", "Patient Record", "U"),
    "manage_consent": ("110110", "Patient Record", "R"),
    "record_consent": ("110110", "Patient Record", "U"),
    "retry_notifications": ("110100", "Application Activity", "E"),
    "correct_message": ("110107", "Import", "C"),
    "resolve_conflict": ("110103", "DICOM Instances Accessed", "U"),
    "inspect_refused": ("110103", "DICOM Instances Accessed", "R"),
    "clear_pictures": ("110103", "DICOM Instances Accessed", "U"),
    "hold_record": ("110110", "Patient Record", "U"),
    BREAK_GLASS: ("110113", "Security Alert", "E"),
    END_BREAK_GLASS: ("110113", "Security Alert", "E"),
    "review_break_glass": ("110101", "Audit Log Used", "R"),
    "delete_study": ("110105", "DICOM Study Deleted", "D"),
    "deidentify": (_EXPORT, "Export", "R"),
    "associate": ("110113", "Security Alert", "E"),
    "manage_certificate": ("110113", "Security Alert", "U"),
}
_OTHER_EVENT = ("110100", "Application Activity", "E")

# action → EventTypeCode, where DICOM has one; the others say our own word
EVENT_TYPES: Mapping[str, Coded] = {
    START_APPLICATION: ("110120", "DCM", "Application Start"),
    STOP_APPLICATION: ("110121", "DCM", "Application Stop"),
    "sign_in": ("110122", "DCM", "Login"),
    "open_link": ("110122", "DCM", "Login"),
    "sign_out": ("110123", "DCM", "Logout"),
    "associate": ("110126", "DCM", "Node Authentication"),
    "manage_certificate": ("110129", "DCM", "Security Configuration"),
    BREAK_GLASS: ("110127", "DCM", "Emergency Override Started"),
    END_BREAK_GLASS: ("110138", "DCM", "Emergency Override Stopped"),
}

# What a feed did to a patient record, by the word the feed wrote beside its transaction.
_FEED_ACTION_CODES: Mapping[str, str] = {
    "created": "C",
    "registered": "C",
    "merged": "D",
    "A40": "D",
    "A43": "U",
    "A01": "C",
    "A04": "C",
    "A05": "C",
    "A28": "C",
    "A08": "U",
    "A31": "U",
}

# Doors that answer one transaction only say it by their action.
_TRANSACTION_OF_ACTION: Mapping[str, str] = {
    "query_registry": "ITI-18",
    "retrieve_document": "ITI-43",
}

# purpose → HL7 v3 PurposeOfUse
PURPOSES: Mapping[str, Coded] = {
    "treatment": ("TREAT", "2.16.840.1.113883.1.11.20448", "treatment"),
    "quality": ("HQUALIMP", "2.16.840.1.113883.1.11.20448", "health quality improvement"),
    "break_glass": ("BTG", "2.16.840.1.113883.1.11.20448", "break the glass"),
    "patient": ("PATRQT", "2.16.840.1.113883.1.11.20448", "patient requested"),
    "audit": ("HCOMPL", "2.16.840.1.113883.1.11.20448", "health compliance"),
    "operations": ("HOPERAT", "2.16.840.1.113883.1.11.20448", "healthcare operations"),
}


@dataclass(frozen=True)
class ObjectKind:
    """ParticipantObjectTypeCode, ParticipantObjectTypeCodeRole and the type of the ID."""

    type_code: int
    role: int
    id_type: Coded


_URI: Coded = ("12", "RFC-3881", "URI")
_CLASSIFICATION = "IHE XDS Metadata"
OBJECT_KINDS: Mapping[str, ObjectKind] = {
    "patient": ObjectKind(1, 1, ("2", "RFC-3881", "Patient Number")),
    "study": ObjectKind(2, 3, ("110180", "DCM", "Study Instance UID")),
    "document": ObjectKind(2, 3, ("9", "RFC-3881", "Report Number")),
    "submission_set": ObjectKind(
        2,
        20,
        (
            "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
            _CLASSIFICATION,
            "submission set classificationNode",
        ),
    ),
    "folder": ObjectKind(
        2,
        20,
        (
            "urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2",
            _CLASSIFICATION,
            "folder classificationNode",
        ),
    ),
    "audit": ObjectKind(2, 13, _URI),
    "operations": ObjectKind(2, 4, _URI),
    "association": ObjectKind(2, 4, _URI),
}
OTHER_OBJECT = ObjectKind(4, 20, _URI)


def transaction_of(said: str, action: str, detail: str) -> str:
    """Return the IHE transaction of a record, empty when it is none.

    `said` is what the door named; else it is the one that `detail` opens with or names, else the
    only one that doors with this `action` speak.
    """
    if said in TRANSACTIONS:
        return said
    named = _CODE_IN_TEXT.search(detail)
    if named and named[0] in TRANSACTIONS:
        return named[0]
    return _TRANSACTION_OF_ACTION.get(action, "")


def event_of(action: str, transaction: str, detail: str = "") -> EventKind:
    """Return what kind of event `action`, carried out as `transaction`, is."""
    if transaction not in TRANSACTIONS:
        return EventKind(*EVENT_CODES.get(action, _OTHER_EVENT))
    kind = TRANSACTIONS[transaction][1]
    if kind is _FED:
        words = re.findall(r"[A-Za-z0-9]+", detail)
        codes = [_FEED_ACTION_CODES[word] for word in words if word in _FEED_ACTION_CODES]
        return EventKind(kind.code, kind.meaning, codes[0] if codes else kind.action_code)
    return kind


def event_type_of(action: str, transaction: str) -> Coded:
    """Return the EventTypeCode: the IHE transaction, DICOM's own, or our word for the action."""
    if transaction in TRANSACTIONS:
        return transaction, IHE, TRANSACTIONS[transaction][0]
    return EVENT_TYPES.get(action, (action, LOCAL, action))
