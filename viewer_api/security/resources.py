"""What a decision is about: a study or a person, with every site where that person is known.

The treatment relation is between a site and a person, so the whole record of somebody known at
a reader's site is open to that reader, wherever the pictures were made, unless the person refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_control.model import NO_REFUSALS, Action, Purpose, Refusals, Resource
from viewer_api.security.access import permitted, refuse, require
from viewer_api.security.remembered import remembered
from viewer_api.security.subjects import current_subject
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hub_kernel.identifiers import PatientIdentifier
    from image_archive.model import StudyRecord
    from patient_index.model import Person


def require_study(
    study_instance_uid: str, action: Action, purpose: Purpose = Purpose.TREATMENT
) -> StudyRecord:
    """Return the study when the current subject may do `action` on it; the access is on record.

    An unknown study and a forbidden one end the request alike: 404, on record.
    """
    known = remembered(("study", study_instance_uid), lambda: _known_study(study_instance_uid))
    if known is None:
        refuse(action, Resource(kind="study", resource_id=study_instance_uid), detail="unknown")
    require(action, _resource(known), purpose)
    return known.study


def study_resource(study: StudyRecord) -> Resource:
    """Return the resource `study`: its own site, where the person is known, what they refuse."""
    return _resource(_known(study))


@dataclass(frozen=True)
class _KnownStudy:
    """A study, every identifier of its person, and what that person refuses."""

    study: StudyRecord
    identifiers: tuple[PatientIdentifier, ...]
    refusals: Refusals


def _known_study(study_instance_uid: str) -> _KnownStudy | None:
    """Return what one moment says of a study, its person and their consent, in one transaction."""
    given = services()
    with given.database.read() as session, given.database.joined(session):
        study = given.index.study(study_instance_uid)
        return None if study is None else _known(study)


def _known(study: StudyRecord) -> _KnownStudy:
    identifiers = identifiers_of_person(study.patient)
    return _KnownStudy(study, identifiers, services().consents.refusals(identifiers))


def _resource(known: _KnownStudy) -> Resource:
    study = known.study
    return Resource(
        kind="study",
        resource_id=study.study_instance_uid,
        site_ids=known_sites(known.identifiers) | {study.site_id},
        origin_site_id=study.site_id,
        refusals=known.refusals,
        identifiers=frozenset({study.patient, *known.identifiers}),
    )


def person_resource(person: Person) -> Resource:
    """Return the resource `person`: where one of their identifiers is issued, what they refuse."""
    return Resource(
        kind="patient",
        resource_id=person.global_id,
        site_ids=known_sites(person.identifiers),
        refusals=services().consents.refusals(person.identifiers),
        identifiers=frozenset(person.identifiers),
    )


def shown_persons(persons: Collection[Person], action: Action = Action.VIEW_RECORD) -> list[Person]:
    """Return those of `persons` whom the current subject may see, in their order.

    Consents cost three queries at most, however many persons.
    """
    refusals = services().consents.refusals_among(
        [person.identifiers[0] for person in persons if person.identifiers]
    )
    return [
        person
        for person in persons
        if permitted(
            action,
            Resource(
                kind="patient",
                resource_id=person.global_id,
                site_ids=known_sites(person.identifiers),
                refusals=refusals.get(person.identifiers[0], NO_REFUSALS),
                identifiers=frozenset(person.identifiers),
            ),
        )
    ]


def withheld_studies(studies: Collection[StudyRecord], action: Action) -> frozenset[str]:
    """Return the UIDs of those `studies` that the person's refusal keeps from the current subject.

    Only whoever refuses something is asked about in full.
    """
    refusing = services().consents.refusals_among({study.patient for study in studies})
    return frozenset(
        study.study_instance_uid
        for study in studies
        if study.patient in refusing and not permitted(action, study_resource(study))
    )


def identifiers_searched() -> frozenset[PatientIdentifier] | None:
    """Return whose studies the current subject's searches see; None is everybody's."""
    bound = current_subject().bound_patient
    return None if bound is None else frozenset({bound, *identifiers_of_person(bound)})


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
