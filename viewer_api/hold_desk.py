"""What the pages of legal holds share: placing one and lifting it, on record in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.legal_holds import HoldRequest
from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import InvalidValueError, NotFoundError
from viewer_api import identity_desk
from viewer_api.security import current_subject, record_access, require
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from access_control.legal_holds import LegalHold
    from image_archive.model import StudyRecord
    from patient_index.model import Person


def require_desk() -> None:
    """Return when the subject may hold records at all; else the request ends with 404."""
    subject = current_subject()
    everywhere = Resource("patient", site_ids=subject.sites or frozenset())
    require(Action.HOLD_RECORD, everywhere, Purpose.OPERATIONS)


def require_person(global_id: str) -> Person:
    """Return the person whose record the subject may hold; else the request ends with 404."""
    return identity_desk.require_person(global_id, Action.HOLD_RECORD)


def studies_of(person: Person) -> list[StudyRecord]:
    """Return the person's studies, the latest first."""
    studies = services().index.studies_of(person.identifiers)
    return sorted(
        studies, key=lambda one: (str(one.study_date or ""), one.study_time), reverse=True
    )


def holds_of(person: Person) -> tuple[LegalHold, ...]:
    """Return every hold that was ever placed on the person or on a study of theirs."""
    return services().holds.of_person(person.global_id)


def in_force() -> list[tuple[LegalHold, Person | None]]:
    """Return the holds the subject may see, each with whom it is about today, the latest first."""
    holds, patients = services().holds.in_force(), services().patients
    today = {one.global_id: patients.successor(one.global_id) or "" for one in holds}
    people = {one.global_id: one for one in patients.persons(sorted(set(today.values())))}
    found = [(one, people.get(today[one.global_id])) for one in holds]
    everything = current_subject().sites is None
    return [
        (one, person)
        for one, person in found
        if everything or (person and identity_desk.may_see(person, Action.HOLD_RECORD))
    ]


def place(person: Person, study_instance_uid: str, reason: str) -> LegalHold:
    """Hold one of the person's studies, or all of the person where none is named.

    Raises:
        InvalidHoldError: no reason.
        InvalidValueError: the study is not one of theirs.
    """
    known = {one.study_instance_uid for one in studies_of(person)}
    if study_instance_uid and study_instance_uid not in known:
        raise InvalidValueError("study: not one of this person")
    request = HoldRequest(
        person.global_id, current_subject().subject_id, reason, study_instance_uid
    )
    return services().holds.place(request, _on_record(person, "placed"))


def lift(person: Person, hold_id: int, reason: str) -> LegalHold:
    """End one of the person's holds.

    Raises:
        NotFoundError: no hold of the person with that number is in force.
        InvalidHoldError: no reason.
    """
    if hold_id not in {one.hold_id for one in services().holds.of_person(person.global_id)}:
        raise NotFoundError("no hold of this person has that number")
    by = current_subject().subject_id
    return services().holds.lift(hold_id, by, reason, _on_record(person, "lifted"))


def _on_record(person: Person, what: str) -> Callable[[Session, LegalHold], None]:
    def on_record(session: Session, hold: LegalHold) -> None:
        about = f" study {hold.study_instance_uid}" if hold.study_instance_uid else ""
        record_access(
            str(Action.HOLD_RECORD),
            "success",
            Resource("patient", person.global_id),
            detail=f"hold {hold.hold_id} {what}{about}",
            session=session,
        )

    return on_record
