"""The audit record as text: the shape of the DICOM audit message (PS3.15 A.5.1, RFC 3881).

The canonical form is one line of ASCII JSON with sorted keys: equal records are equal bytes, and no
field can begin a line of its own. `access_control.atna` writes the same record as XML for others.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from access_control.atna_codes import event_of, transaction_of
from access_control.errors import InvalidAuditEventError
from access_control.inert import inert
from access_control.model import Purpose, Subject, SubjectKind

Outcome = Literal["success", "refused", "failure"]

OUTCOME_INDICATORS: Mapping[str, int] = {"success": 0, "refused": 4, "failure": 8}

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME_LIKE = re.compile(r"\S*\^\S*|[^\x20-\x7e]+")
# In a query, identifiers (value^^^&oid&ISO) and codes ('code^^scheme') have carets as well.
_NAME_IN_QUERY = re.compile(r"[^\W\d_]+\^[^\W\d_][^\s<'\"]*|[^\x20-\x7e]+")
# Looked for many times faster than a whole name: an expression leaps to its first letter.
_LETTERS_AT_CARET = re.compile(r"\^(?<=[^\W\d_]\^)[^\W\d_]")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
LONGEST = {
    "subject_id": 128,
    "display": 128,
    "resource_id": 256,
    "address": 64,
    "detail": 1000,
    "query": 8000,
}
_MOST_OBJECTS = 64
_SUBJECT_KINDS = frozenset(SubjectKind)


@dataclass(frozen=True)
class AuditObject:
    """One thing an event is about, beside the resource it names: a patient, a document, a set.

    `details` are pairs of a type that a profile names ("Repository Unique Id") and its value.
    """

    kind: str
    object_id: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AuditEvent:
    """What somebody did or was refused.

    `action` is an `Action` value or another lower-case word (sign_in, open_link, …). `detail` says
    what the other fields cannot, and never who the patient is: whatever in it looks like a name is
    struck out before it is stored.

    `transaction` is the IHE transaction carried out ("ITI-18"); empty leaves it to what `detail`
    opens with. `query` is what was asked, already without anybody's name
    (`access_control.atna_query`), where the profile wants it. `objects` are further things the
    event is about.
    """

    action: str
    outcome: Outcome
    subject: Subject
    resource_kind: str
    resource_id: str
    address: str
    detail: str = ""
    purpose: Purpose | None = None
    transaction: str = ""
    query: str = ""
    objects: tuple[AuditObject, ...] = ()


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
    transaction: str = ""
    query: str = ""
    objects: tuple[AuditObject, ...] = ()

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
    transaction = transaction_of(event.transaction, event.action, event.detail)
    kind = event_of(event.action, transaction, event.detail)
    subject = event.subject
    message = {
        "sequence": sequence,
        "event": {
            "id": [kind.code, "DCM", kind.meaning],
            "action": event.action,
            "action_code": kind.action_code,
            "date_time": at.isoformat(),
            "outcome": event.outcome,
            "outcome_indicator": OUTCOME_INDICATORS[event.outcome],
            "purpose": event.purpose or subject.purpose or "",
            "transaction": transaction,
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
            "detail": inert(_nameless(event.detail), LONGEST["detail"]),
            "query": _query_text(event.query),
        },
        "objects": [_object(one) for one in event.objects[:_MOST_OBJECTS]],
    }
    return _canonical(message)


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
        # Records written before these existed are without them.
        transaction=event.get("transaction", ""),
        query=what.get("query", ""),
        objects=tuple(
            AuditObject(one["kind"], one["id"], tuple((n, v) for n, v in one["details"]))
            for one in parsed.get("objects", ())
        ),
    )


def _query_text(text: str) -> str:
    line = " ".join(text.split())
    if not _is_plain(line) or _LETTERS_AT_CARET.search(line):
        line = _NAME_IN_QUERY.sub("[…]", line)
    return inert(line, LONGEST["query"])


def _nameless(text: str) -> str:
    return text if _is_plain(text) and "^" not in text else _NAME_LIKE.sub("[…]", text)


def _is_plain(text: str) -> bool:
    """Tell whether there is nothing but printable ASCII in it."""
    return text.isascii() and text.isprintable()


def _object(one: AuditObject) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "id": inert(one.object_id, LONGEST["resource_id"]),
        "details": [
            [inert(name, 128), inert(_nameless(value), LONGEST["resource_id"])]
            for name, value in one.details
        ],
    }


def _check(event: AuditEvent) -> None:
    if event.outcome not in OUTCOME_INDICATORS:
        raise InvalidAuditEventError("audit outcome must be success, refused or failure")
    kinds = [event.resource_kind, *(one.kind for one in event.objects)]
    if not all(_WORD.fullmatch(word) for word in (event.action, *kinds)):
        raise InvalidAuditEventError("audit action and resource kind must be lower-case words")
    if event.subject.kind not in _SUBJECT_KINDS:
        raise InvalidAuditEventError("audit subject must be of a known kind")
