"""Read a FHIR Patient as a statement about a person (PIXm Patient profile, FHIR R4 patient.html).

What the hub does not keep (photo, contacts, e-mail, practitioners) is let go; what would change the
meaning of the rest (modifier extensions, implicit rules) is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from hub_kernel.fhir.validation import require_valid
from hub_kernel.person_names import PersonName
from patient_index.errors import UnknownDomainError
from patient_index.fhir.human_names import current_name, name_from_text, other_names
from patient_index.fhir.systems import Systems, is_value, kind_of
from patient_index.model import (
    Address,
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)

MOTHERS_MAIDEN_NAME = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"

SEX_OF_GENDER: Mapping[str, str] = {"male": "M", "female": "F", "other": "O", "unknown": "U"}

_PHONE_SYSTEMS = frozenset({"phone", "sms", ""})
_PROVISIONAL_USES = frozenset({"temp", "anonymous"})
_MOST = {"identifier": 32, "name": 32, "telecom": 32, "address": 32}

# Fields of a statement → elements of Patient, longest first.
PLACES: tuple[tuple[str, str], ...] = (
    ("identifiers", "Patient.identifier"),
    ("demographics.name", "Patient.name"),
    ("demographics.other_names", "Patient.name"),
    ("demographics.birth_time", "Patient.birthDate.extension"),
    ("demographics.birth_date", "Patient.birthDate"),
    ("demographics.birth_order", "Patient.multipleBirth"),
    ("demographics.sex", "Patient.gender"),
    ("demographics.address", "Patient.address"),
    ("demographics.phones", "Patient.telecom"),
    ("demographics.mother_name", f"Patient.extension('{MOTHERS_MAIDEN_NAME}')"),
    ("demographics.multiple_birth", "Patient.multipleBirth"),
    ("demographics.deceased", "Patient.deceased"),
    ("demographics.language", "Patient.communication"),
    ("demographics.marital_status", "Patient.maritalStatus"),
    ("source", "http.Authorization"),
)


@dataclass(frozen=True)
class PatientReader:
    """Reads Patient resources; `base` is the address of this endpoint."""

    systems: Systems
    base: str

    def check(self, resource: Any) -> Resource:
        """Return `resource` as a Patient that may be read on.

        Raises:
            FhirRefusedError: 400, it is no valid R4 Patient, or uses what changes its meaning.
        """
        require_valid(resource, "Patient")
        _refuse_changed_meaning(resource)
        for element, most in _MOST.items():
            if len(resource.get(element, ())) > most:
                raise FhirRefusedError(
                    400,
                    Issue(
                        "too-costly",
                        "too-many",
                        f"at most {most}",
                        f"最多 {most} 个",
                        f"Patient.{element}",
                    ),
                )
        patient: Resource = resource
        return patient

    def statement(
        self, patient: Resource, identifiers: Sequence[TypedIdentifier], source: str
    ) -> PatientStatement:
        """Return what a checked Patient says, under these identifiers, the source's own first."""
        return PatientStatement(
            identifiers=tuple(identifiers),
            demographics=demographics(patient),
            source=source,
            provisional=_is_provisional(patient, identifiers),
        )

    def identifiers(self, patient: Resource, *, strict: bool) -> tuple[TypedIdentifier, ...]:
        """Return the identifiers of a checked Patient; those in disuse are left out.

        Where `strict` is false, identifiers of unknown systems are left out as well: a question may
        name numbers that nobody here has ever issued.

        Raises:
            FhirRefusedError: 400, one has no system or no usable value, or its system is unknown.
        """
        read = (
            self._identifier(one, f"Patient.identifier[{place}]", strict=strict)
            for place, one in enumerate(patient.get("identifier", ()))
            if one.get("use") != "old"
        )
        return tuple(dict.fromkeys(one for one in read if one is not None))

    def _identifier(self, said: Resource, place: str, *, strict: bool) -> TypedIdentifier | None:
        system, value = said.get("system", ""), said.get("value", "")
        if not system or not is_value(value):
            if not strict:
                return None
            raise FhirRefusedError(
                400,
                Issue(
                    "required",
                    "identifier-incomplete",
                    "system and value are needed",
                    "标识需要 system 和 value",
                    place,
                    "system, and a value of 1 to 64 printable characters",
                ),
            )
        try:
            identifier = self.systems.identifier(system, value, self.base)
        except UnknownDomainError as error:
            if not strict:
                return None
            raise unknown_system(f"{place}.system", system) from error
        kind = kind_of(said, identifier.issuer.oid)
        return TypedIdentifier(identifier, kind or IdentifierKind.LOCAL)


