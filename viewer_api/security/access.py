"""The one place that asks `decide` and writes the audit record of an access before it is answered.

What may not be seen answers 404 like what does not exist, and the attempt is on record.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NoReturn, cast

from flask import abort, current_app, g, request

from access_control.audit import AuditEvent
from access_control.model import Action, Purpose, Resource, Subject, SubjectKind
from access_control.policy import decide
from viewer_api.security.emergencies import glass_broken
from viewer_api.security.subjects import current_subject
from viewer_api.services import services

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask
    from sqlalchemy.orm import Session

    from access_control.break_glass import BrokenGlass

Outcome = Literal["success", "refused", "failure"]

_EXTENSION = "eirhub.recent_accesses"
_SAME_ACCESS_S = 60.0
_REMEMBERED = 4096
# A viewer fetches a study in hundreds of requests. They are one access (as in the audit message
# "DICOM Instances Accessed", PS3.15 A.5.3.6); a changed or refused access is always recorded.
_ONE_ACCESS_MANY_REQUESTS = frozenset(
    {
        Action.VIEW_DIAGNOSTIC,
        Action.VIEW_CLINICAL,
        Action.VIEW_PUBLIC,
        Action.RETRIEVE_DOCUMENT,
    }
)


def install_access(app: Flask) -> None:
    """Give `app` its memory of accesses that are already on record."""
    app.extensions[_EXTENSION] = _RecentAccesses()


def permitted(action: Action, resource: Resource, purpose: Purpose = Purpose.TREATMENT) -> bool:
    """Say whether the current subject may; nothing is recorded. For menus and result lists."""
    if decide(current_subject(), action, resource, purpose).allowed:
        return True
    return purpose is Purpose.TREATMENT and opened_in_emergency(action, resource) is not None


def require(
    action: Action,
    resource: Resource,
    purpose: Purpose = Purpose.TREATMENT,
    *,
    detail: str = "",
) -> None:
    """Return when the current subject may do `action` on `resource`; the access is on record.

    Otherwise the refusal is on record and the request ends with 404.
    """
    decision = decide(current_subject(), action, resource, purpose)
    if not decision.allowed:
        emergency = purpose is Purpose.TREATMENT
        g.broken_glass = opened_in_emergency(action, resource) if emergency else None
        if g.broken_glass is None:
            refuse(action, resource, detail=decision.rule)
    key = _key(current_subject(), action, resource)
    if action in _ONE_ACCESS_MANY_REQUESTS and _recent().is_on_record(key, services().clock.now()):
        return
    record_access(str(action), "success", resource, detail=detail)
    if action in _ONE_ACCESS_MANY_REQUESTS:
        _recent().put_on_record(key, services().clock.now())


def broken_glass() -> BrokenGlass | None:
    """Return the emergency that this request was allowed by; None where it needed none."""
    return cast("BrokenGlass | None", g.get("broken_glass"))


def opened_in_emergency(action: Action, resource: Resource) -> BrokenGlass | None:
    """Return the subject's emergency that lets them do `action` on `resource`, if there is one."""
    opened = replace(resource, glass_broken=True)
    allowed = decide(current_subject(), action, opened, Purpose.BREAK_GLASS).allowed
    return glass_broken(resource.identifiers) if allowed else None


def refuse(action: Action, resource: Resource, *, detail: str = "") -> NoReturn:
    """Record that `action` on `resource` was refused and end the request with 404."""
    record_access(str(action), "refused", resource, detail=detail)
    abort(404)


def record_access(
    action: str,
    outcome: Outcome,
    resource: Resource,
    *,
    detail: str = "",
    session: Session | None = None,
) -> None:
    """Write one audit record about the current subject.

    With `session` it is part of that transaction; else it is durable on return. `detail` must
    not name a patient. The purpose is an emergency where the request was allowed by one.
    """
    event = AuditEvent(
        action=action,
        outcome=outcome,
        subject=current_subject(),
        resource_kind=resource.kind,
        resource_id=resource.resource_id,
        address=request.remote_addr or "",
        detail=detail,
        purpose=Purpose.BREAK_GLASS if broken_glass() else None,
    )
    if session is not None:
        services().audit.record(session, event)
        return
    with services().database.unit_of_work() as work:
        services().audit.record(work.session, event)


_AccessKey = tuple[SubjectKind, str, str, str, str, str, int | None]


def _key(subject: Subject, action: Action, resource: Resource) -> _AccessKey:
    glass = broken_glass()
    return (
        subject.kind,
        subject.subject_id,
        request.remote_addr or "",
        str(action),
        resource.kind,
        resource.resource_id,
        glass.glass_id if glass else None,
    )


def _recent() -> _RecentAccesses:
    return cast("_RecentAccesses", current_app.extensions[_EXTENSION])


@dataclass
class _RecentAccesses:
    """Accesses recorded within the last minute; forgetting one only costs one more record."""

    _recorded: OrderedDict[_AccessKey, datetime] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_on_record(self, key: _AccessKey, now: datetime) -> bool:
        with self._lock:
            recorded_at = self._recorded.get(key)
        return recorded_at is not None and (now - recorded_at).total_seconds() < _SAME_ACCESS_S

    def put_on_record(self, key: _AccessKey, now: datetime) -> None:
        with self._lock:
            self._recorded[key] = now
            self._recorded.move_to_end(key)
            while len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)
