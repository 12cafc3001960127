"""Write what is known of a person as a FHIR Patient (PDQm Patient profile)."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.primitives import tidied
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index.fhir.human_names import human_names
from patient_index.fhir.patient_reading import BIRTH_TIME, MOTHERS_MAIDEN_NAME
from patient_index.fhir.systems import identifier_resource
from patient_index.model import Address, Demographics, IdentifierKind, Person
from patient_index.people import usable_identifiers

GENDER_OF_SEX: Mapping[str, str] = {"M": "male", "F": "female", "O": "other", "U": "unknown"}

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_PARTIAL_DATE = re.compile(r"([0-9]{4})([0-9]{2})?")
_BCP_47 = "urn:ietf:bcp:47"


@dataclass(frozen=True)
class PatientWriter:
    """Writes Patient resources; `own` is the authority of global IDs."""

    own: AssigningAuthority

    def patient(self, person: Person, domains: Collection[str] | None = None) -> Resource:
        """Return the person; with `domains` only identifiers of those OIDs (ITI-78 case 2)."""
        said = person.demographics
        patient: Resource = {
            "resourceType": "Patient",
            "id": person.global_id,
            "meta": _meta(person),
            "extension": _extensions(said),
            "identifier": self.identifiers(person, domains),
            "active": True,
            "name": _names(person),
            "telecom": [{"system": "phone", "value": phone} for phone in said.phones],
            "gender": GENDER_OF_SEX.get(person.sex or said.sex),
            **_birth(person),
            **_death(said),
            "address": _address(said.address),
            "maritalStatus": {"text": said.marital_status} if said.marital_status else None,
            **_multiple_birth(said),
            "communication": _communication(said.language),
        }
        tidy: Resource = tidied(patient)
        return tidy

    def replaced(self, global_id: str, survivors: Collection[str]) -> Resource:
        """Return a global ID that is no longer used, with a link to where its holder is now."""
        kind = "replaced-by" if len(survivors) == 1 else "seealso"
        own = identifier_resource(PatientIdentifier(global_id, self.own), use="old")
        return {
            "resourceType": "Patient",
            "id": global_id,
            "identifier": [own],
            "active": False,
            "link": [
                {"other": {"reference": f"Patient/{survivor}"}, "type": kind}
                for survivor in survivors
            ],
        }

    def identifiers(self, person: Person, domains: Collection[str] | None = None) -> list[Resource]:
        """Return the identifiers in use: the global ID, the sites' numbers, the person's cards."""
        kinds = {card.identifier: card.kind for card in person.cards}
        told: dict[PatientIdentifier, tuple[IdentifierKind | None, str]] = {
            PatientIdentifier(person.global_id, self.own): (None, "official")
        }
        for identifier in usable_identifiers(person):
            issued = identifier in person.identifiers
            default = IdentifierKind.LOCAL if issued else IdentifierKind.OTHER
            kind = kinds.get(identifier, default)
            told[identifier] = (kind, "usual" if issued else "secondary")
        return [
            identifier_resource(identifier, kind, use)
            for identifier, (kind, use) in told.items()
            if domains is None or identifier.issuer.oid in domains
        ]


def _meta(person: Person) -> Resource | None:
    updated = person.updated_at
    return {"lastUpdated": updated.isoformat(timespec="milliseconds")} if updated else None


def _extensions(said: Demographics) -> list[Resource]:
    mother = said.mother_name.display if said.mother_name else ""
    return [{"url": MOTHERS_MAIDEN_NAME, "valueString": mother}] if mother.strip() else []


def _names(person: Person) -> list[Resource]:
    others = [name for name in person.demographics.other_names if name.dicom != person.name.dicom]
    written = human_names(person.name, "official")
    return written + [one for name in others for one in human_names(name, "")]


def _birth(person: Person) -> Resource:
    said = person.demographics
    born = person.birth_date or said.birth_date
    if born is None:
        partial = _PARTIAL_DATE.fullmatch(said.birth_date_text)
        return {"birthDate": "-".join(filter(None, partial.groups()))} if partial else {}
    return {"birthDate": born.isoformat(), **_birth_time(born, said)}


def _birth_time(born: date, said: Demographics) -> Resource:
    """A time of birth is written where its zone is known: FHIR has no dateTime without one."""
    if said.birth_time is None or said.birth_date != born or said.birth_time.tzinfo is None:
        return {}
    moment = f"{born.isoformat()}T{said.birth_time.isoformat(timespec='seconds')}"
    return {"_birthDate": {"extension": [{"url": BIRTH_TIME, "valueDateTime": moment}]}}


def _death(said: Demographics) -> Resource:
    if said.deceased_at is not None:
        return {"deceasedDateTime": said.deceased_at.isoformat(timespec="seconds")}
    return {} if said.deceased is None else {"deceasedBoolean": said.deceased}


def _multiple_birth(said: Demographics) -> Resource:
    if said.birth_order is not None:
        return {"multipleBirthInteger": said.birth_order}
    return {} if said.multiple_birth is None else {"multipleBirthBoolean": said.multiple_birth}


def _address(said: Address) -> list[Resource]:
    parts = {
        "text": said.text,
        "line": [said.street] if said.street else [],
        "city": said.city,
        "state": said.province,
        "postalCode": said.postal_code,
    }
    kept = {key: value for key, value in parts.items() if value}
    return [{"use": "home", **kept}] if kept else []


def _communication(language: str) -> list[Resource]:
    if not language:
        return []
    known = _LANGUAGE.fullmatch(language)
    concept = {"coding": [{"system": _BCP_47, "code": language}]} if known else {"text": language}
    return [{"language": concept, "preferred": True}]
