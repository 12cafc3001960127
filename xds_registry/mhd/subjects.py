"""The patients of a submission, and what the registry holds already, as the sender may know it."""

from sqlalchemy.orm import Session

from hub_kernel.fhir.outcome import Resource
from xds_registry import store
from xds_registry.linked_people import PersonLinks
from xds_registry.mhd.codes import cx_of
from xds_registry.mhd.context import View
from xds_registry.mhd.patients import logical_id
from xds_registry.mhd.references import Resolver
from xds_registry.model import AssociationType, AvailabilityStatus
from xds_registry.store_reading import End, Wanted, associations_at

_APPROVED = frozenset({AvailabilityStatus.APPROVED})


class Subjects:
    """Says by what identifier the affinity domain knows the subject of what is sent."""

    def __init__(self, view: View, links: PersonLinks, base: str) -> None:
        self._people = view.people
        self._links = links
        self._base = base

    def __call__(self, subject: Resource, resolve: Resolver) -> str:
        """Return the patientId (CX) of a subject; empty where nothing names one.

        A patient of this endpoint is meant by its id. Else the first of the identifiers counts that
        names somebody here: as it stands where the affinity domain accepts it, else by the global
        ID. One that names nobody stays, for the registry to refuse.
        """
        reference = subject.get("reference", "")
        identity = logical_id(reference, self._base)
        if identity:
            return self._links.global_identifier(identity).cx
        sent = resolve(reference) or {}
        named = [subject["identifier"]] if "identifier" in subject else []
        numbers = list(filter(None, map(cx_of, [*named, *sent.get("identifier", ())])))
        for cx in numbers:
            if self._people.global_id_of(cx) is not None:
                return cx
        for cx in numbers:
            person = self._people.person_of(cx)
            if person is not None:
                return self._links.global_identifier(person).cx
        return numbers[0] if numbers else ""

    def person_of(self, patient_id: str) -> str | None:
        """Return the global ID of whom a patientId names."""
        return self._people.global_id_of(patient_id)


class Held:
    """What the registry holds, of the people whom the sender may submit for."""

    def __init__(self, session: Session, view: View) -> None:
        self._session = session
        self._gate = view.gate

    def uuid_of(self, unique_id: str) -> str:
        """Return the entryUUID of the current document with a uniqueId, or an empty text."""
        for entry in store.documents_by_unique_id(self._session, [unique_id]):
            if entry.status == AvailabilityStatus.APPROVED and self._gate.sees(entry):
                return entry.entry_uuid
        return ""

    def members_of(self, folder_uuid: str) -> frozenset[str]:
        """Return the entryUUIDs of the documents in a folder."""
        wanted = Wanted({AssociationType.HAS_MEMBER}, _APPROVED)
        found = associations_at(self._session, [folder_uuid], wanted, [End.SOURCE])
        return frozenset(one.target for one in found)
