"""What the auditor looks for in the audit trail, and what is found, page by page."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_

from access_control.audit_message import LONGEST, AuditRecord
from access_control.inert import inert
from access_control.tables import AuditRecordRow


@dataclass(frozen=True)
class AuditQuery:
    """What the auditor looks for; empty fields match everything. Newest records come first.

    `named` are persons: beside `resource_ids`, records about nobody in particular that name one of
    them are found, which is what a search leaves behind about those it showed. No index knows
    these; they are read one after the other.
    """

    subject_kind: str = ""
    subject_id: str = ""
    resource_ids: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    action: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before_sequence: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class AuditPage:
    """One page of records, and `before_sequence` for the next page; None on the last."""

    records: tuple[AuditRecord, ...]
    next_before: int | None


def conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    """Return what a record must fulfil to be found by `query`."""
    row = AuditRecordRow
    equal = {
        row.subject_kind: inert(query.subject_kind, 16),
        row.subject_id: inert(query.subject_id, LONGEST["subject_id"]),
        row.action: inert(query.action, 64),
        row.outcome: inert(query.outcome, 16),
    }
    conditions: list[ColumnElement[bool]] = [
        column == value for column, value in equal.items() if value
    ]
    if query.resource_ids or query.named:
        conditions.append(_about(query))
    if query.since is not None:
        conditions.append(row.recorded_at >= query.since)
    if query.until is not None:
        conditions.append(row.recorded_at < query.until)
    if query.before_sequence is not None:
        conditions.append(row.sequence < query.before_sequence)
    return conditions


def _about(query: AuditQuery) -> ColumnElement[bool]:
    row = AuditRecordRow
    wanted = {inert(resource_id, LONGEST["resource_id"]) for resource_id in query.resource_ids}
    found = row.resource_id.in_(wanted)
    if not query.named:
        return found
    names = [row.message.contains(person, autoescape=True) for person in sorted(query.named)]
    return or_(found, and_(row.resource_id == "", row.resource_kind == "patient", or_(*names)))
