"""Whose document is this? Asked of the patient index every time (ITI TF-3 4.2.3.2.16).

Entries keep the identifier they came with; the index says today's person behind it. A merge or its
reversal therefore changes every answer at once and rewrites nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, TypeVar

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier, parse_cx
from xds_registry.model import DocumentEntry, SubmissionSet

T = TypeVar("T", DocumentEntry, SubmissionSet)


class PersonLinks(Protocol):
    """What the registry asks of the patient index."""

    def resolve(self, identifier: PatientIdentifier) -> str | None:
        """Return the global ID of the person behind `identifier`, or None."""
        ...

    def identifiers_of(self, global_id: str) -> tuple[PatientIdentifier, ...]:
        """Return every identifier of that person; empty when there is no such person."""
        ...

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        """Return the identifier that the affinity domain knows this person by."""
        ...


class LinkedPeople:
    """Translates between identifiers as documents carry them and people as they are linked now.

    Made for one request: each identifier is looked up once, so that all of an answer speaks of the
    same moment and a patient with a thousand documents costs no more than one with two.
    """

    def __init__(self, links: PersonLinks) -> None:
        self._links = links
        self._person_of: dict[str, str | None] = {}
        self._identifiers: dict[str, tuple[PatientIdentifier, ...]] = {}

    def global_id_of(self, cx: str) -> str | None:
        """Return the person whom the affinity domain's identifier `cx` names today, or None.

        None too for a local identifier: the registry speaks of people by their global ID alone.
        """
        try:
            value, oid = parse_cx(cx)
        except InvalidValueError:
            return None
        identifier = self._links.global_identifier(value)
        if identifier.issuer.oid != oid or not self._identifiers_of(value):
            return None
        return value

    def linked_to(self, global_id: str) -> frozenset[str]:
        """Return every identifier, as CX, under which this person's documents may be kept."""
        own = self._cx(global_id)
        return frozenset({own, *(one.cx for one in self._identifiers_of(global_id))})

    def current(self, items: Iterable[T]) -> list[T]:
        """Return `items` with the patientId that holds today; unlinked ones keep the submitted."""
        result = []
        for item in items:
            person = self.person_of(item.linked_identifier)
            patient_id = self._cx(person) if person else item.patient_id
            result.append(
                item if patient_id == item.patient_id else replace(item, patient_id=patient_id)
            )
        return result

    def person_of(self, linked: str) -> str | None:
        """Return today's global ID of the person behind the CX `linked`, or None."""
        if linked not in self._person_of:
            self._person_of[linked] = self._resolved(linked)
        return self._person_of[linked]

    def _resolved(self, linked: str) -> str | None:
        try:
            value, oid = parse_cx(linked)
            local = PatientIdentifier(value, AssigningAuthority(oid, oid))
        except InvalidValueError:
            return None
        return self.global_id_of(linked) or self._links.resolve(local)

    def _identifiers_of(self, global_id: str) -> tuple[PatientIdentifier, ...]:
        if global_id not in self._identifiers:
            self._identifiers[global_id] = self._links.identifiers_of(global_id)
        return self._identifiers[global_id]

    def _cx(self, global_id: str) -> str:
        return self._links.global_identifier(global_id).cx
