"""Whose documents these are: references to Patients, and the patient as the source described them.

MHD 2:3.65.4.1.2.2 and ITI TF-3 4.2.3.2.16, 4.2.3.2.22, 4.2.3.2.23. A Patient of this endpoint has
the global ID for its id.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from hub_kernel.errors import InvalidValueError
from hub_kernel.fhir.outcome import Resource
from hub_kernel.identifiers import parse_cx
from xds_registry.linked_people import LinkedPeople
from xds_registry.mhd.codes import cx_identifier, cx_of
from xds_registry.mhd.times import date_time, dtm_of

SOURCE_PATIENT_INFO = "urn:eirhub:fhir:source-patient-info"
"""Extension: one field `PID-n|…` of sourcePatientInfo that FHIR has no element for, as it came."""

_LOGICAL = re.compile(r"(?:(?P<base>https?://\S+)/)?Patient/(?P<id>[A-Za-z0-9\-.]{1,64})")
_SEX: Mapping[str, str] = {"M": "male", "F": "female", "O": "other", "U": "unknown"}
_GENDER = {gender: sex for sex, gender in _SEX.items()}
_PLAIN = str.maketrans(dict.fromkeys("|^~\\&\r\n", " "))
_PARTS = ("street", "", "city", "state", "postalCode", "country")


def subject_of(people: LinkedPeople, linked: str, patient_id: str) -> Resource:
    """Return the Reference to the person behind `linked`, whom the domain names `patient_id`."""
    subject: Resource = {}
    person = people.person_of(linked)
    if person is not None:
        subject["reference"] = f"Patient/{person}"
    with suppress(InvalidValueError):  # then the literal reference stands alone
        subject["identifier"] = cx_identifier(*parse_cx(patient_id))
    return {**subject, "type": "Patient"}


def logical_id(reference: str, base: str) -> str:
    """Return the id of a Patient of this endpoint that a reference names, else an empty text."""
    found = _LOGICAL.fullmatch(reference)
    if found is None or found["base"] not in {None, base}:
        return ""
    return found["id"]


def person_of_identifier(people: LinkedPeople, identifier: Resource) -> str | None:
    """Return the global ID of whoever has this identifier, in whatever domain, or None."""
    cx = cx_of(identifier)
    return (people.global_id_of(cx) or people.person_of(cx)) if cx else None


def source_patient(source_patient_id: str, info: Sequence[str]) -> Resource | None:
    """Return the patient as the source described them, None where nothing is said."""
    patient: Resource = {"resourceType": "Patient"}
    left: list[str] = []
    for field in info:
        name, _, text = field.partition("|")
        write = _WRITERS.get(name)
        before = dict(patient)
        if write is None or name in {one.partition("|")[0] for one in left}:
            left.append(field)
            continue
        write(patient, text)
        if list(_fields(patient, name)) != [*_fields(before, name), text]:
            patient = before
            left.append(field)
    if left:
        patient["extension"] = [{"url": SOURCE_PATIENT_INFO, "valueString": one} for one in left]
    if source_patient_id:
        _first_identifier(patient, source_patient_id)
    return patient if len(patient) > 1 else None


def source_patient_id_of(patient: Resource | None) -> str:
    """Return the CX of the first identifier of a Patient that has one."""
    cxs = map(cx_of, (patient or {}).get("identifier", ()))
    return next(filter(None, cxs), "")


def source_patient_info_of(patient: Resource | None) -> tuple[str, ...]:
    """Return sourcePatientInfo: the fields of PID that a Patient says something about."""
    if patient is None:
        return ()
    kept = [
        one.get("valueString", "")
        for one in patient.get("extension", ())
        if one.get("url") == SOURCE_PATIENT_INFO
    ]
    known = [f"{name}|{text}" for name in _WRITERS for text in _fields(patient, name)]
    return tuple(filter(None, [*known, *kept]))


def _fields(patient: Resource, name: str) -> Iterator[str]:
    yield from filter(None, _READERS[name](patient))


def _first_identifier(patient: Resource, cx: str) -> None:
    """Put the source's own number first; use `official` keeps it out of sourcePatientInfo."""
    identifiers = patient.get("identifier", ())
    if identifiers and cx_of(identifiers[0]) == cx:
        return
    with suppress(InvalidValueError):
        patient["identifier"] = [cx_identifier(*parse_cx(cx), "official"), *identifiers]


