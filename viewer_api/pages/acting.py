"""Who the rest of a request acts as, once a password or a passcode has proved it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import g

if TYPE_CHECKING:
    from access_control.model import Subject


def act_as(subject: Subject) -> None:
    """Decide and record everything that follows in this request as done by `subject`."""
    g.subject = subject
