"""An audit trail in tests: its key, who reads, what is recorded, how many records are written."""

from typing import Any

from access_control.audit import AuditEvent
from access_control.model import Role, Subject, SubjectKind

KEY = b"k" * 32
LENGTH = 12
READER = Subject(SubjectKind.USER, "user-1", "李医生", frozenset({Role.CLINICIAN}), None)


def audit_event(number: int = 0, **changes: Any) -> AuditEvent:
    given: dict[str, Any] = {
        "action": "view_clinical",
        "outcome": "success",
        "subject": READER,
        "resource_kind": "study",
        "resource_id": f"1.2.{number}",
        "address": "10.21.0.9",
        "detail": f"number {number}",
    }
    return AuditEvent(**{**given, **changes})