def _write_number(patient: Resource, text: str) -> None:
    identifiers = []
    for cx in text.split("~"):
        try:
            identifiers.append(cx_identifier(*parse_cx(cx), "usual"))
        except InvalidValueError:
            return
    patient["identifier"] = [*patient.get("identifier", ()), *identifiers]


def _read_numbers(patient: Resource) -> Iterator[str]:
    """Numbers of use `official` are sourcePatientId alone."""
    identifiers = patient.get("identifier", ())
    cxs = [cx_of(one) for one in identifiers if one.get("use") != "official"]
    yield "~".join(filter(None, cxs))


def _write_name(patient: Resource, text: str) -> None:
    family, given, second, suffix, prefix = (*text.split("^"), "", "", "", "", "")[:5]
    parts = {
        "family": family,
        "given": [one for one in (given, second) if one],
        "prefix": [prefix] if prefix else [],
        "suffix": [suffix] if suffix else [],
    }
    said = {name: value for name, value in parts.items() if value}
    if said:
        patient["name"] = [*patient.get("name", ()), said]


def _read_names(patient: Resource) -> Iterator[str]:
    for name in patient.get("name", ()):
        given = [_plain(one) for one in name.get("given", ()) if one]
        parts = (
            _plain(name.get("family", "")) or ("" if given else _plain(name.get("text", ""))),
            given[0] if given else "",
            " ".join(given[1:]),
            _plain(" ".join(name.get("suffix", ()))),
            _plain(" ".join(name.get("prefix", ()))),
        )
        yield "^".join(parts).rstrip("^")


def _write_birth_date(patient: Resource, text: str) -> None:
    written = date_time(text) if text.isdigit() and len(text) in {4, 6, 8} else ""
    if written:
        patient["birthDate"] = written


def _read_birth_date(patient: Resource) -> Iterator[str]:
    try:
        yield dtm_of(patient["birthDate"]) if patient.get("birthDate") else ""
    except ValueError:
        return


def _write_sex(patient: Resource, text: str) -> None:
    if text in _SEX:
        patient["gender"] = _SEX[text]


def _read_sex(patient: Resource) -> Iterator[str]:
    yield _GENDER.get(patient.get("gender", ""), "")


def _write_address(patient: Resource, text: str) -> None:
    said: Resource = {}
    for name, value in zip(_PARTS, text.split("^"), strict=False):
        if name and value:
            said.update({"line": [value]} if name == "street" else {name: value})
    if said:
        patient["address"] = [*patient.get("address", ()), said]


def _read_addresses(patient: Resource) -> Iterator[str]:
    for address in patient.get("address", ()):
        line = " ".join(address.get("line", ())) or address.get("text", "")
        values = {**address, "street": line, "city": address.get("city", "")}
        yield "^".join(_plain(str(values.get(name, ""))) if name else "" for name in _PARTS).rstrip(
            "^"
        )


_WRITERS: Mapping[str, Callable[[Resource, str], None]] = {
    "PID-3": _write_number,
    "PID-5": _write_name,
    "PID-7": _write_birth_date,
    "PID-8": _write_sex,
    "PID-11": _write_address,
}
_READERS: Mapping[str, Callable[[Resource], Iterator[str]]] = {
    "PID-3": _read_numbers,
    "PID-5": _read_names,
    "PID-7": _read_birth_date,
    "PID-8": _read_sex,
    "PID-11": _read_addresses,
}


def _plain(text: str) -> str:
    return text.translate(_PLAIN).strip()
