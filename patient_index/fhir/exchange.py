"""What the transactions work with, and how much of a person they may tell."""

from dataclasses import dataclass

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.fhir.exchange import Request
from patient_index.feed import PatientFeed
from patient_index.fhir.access import Access, found
from patient_index.fhir.systems import Systems
from patient_index.lookup import PatientLookup
from patient_index.model import Person


@dataclass(frozen=True)
class Context:
    """What every transaction needs; safe to share between threads."""

    feed: PatientFeed
    lookup: PatientLookup
    database: Database
    systems: Systems
    access: Access
    clock: Clock


def told_of(person: Person, request: Request, context: Context) -> Person:
    """Return a person the caller may find, without the name of a mother the caller may not."""
    if not person.mother_named_by:
        return person
    mother = context.lookup.person(person.mother_named_by)
    if mother is not None and context.access.may_find(request.caller, found(mother)):
        return person
    return person.without_mothers_record()
