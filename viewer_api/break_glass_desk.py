"""Break-glass at the web: finding the one person meant, opening, ending, reviewing, on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from access_control.atna_codes import BREAK_GLASS, END_BREAK_GLASS
from access_control.break_glass import Emergency, Review
from access_control.model import Action, Purpose, Resource
from patient_index.text_keys import folded
from viewer_api.found_people import by_accession_number
from viewer_api.security import (
    current_subject,
    permitted,
    record_access,
    refuse,
    require,
    shown_persons,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from sqlalchemy.orm import Session

    from access_control.break_glass import BrokenGlass, Verdict
    from patient_index.model import Person

_ANYBODY = Resource("patient")
_QUEUE = Resource("audit", "break-glass")
_MOST_NAMESAKES = 200


def may_open() -> bool:
    """Say whether the subject may open records in emergencies; nothing is recorded."""
    return permitted(Action.BREAK_GLASS, _ANYBODY, Purpose.BREAK_GLASS)


def require_reader() -> None:
    """Return when the subject may open records in emergencies; else the request ends with 404."""
    if not may_open():
        refuse(Action.BREAK_GLASS, _ANYBODY, detail="no-right")


def require_reviewer() -> None:
    """Return when the subject reviews emergencies; else the request ends with 404, on record."""
    require(Action.REVIEW_BREAK_GLASS, _QUEUE, Purpose.AUDIT)


def waiting_count() -> int:
    """Return how many emergencies wait for the subject's review; 0 for who reviews none."""
    if not permitted(Action.REVIEW_BREAK_GLASS, _QUEUE, Purpose.AUDIT):
        return 0
    return services().break_glass.waiting_count()


def meant(asked: str, born: date | None) -> list[Person]:
    """Return whom exactly this number names, or this whole name with this birth date.

    A number is any that a site, a card or the hub has given, or that of an examination. Nobody is
    found by part of a name or a number, nor by a name alone.
    """
    patients = services().patients
    people = patients.numbered(asked, limit=_MOST_NAMESAKES) or by_accession_number(asked, None)
    if born and not people:
        named = patients.search(asked, issuers=None, limit=_MOST_NAMESAKES)
        people = [one for one in named if folded(asked) in _names(one)]
    return [one for one in people if born in {None, one.birth_date}]


def is_open_anyway(person: Person) -> bool:
    """Say whether the current subject sees the person's record already, glass or not."""
    return bool(shown_persons([person]))


def open_record(person: Person, reason: str) -> BrokenGlass:
    """Open the person's record to the current subject for an hour.

    Raises:
        InvalidBreakGlassError: no reason that can be written down.
        TooManyOpenError: the subject must end another one first.
    """
    address = request.remote_addr or ""
    emergency = Emergency(current_subject(), person.global_id, reason, address)
    return services().break_glass.open(emergency, _on_record(BREAK_GLASS))


def record_refusal(why: str, person: Person | None = None) -> None:
    """Put on record that nothing was opened, and why."""
    resource = Resource("patient", person.global_id) if person else _ANYBODY
    record_access(BREAK_GLASS, "refused", resource, detail=why)


def open_now() -> tuple[BrokenGlass, ...]:
    """Return what the current subject has open, the latest first."""
    return services().break_glass.open_of(current_subject().subject_id)


def end(glass_id: int) -> None:
    """End an emergency of the current subject.

    Raises:
        NotFoundError: they have none of this number in force.
    """
    user_id = current_subject().subject_id
    services().break_glass.close(glass_id, user_id, _on_record(END_BREAK_GLASS))


def review(glass_id: int, verdict: Verdict, note: str) -> None:
    """Write down what the current subject finds of an emergency.

    Raises:
        NotFoundError: none of this number waits.
        InvalidBreakGlassError: no note, or it is the subject's own.
    """
    found = Review(glass_id, current_subject().subject_id, verdict, note)
    services().break_glass.review(found, _on_record(Action.REVIEW_BREAK_GLASS.value))


def _on_record(action: str) -> Callable[[Session, BrokenGlass], None]:
    def on_record(session: Session, glass: BrokenGlass) -> None:
        said = f" {glass.verdict}" if glass.verdict else f" until {glass.ends_at:%H:%M}Z"
        record_access(
            action,
            "success",
            Resource("patient", glass.global_id),
            detail=f"emergency {glass.glass_id}{said}",
            session=session,
        )

    return on_record


def _names(person: Person) -> set[str]:
    name = person.name
    said = (name.display, name.ideographic, name.alphabetic, name.phonetic)
    return {folded(one) for one in said if one}
