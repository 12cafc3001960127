"""Whose document is this? Asked of the patient index every time (ITI TF-3 4.2.3.2.16).

Entries keep the identifier they came with; the index says today's person behind it. A merge or its
reversal therefore changes every answer at once and rewrites nothing.

The affinity domain knows people by their global ID, and, where a region's own master index assigns
the IDs that sources and consumers use, by the identifiers of those patient domains too. An
identifier that was merged away names nobody any more: submissions under it are unknown, questions
for it find nothing, and the survivor answers for all (ITI TF-2 3.8.4.2.4, 3.18.4.1.2.3.8).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, TypeVar

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier, parse_cx
from xds_registry.model import DocumentEntry, Folder, SubmissionSet

T = TypeVar("T", DocumentEntry, SubmissionSet, Folder)


class Known(Protocol):
    """What a person is known as today."""

    @property
    def identifiers(self) -> tuple[PatientIdentifier, ...]:
        """Every identifier that is linked to the person."""
        ...

    @property
    def predecessors(self) -> tuple[str, ...]:
        """The global IDs that mean this person too, without the person's own."""
        ...


class PersonLinks(Protocol):
    """What the registry asks of the patient index."""

    def resolve(self, identifier: PatientIdentifier) -> str | None:
        """Return the global ID of the person behind `identifier`, or None."""
        ...

    def known_as(self, global_id: str) -> Known:
        """Return every identifier of that person and every former global ID; none of nobody."""
        ...

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        """Return the identifier that the affinity domain knows this person by."""
        ...

    def successor(self, global_id: str) -> str | None:
        """Return who a global ID means today, itself or a survivor; None if never issued."""
        ...

    def is_merged_away(self, identifier: PatientIdentifier) -> bool:
        """Tell whether its source has merged `identifier` into another one."""
        ...


class LinkedPeople:
    """Translates between identifiers as documents carry them and people as they are linked now.

    Made for one request: each identifier is looked up once, so that all of an answer speaks of the
    same moment and a patient with a thousand documents costs no more than one with two.
    `patient_domains` are the OIDs of the domains whose identifiers are accepted as patientId beside
    the global ID. Whoever is asked for by such an identifier is answered under that same one.
    """

    def __init__(self, links: PersonLinks, patient_domains: frozenset[str] = frozenset()) -> None:
        self._links = links
        self._patient_domains = patient_domains
        self._asked_as: dict[str, str] = {}
        self._named: dict[str, str | None] = {}
        self._person_of: dict[str, str | None] = {}
        self._known: dict[str, Known] = {}
        self._cxs: dict[str, str] = {}

    def global_id_of(self, cx: str) -> str | None:
        """Return the person whom the affinity domain's identifier `cx` names today, or None.

        None too for an identifier of any other domain: the registry speaks of people by what the
        affinity domain calls them.
        """
        try:
            value, oid = parse_cx(cx)
            name = PatientIdentifier(value, AssigningAuthority(oid, oid)).cx
        except InvalidValueError:
            return None
        if self._links.global_identifier(value).issuer.oid == oid:
            return value if self.identifiers_of(value) else None
        person = self._named_by(name)
        if person is not None:
            self._asked_as[person] = name
        return person

    def identifiers_of(self, global_id: str) -> tuple[PatientIdentifier, ...]:
        """Return every identifier of that person; empty when there is no such person."""
        return self._known_as(global_id).identifiers

    def linked_to(self, global_id: str) -> frozenset[str]:
        """Return every identifier, as CX, under which this person's documents may be kept."""
        known = self._known_as(global_id)
        names = (global_id, *known.predecessors)
        return frozenset({*map(self._cx, names), *(one.cx for one in known.identifiers)})

    def current(self, items: Iterable[T]) -> list[T]:
        """Return `items` with the patientId that holds today; unlinked ones keep the submitted."""
        result = []
        for item in items:
            patient_id = self.patient_id_of(item)
            result.append(
                item if patient_id == item.patient_id else replace(item, patient_id=patient_id)
            )
        return result

    def patient_id_of(self, item: DocumentEntry | SubmissionSet | Folder) -> str:
        """Return the identifier that the affinity domain names the person of `item` by today.

        The one the person was asked for by; else the submitted one as long as it is an accepted
        name of that person; else the global ID.
        """
        person = self.person_of(item.linked_identifier)
        if person is None:
            return item.patient_id
        if person in self._asked_as:
            return self._asked_as[person]
        if self._named_by(item.patient_id) == person:
            return item.patient_id
        return self._cx(person)

    def linked_identifier(self, patient_id: str, source_patient_id: str) -> str:
        """Return the identifier whose links decide whose a new document is (`DocumentEntry`).

        The source's own where it is linked to the same person: a later parting of two people then
        takes the document along with the source's records. Else the affinity domain's.
        """
        person = self.global_id_of(patient_id)
        try:
            value, oid = parse_cx(source_patient_id)
            source = PatientIdentifier(value, AssigningAuthority(oid, oid))
        except InvalidValueError:
            return patient_id
        return source.cx if person and self.person_of(source.cx) == person else patient_id

    def person_of(self, linked: str) -> str | None:
        """Return today's global ID of the person behind the CX `linked`, or None."""
        if linked not in self._person_of:
            self._person_of[linked] = self._resolved(linked)
        return self._person_of[linked]

    def _known_as(self, global_id: str) -> Known:
        if global_id not in self._known:
            known = self._known[global_id] = self._links.known_as(global_id)
            # Nobody is asked again whose these are.
            self._person_of.update(dict.fromkeys((one.cx for one in known.identifiers), global_id))
        return self._known[global_id]

    def _resolved(self, linked: str) -> str | None:
        try:
            value, oid = parse_cx(linked)
            local = PatientIdentifier(value, AssigningAuthority(oid, oid))
        except InvalidValueError:
            return None
        if self._links.global_identifier(value).issuer.oid == oid:
            return value if self.identifiers_of(value) else self._links.successor(value)
        return self._links.resolve(local)

    def _named_by(self, cx: str) -> str | None:
        """Return whom an identifier of an accepted patient domain names, if it still names one."""
        if cx not in self._named:
            self._named[cx] = self._in_patient_domain(cx)
        return self._named[cx]

    def _in_patient_domain(self, cx: str) -> str | None:
        try:
            value, oid = parse_cx(cx)
            identifier = PatientIdentifier(value, AssigningAuthority(oid, oid))
        except InvalidValueError:
            return None
        if oid not in self._patient_domains:
            return None
        person = self.person_of(identifier.cx)
        return None if person is None or self._links.is_merged_away(identifier) else person

    def _cx(self, global_id: str) -> str:
        if global_id not in self._cxs:
            self._cxs[global_id] = self._links.global_identifier(global_id).cx
        return self._cxs[global_id]
