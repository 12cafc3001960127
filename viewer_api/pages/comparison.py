"""Which earlier or later studies of the same person a study can be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import request

from access_control.model import Resource
from viewer_api.pages.people import SiteBook
from viewer_api.pages.vocabulary import WITHOUT_PICTURES
from viewer_api.security import refuse, require_study, withheld_studies
from viewer_api.services import services

if TYPE_CHECKING:
    from access_control.model import Action
    from image_archive.model import StudyRecord
    from patient_index.model import Person

_MOST_OFFERED = 40


@dataclass(frozen=True)
class Candidate:
    """One study that can stand beside the page's own."""

    study: StudyRecord
    site: str
    chosen: bool


def prior_of(study: StudyRecord, action: Action) -> StudyRecord | None:
    """Return the study that the address asks to stand beside `study`, None when it asks for none.

    It is answered like one that does not exist when it is of another person: two people side by
    side under one name would be a trap.
    """
    asked = request.args.get("prior", "")
    if not asked or asked == study.study_instance_uid:
        return None
    prior = require_study(asked, action)
    if _person_of(prior) != _person_of(study):
        refuse(action, Resource("study", prior.study_instance_uid), detail="another person")
    return prior


def candidates(
    study: StudyRecord, person: Person | None, action: Action, book: SiteBook
) -> tuple[Candidate, ...]:
    """Return the other studies of the person, most alike first, then the latest."""
    if person is None:
        return ()
    others = [
        one
        for one in services().index.studies_of(person.identifiers)
        if one.study_instance_uid != study.study_instance_uid
        and not set(one.modalities) <= WITHOUT_PICTURES
    ]
    withheld = withheld_studies(others, action)
    asked = request.args.get("prior", "")
    seen = [one for one in others if one.study_instance_uid not in withheld]
    seen.sort(key=lambda one: _likeness(study, one), reverse=True)
    return tuple(
        Candidate(one, book.name(one.site_id), chosen=one.study_instance_uid == asked)
        for one in seen[:_MOST_OFFERED]
    )


def _likeness(study: StudyRecord, other: StudyRecord) -> tuple[int, str, str]:
    same_kind = bool(set(study.modalities) & set(other.modalities))
    same_part = bool(set(study.body_parts) & set(other.body_parts))
    day = other.study_date.isoformat() if other.study_date else ""
    return 2 * same_kind + same_part, day, other.study_time


def _person_of(study: StudyRecord) -> str:
    return services().patients.resolve(study.patient) or study.patient.cx
