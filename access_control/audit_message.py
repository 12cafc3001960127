"""The audit record as text: the shape of the DICOM audit message (PS3.15 A.5.1, RFC 3881).

The canonical form is one line of ASCII JSON with sorted keys: equal records are equal bytes, and no
field can begin a line of its own. The same record is written as XML for other systems.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from xml.etree import ElementTree as ET

from access_control.errors import InvalidAuditEventError
from access_control.inert import inert
from access_control.model import Purpose, Subject, SubjectKind

Outcome = Literal["success", "refused", "failure"]

OUTCOME_INDICATORS: Mapping[str, int] = {"success": 0, "refused": 4, "failure": 8}

# action → (EventID code, its meaning, EventActionCode) after PS3.15 A.5.3 and PS3.16 CID 400
EVENT_CODES: Mapping[str, tuple[str, str, str]] = {
    "find_patient": ("110112", "Query", "E"),
    "feed_patient": ("110110", "Patient Record", "U"),
    "query": ("110112", "Query", "E"),
    "query_registry": ("110112", "Query", "E"),
    "view_record": ("110110", "Patient Record", "R"),
    "view_diagnostic": ("110103", "DICOM Instances Accessed", "R"),
    "view_clinical": ("110103", "DICOM Instances Accessed", "R"),
    "view_public": ("110103", "DICOM Instances Accessed", "R"),
    "retrieve_document": ("110106", "Export", "R"),
    "share": ("110106", "Export", "C"),
    "store": ("110104", "DICOM Instances Transferred", "C"),
    "view_audit": ("110101", "Audit Log Used", "R"),
    "view_operations": ("110100", "Application Activity", "R"),
    "sign_in": ("110114", "User Authentication", "E"),
    "sign_out": ("110114", "User Authentication", "E"),
    "open_link": ("110114", "User Authentication", "E"),
    "review_identity": ("110110", "Patient Record", "R"),
    "decide_identity": ("110110", "Patient Record", "U"),
    "manage_consent": ("110110", "Patient Record", "R"),
    "record_consent": ("110110", "Patient Record", "U"),
    "correct_message": ("110107", "Import", "C"),
    "associate": ("110113", "Security Alert", "E"),
}
_OTHER_EVENT = ("110100", "Application Activity", "E")

# resource kind → (ParticipantObjectTypeCode, ParticipantObjectTypeCodeRole), PS3.15 A.5.2.5
_OBJECT_TYPES: Mapping[str, tuple[int, int]] = {
    "patient": (1, 1),
    "study": (2, 3),
    "document": (2, 3),
    "audit": (2, 13),
    "operations": (2, 13),
}
_OTHER_OBJECT = (4, 20)
_OBJECT_ID_TYPES: Mapping[str, tuple[str, str, str]] = {
    "patient": ("2", "RFC-3881", "Patient Number"),
    "study": ("110180", "DCM", "Study Instance UID"),
    "document": ("9", "RFC-3881", "Report Number"),
}
_OTHER_OBJECT_ID_TYPE = ("12", "RFC-3881", "URI")

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME_LIKE = re.compile(r"\S*\^\S*|[^\x20-\x7e]+")
LONGEST = {"subject_id": 128, "display": 128, "resource_id": 256, "address": 64, "detail": 1000}


@dataclass(frozen=True)
class AuditEvent:
    """What somebody did or was refused.

    `action` is an `Action` value or another lower-case word (sign_in, open_link, …). `detail` says
    what the other fields cannot, and never who the patient is: whatever in it looks like a name is
    struck out before it is stored.
    """

    action: str
    outcome: Outcome
    subject: Subject
    resource_kind: str
    resource_id: str
    address: str
    detail: str = ""
    purpose: Purpose | None = None


@dataclass(frozen=True)
class AuditRecord:
    """One stored record, as the auditor reads it; `sequence` counts from 1 without a gap."""

    sequence: int
    recorded_at: datetime
    action: str
    outcome: str
    subject_kind: str
    subject_id: str
    display: str
    roles: tuple[str, ...]
    resource_kind: str
    resource_id: str
    address: str
    detail: str
    purpose: str

    def line(self) -> str:
        """Return the record as one line of printable text; no field can break it."""
        return (
            f"{self.sequence} {self.recorded_at.isoformat()} {self.action} {self.outcome} "
            f"{self.subject_kind}:{self.subject_id} {self.resource_kind}:{self.resource_id} "
            f"from {self.address or '-'} {self.detail}".rstrip()
        )


def canonical_message(event: AuditEvent, sequence: int, at: datetime, source: str) -> str:
    """Return `event` as the one line of text that is stored and chained.

    Raises:
        InvalidAuditEventError: the action, the outcome or the resource kind is not a known word.
    """
    _check(event)
    code, meaning, action_code = EVENT_CODES.get(event.action, _OTHER_EVENT)
    subject = event.subject
    message = {
        "sequence": sequence,
        "event": {
            "id": [code, "DCM", meaning],
            "action": event.action,
            "action_code": action_code,
            "date_time": at.isoformat(),
            "outcome": event.outcome,
            "outcome_indicator": OUTCOME_INDICATORS[event.outcome],
            "purpose": event.purpose or "",
        },
        "participant": {
            "kind": subject.kind,
            "user_id": inert(subject.subject_id, LONGEST["subject_id"]),
            "user_name": inert(subject.display, LONGEST["display"]),
            "roles": sorted(subject.roles),
            "address": inert(event.address, LONGEST["address"]),
        },
        "source": source,
        "object": {
            "kind": event.resource_kind,
            "id": inert(event.resource_id, LONGEST["resource_id"]),
            "detail": inert(_NAME_LIKE.sub("[…]", event.detail), LONGEST["detail"]),
        },
    }
    return json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def record_of(message: str) -> AuditRecord:
    """Return the record that a canonical message holds.

    Raises:
        ValueError, KeyError, TypeError: the text is no canonical message; it was tampered with.
    """
    parsed: dict[str, Any] = json.loads(message)
    event, who, what = parsed["event"], parsed["participant"], parsed["object"]
    return AuditRecord(
        sequence=parsed["sequence"],
        recorded_at=datetime.fromisoformat(event["date_time"]),
        action=event["action"],
        outcome=event["outcome"],
        subject_kind=who["kind"],
        subject_id=who["user_id"],
        display=who["user_name"],
        roles=tuple(who["roles"]),
        resource_kind=what["kind"],
        resource_id=what["id"],
        address=who["address"],
        detail=what["detail"],
        purpose=event["purpose"],
    )


def audit_message_xml(record: AuditRecord, source: str) -> bytes:
    """Return `record` as a DICOM audit message in UTF-8 XML (PS3.15 A.5.1)."""
    code, meaning, action_code = EVENT_CODES.get(record.action, _OTHER_EVENT)
    root = ET.Element("AuditMessage")
    event = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=action_code,
        EventDateTime=record.recorded_at.isoformat(),
        EventOutcomeIndicator=str(OUTCOME_INDICATORS[record.outcome]),
    )
    _coded(event, "EventID", (code, "DCM", meaning))
    _coded(event, "EventTypeCode", (record.action, "EIRHUB", record.action))
    person = ET.SubElement(
        root,
        "ActiveParticipant",
        UserID=f"{record.subject_kind}:{record.subject_id}",
        UserName=record.display,
        UserIsRequestor="true",
        NetworkAccessPointID=record.address,
        NetworkAccessPointTypeCode="2",
    )
    for role in record.roles:
        _coded(person, "RoleIDCode", (role, "EIRHUB", role))
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=source)
    _participant_object(root, record)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _participant_object(root: ET.Element, record: AuditRecord) -> None:
    type_code, role = _OBJECT_TYPES.get(record.resource_kind, _OTHER_OBJECT)
    item = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=record.resource_id or record.resource_kind,
        ParticipantObjectTypeCode=str(type_code),
        ParticipantObjectTypeCodeRole=str(role),
    )
    id_type = _OBJECT_ID_TYPES.get(record.resource_kind, _OTHER_OBJECT_ID_TYPE)
    _coded(item, "ParticipantObjectIDTypeCode", id_type)
    ET.SubElement(item, "ParticipantObjectName").text = record.resource_kind
    ET.SubElement(item, "ParticipantObjectDescription").text = record.detail


def _coded(parent: ET.Element, name: str, coded: tuple[str, str, str]) -> None:
    code, system, text = coded
    ET.SubElement(parent, name, {"csd-code": code, "codeSystemName": system, "originalText": text})


def _check(event: AuditEvent) -> None:
    if event.outcome not in OUTCOME_INDICATORS:
        raise InvalidAuditEventError("audit outcome must be success, refused or failure")
    if not _WORD.fullmatch(event.action) or not _WORD.fullmatch(event.resource_kind):
        raise InvalidAuditEventError("audit action and resource kind must be lower-case words")
    if event.subject.kind not in set(SubjectKind):
        raise InvalidAuditEventError("audit subject must be of a known kind")
