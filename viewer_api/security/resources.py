"""What a decision is about: a study or a person, with every site where that person is known.

The treatment relation is between a site and a person, so the whole record of somebody known at
a reader's site is open to that reader, wherever the pictures were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from viewer_api.security.access import refuse, require
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub_kernel.identifiers import PatientIdentifier
    from image_archive.model import StudyRecord
    from patient_index.model import Person


def require_study(
    study_instance_uid: str, action: Action, purpose: Purpose = Purpose.TREATMENT
) -> StudyRecord:
    """Return the study when the current subject may do `action` on it; the access is on record.

    An unknown study and a forbidden one end the request alike: 404, on record.
    """
    study = services().index.study(study_instance_uid)
    if study is None:
        refuse(action, Resource(kind="study", resource_id=study_instance_uid), detail="unknown")
    require(action, study_resource(study), purpose)
    return study


def study_resource(study: StudyRecord) -> Resource:
    """Return the resource `study` with its own site and those where the person is known."""
    return Resource(
        kind="study",
        resource_id=study.study_instance_uid,
        site_ids=known_sites(identifiers_of_person(study.patient)) | {study.site_id},
        origin_site_id=study.site_id,
    )


def person_resource(person: Person) -> Resource:
    """Return the resource `person` with the sites where one of their identifiers is issued."""
    return Resource(
        kind="patient", resource_id=person.global_id, site_ids=known_sites(person.identifiers)
    )


def known_sites(identifiers: Iterable[PatientIdentifier]) -> frozenset[str]:
    """Return the sites whose assigning authority issued one of `identifiers`."""
    namespaces = {identifier.issuer for identifier in identifiers}
    return frozenset(
        site.site_id for site in services().sites.all() if site.assigning_authority in namespaces
    )


def identifiers_of_person(identifier: PatientIdentifier) -> tuple[PatientIdentifier, ...]:
    """Return every identifier of the person `identifier` names; at least `identifier` itself."""
    patients = services().patients
    global_id = patients.resolve(identifier)
    known = patients.identifiers_of(global_id) if global_id is not None else ()
    return known or (identifier,)
