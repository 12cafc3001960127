"""Searches for people on record: one record each, which names whom the searcher was shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from image_archive.query import IndexQuery, Level
from viewer_api.security import permitted, record_access, require
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patient_index.model import Person

MOST_NAMED = 50
_MOST_BY_NUMBER = 31
_NUMBER_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{1,63}")
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


def by_accession_number(number: str, site_ids: frozenset[str] | None) -> list[Person]:
    """Return whose examinations of these sites have this accession number; None is every site."""
    if not _NUMBER_LIKE.fullmatch(number):
        return []
    answer = services().index.find(
        IndexQuery(
            level=Level.STUDY,
            matches={"AccessionNumber": number},
            site_ids=site_ids,
            limit=_MOST_BY_NUMBER,
        )
    )
    persons: dict[str, Person] = {}
    for match in answer.matches:
        global_id = services().patients.resolve(match.study.patient) if match.study else None
        person = services().patients.person(global_id) if global_id else None
        if person is not None:
            persons[person.global_id] = person
    return list(persons.values())
