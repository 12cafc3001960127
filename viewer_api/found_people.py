"""Searches for people on record: one record each, which names whom the searcher was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from viewer_api.security import permitted, record_access, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patient_index.model import Person

MOST_NAMED = 50
_NOBODY_IN_PARTICULAR = Resource("patient")


def require_search(
    action: Action = Action.FIND_PATIENT, purpose: Purpose = Purpose.TREATMENT
) -> None:
    """Return when the current subject may search; else the request ends with 404, on record.

    The search itself is put on record by `shown`, which knows what it found.
    """
    if not permitted(action, _NOBODY_IN_PARTICULAR, purpose):
        require(action, _NOBODY_IN_PARTICULAR, purpose)


def shown(people: Sequence[Person], action: Action = Action.FIND_PATIENT) -> None:
    """Put a search on record before it is answered: how many were shown, and their global IDs.

    At most the first 50 are named. Neither what was asked nor anybody's name is recorded.
    """
    named = " ".join(person.global_id for person in people[:MOST_NAMED])
    record_access(
        str(action), "success", _NOBODY_IN_PARTICULAR, detail=f"{len(people)} shown {named}".strip()
    )