def unknown_system(place: str, system: str, status: int = 400) -> FhirRefusedError:
    """Return the refusal of an identifier system that the region does not know."""
    return FhirRefusedError(
        status,
        Issue(
            "code-invalid",
            "unknown-system",
            "the identifier system is not known here",
            "标识的 system 未登记",
            where=place,
            came=shown(system),
            allowed="urn:oid: and the OID of an assigning authority of this region",
        ),
    )


def demographics(patient: Resource) -> Demographics:
    """Return what a checked Patient says about the person."""
    born, born_text = _birth_date(patient.get("birthDate", ""))
    birth_order = patient.get("multipleBirthInteger")
    names = patient.get("name", [])
    return Demographics(
        name=current_name(names),
        other_names=other_names(names),
        birth_date=born,
        birth_time=_birth_time(patient),
        birth_date_text=born_text,
        sex=SEX_OF_GENDER.get(patient.get("gender", ""), ""),
        address=_address(patient.get("address", [])),
        phones=_phones(patient.get("telecom", [])),
        mother_name=_mother_name(patient),
        multiple_birth=patient.get("multipleBirthBoolean", True if birth_order else None),
        birth_order=birth_order,
        deceased=patient.get("deceasedBoolean", True if "deceasedDateTime" in patient else None),
        deceased_at=_moment(patient.get("deceasedDateTime", "")),
        language=_language(patient.get("communication", [])),
        marital_status=_code(patient.get("maritalStatus", {})),
    )


def _refuse_changed_meaning(patient: Resource) -> None:
    """PDQm Patient: `modifierExtension` and `implicitRules` are 0..0."""
    for element in ("modifierExtension", "implicitRules"):
        if element in patient:
            raise FhirRefusedError(
                400,
                Issue(
                    "extension",
                    "changed-meaning",
                    "this element is not understood here",
                    "不支持会改变含义的元素",
                    f"Patient.{element}",
                ),
            )


def _is_provisional(patient: Resource, identifiers: Sequence[TypedIdentifier]) -> bool:
    uses = {name.get("use", "") for name in patient.get("name", ())}
    temporary = bool(identifiers) and identifiers[0].kind is IdentifierKind.TEMPORARY
    return temporary or (bool(uses) and uses <= _PROVISIONAL_USES)


def _birth_date(text: str) -> tuple[date | None, str]:
    return (date.fromisoformat(text), "") if len(text) == 10 else (None, text.replace("-", ""))


def _birth_time(patient: Resource) -> time | None:
    for extension in patient.get("_birthDate", {}).get("extension", ()):
        text = extension.get("valueDateTime", "")
        if extension.get("url") == BIRTH_TIME and "T" in text:
            return datetime.fromisoformat(text).timetz()
    return None


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if "T" in text else None


def _address(addresses: Sequence[Resource]) -> Address:
    """The first address in use; its district stands before the street, as it is written."""
    used = [one for one in addresses if one.get("use") != "old"]
    if not used:
        return Address()
    said = sorted(used, key=lambda one: one.get("use", "home") != "home")[0]
    lines = [said.get("district", ""), *(line for line in said.get("line", ()) if line)]
    return Address(
        street=" ".join(filter(None, lines)),
        city=said.get("city", ""),
        province=said.get("state", ""),
        postal_code=said.get("postalCode", ""),
        text=said.get("text", ""),
    )


def _phones(contacts: Sequence[Resource]) -> tuple[str, ...]:
    used = (one for one in contacts if one.get("use") != "old")
    phones = (one.get("value", "") for one in used if one.get("system", "") in _PHONE_SYSTEMS)
    return tuple(dict.fromkeys(filter(None, phones)))


def _mother_name(patient: Resource) -> PersonName | None:
    for extension in patient.get("extension", ()):
        if extension.get("url") == MOTHERS_MAIDEN_NAME and extension.get("valueString"):
            return name_from_text(extension["valueString"])
    return None


def _language(communication: Sequence[Resource]) -> str:
    preferred = sorted(communication, key=lambda one: not one.get("preferred", False))
    return _code(preferred[0].get("language", {})) if preferred else ""


def _code(concept: Resource) -> str:
    codes = [one.get("code", "") for one in concept.get("coding", ())]
    return next(filter(None, codes), "") or str(concept.get("text", ""))
