"""The audit events of the hub itself and of who runs its commands (PS3.15 A.5.3.1)."""

import os
import pwd
import socket

from access_control.atna_codes import START_APPLICATION, STOP_APPLICATION
from access_control.audit_message import AuditEvent
from access_control.model import Subject, SubjectKind


def application_started(detail: str = "") -> AuditEvent:
    """Return the event that this process began to serve; `detail` names its roles."""
    return _event(START_APPLICATION, detail)


def application_stopped(detail: str = "") -> AuditEvent:
    """Return the event that this process ended in an orderly way."""
    return _event(STOP_APPLICATION, detail)


def command_run(action: str, detail: str) -> AuditEvent:
    """Return the event that whoever runs a command of the hub did `action`."""
    return _event(action, detail)


def _event(action: str, detail: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        outcome="success",
        subject=operator(),
        resource_kind="operations",
        resource_id="",
        address="",
        detail=detail,
    )


def operator() -> Subject:
    """Return the account of this machine that runs this process, for the audit trail."""
    launcher = f"{_account()}/{socket.gethostname()}"
    return Subject(SubjectKind.MACHINE, launcher, launcher)


def _account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        return str(os.getuid())
