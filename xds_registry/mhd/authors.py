"""Who made, signed or gets documents: XCN, XON and XTN as contained FHIR resources.

ITI TF-3 4.2.3.1.7, 4.2.3.2.1. A value whose parts FHIR has elements for is written in them; one
that would not come back as it was is kept whole in an extension of the hub beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub_kernel.fhir.outcome import Resource
from xds_registry.mhd.codes import OID_PREFIX, is_oid
from xds_registry.model import Author

AUTHOR_ORGANIZATION = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg"
AS_SUBMITTED = "urn:eirhub:fhir:as-submitted"
"""Extension: the value of an XDS attribute as it was submitted."""

_NAME_PARTS = 6
_SEPARATORS = str.maketrans(dict.fromkeys("^&|~\r\n", " "))
Resolve = Callable[[str], Resource | None]
"""Returns what a reference leads to, None where that is not known."""


@dataclass
class Contained:
    """Resources that a resource contains; `add` names them in order."""

    resources: list[Resource] = field(default_factory=list)

    def add(self, resource: Resource) -> Resource:
        """Contain a resource; return a Reference to it."""
        identity = f"c{len(self.resources) + 1}"
        kind, rest = resource["resourceType"], resource
        self.resources.append({"resourceType": kind, "id": identity, **rest})
        return {"reference": f"#{identity}"}


def author_references(author: Author, contained: Contained) -> Resource | None:
    """Contain an author; return the Reference to it, None where nothing is said of it."""
    organizations = [contained.add(_organization(xon)) for xon in author.institutions]
    person = contained.add(_practitioner(author.person)) if author.person else None
    plain = not (author.roles or author.specialties or author.telecommunications)
    if plain and person is None:
        return _with_others(organizations[0], organizations[1:]) if organizations else None
    if plain and not organizations:
        return person
    role: Resource = {"resourceType": "PractitionerRole"}
    if person is not None:
        role["practitioner"] = person
    if organizations:
        role["organization"] = organizations[0]
    _put(role, "code", [{"text": text} for text in author.roles])
    _put(role, "specialty", [{"text": text} for text in author.specialties])
    _put(role, "telecom", [_telecom(xtn) for xtn in author.telecommunications])
    return _with_others(contained.add(role), organizations[1:])


def author_of(reference: Resource, resolve: Resolve) -> Author | None:
    """Return the author that a Reference means, None where it says nothing."""
    resource = resolve(reference.get("reference", ""))
    others = [
        xon
        for one in reference.get("extension", ())
        if one.get("url") == AUTHOR_ORGANIZATION
        and (xon := _xon(resolve(one.get("valueReference", {}).get("reference", ""))))
    ]
    if resource is None:
        display = reference.get("display", "").translate(_SEPARATORS).strip()
        return Author(person=f"^{display}" if display else "", institutions=tuple(others))
    said = _READERS.get(resource["resourceType"], _nothing)(resource, resolve)
    author = Author(**{**said, "institutions": (*said.get("institutions", ()), *others)})
    return author if author != Author() else None


def person_reference(xcn: str, contained: Contained) -> Resource:
    """Contain a person (XCN); return the Reference to it."""
    return contained.add(_practitioner(xcn))


def xcn_of(reference: Resource, resolve: Resolve) -> str:
    """Return the XCN of a person that a Reference means; empty where there is none."""
    author = author_of(reference, resolve)
    return author.person if author else ""


def recipient_reference(recipient: str, contained: Contained) -> Resource:
    """Contain an intended recipient `XON|XCN|XTN`; return the Reference to it."""
    organization, person, telecom = (*recipient.split("|"), "", "", "")[:3]
    whole = recipient.count("|") > 2
    resource = _practitioner(person) if person or not organization else _organization(organization)
    if telecom:
        resource = {**resource, "telecom": [_telecom(telecom)]}
    if whole or (organization and person):
        resource = {**resource, "extension": [_as_submitted(recipient)]}
    return contained.add(resource)


def recipient_of(reference: Resource, resolve: Resolve) -> str:
    """Return the intended recipient `XON|XCN|XTN` that a Reference means."""
    resource = resolve(reference.get("reference", ""))
    if resource is None:
        return ""
    kept = _kept(resource)
    if kept.count("|"):
        return kept
    telecom = next((_xtn(one) for one in resource.get("telecom", ())), "")
    if resource["resourceType"] == "Organization":
        return f"{_xon(resource)}||{telecom}".rstrip("|")
    return f"|{_xcn(resource)}|{telecom}".rstrip("|")


def _practitioner(xcn: str) -> Resource:
    parts = (xcn.split("^") + [""] * 9)[:9]
    identifier, family, given, second, suffix, prefix = parts[:_NAME_PARTS]
    oid = parts[8].split("&")[1] if parts[8].count("&") == 2 else ""
    name: Resource = {}
    _put(name, "family", family)
    _put(name, "given", [one for one in (given, second) if one])
    _put(name, "prefix", [prefix] if prefix else [])
    _put(name, "suffix", [suffix] if suffix else [])
    resource: Resource = {"resourceType": "Practitioner"}
    system = {"system": OID_PREFIX + oid} if is_oid(oid) else {}
    _put(resource, "identifier", [{**system, "value": identifier}] if identifier else [])
    _put(resource, "name", [name] if name else [])
    return _exactly(resource, xcn, _xcn)


def _xcn(resource: Resource) -> str:
    if kept := _kept(resource):
        return kept
    name: Resource = next(iter(resource.get("name", ())), {})
    given = [_plain(one) for one in name.get("given", ()) if one]
    identifier, oid = _numbered(resource)
    family = _plain(name.get("family", "")) or ("" if given else _plain(name.get("text", "")))
    parts = [
        identifier,
        family,
        given[0] if given else "",
        " ".join(given[1:]),
        _plain(" ".join(name.get("suffix", ()))),
        _plain(" ".join(name.get("prefix", ()))),
        "",
        "",
        f"&{oid}&ISO" if oid else "",
    ]
    text = "^".join(parts).rstrip("^")
    return text or _mail_as_name(resource)


def _mail_as_name(resource: Resource) -> str:
    """Someone known by nothing but an address: the address stands for the name."""
    values = (one.get("value", "") for one in resource.get("telecom", ()))
    value = next((_plain(one) for one in values if one), "")
    return f"^{value}" if value else ""


def _organization(xon: str) -> Resource:
    parts = (xon.split("^") + [""] * 10)[:10]
    oid = parts[5].split("&")[1] if parts[5].count("&") == 2 else ""
    resource: Resource = {"resourceType": "Organization"}
    number = parts[9]
    if number and is_oid(oid):
        resource["identifier"] = [{"system": OID_PREFIX + oid, "value": number}]
    elif is_oid(number):
        resource["identifier"] = [{"system": "urn:ietf:rfc:3986", "value": OID_PREFIX + number}]
    _put(resource, "name", parts[0])
    return _exactly(resource, xon, _xon)


def _xon(resource: Resource | None) -> str:
    if resource is None:
        return ""
    if kept := _kept(resource):
        return kept
    number, oid = _numbered(resource)
    name = _plain(resource.get("name", ""))
    if number and not oid:
        oid_number = number.removeprefix(OID_PREFIX)
        number = oid_number if is_oid(oid_number) else ""
    parts = [name, "", "", "", "", f"&{oid}&ISO" if oid else "", "", "", "", number]
    return "^".join(parts).rstrip("^")


def _telecom(xtn: str) -> Resource:
    parts = (xtn.split("^") + [""] * 12)[:12]
    if parts[3]:
        point = {"system": "email", "value": parts[3]}
    else:
        point = {"system": "phone", "value": parts[11] or parts[0] or xtn}
    return _exactly(point, xtn, _xtn)


def _xtn(point: Resource) -> str:
    if kept := _kept(point):
        return kept
    value = _plain(point.get("value", "")).replace("&", " ")
    if point.get("system") == "email":
        return f"^^Internet^{value}"
    return f"^PRN^PH^^^^^^^^^{value}" if value else ""


def _numbered(resource: Resource) -> tuple[str, str]:
    """Return the first number with an OID for its system, else the first number alone."""
    numbers = [one for one in resource.get("identifier", ()) if one.get("value")]
    for one in numbers:
        oid = one.get("system", "").removeprefix(OID_PREFIX)
        if is_oid(oid) and one.get("system") != oid:
            return _plain(one["value"]), oid
    return (_plain(numbers[0]["value"]), "") if numbers else ("", "")


def _read_role(role: Resource, resolve: Resolve) -> Mapping[str, Any]:
    person = resolve(role.get("practitioner", {}).get("reference", ""))
    organization = _xon(resolve(role.get("organization", {}).get("reference", "")))
    return {
        "person": _xcn(person) if person else "",
        "institutions": (organization,) if organization else (),
        "roles": tuple(filter(None, map(_text, role.get("code", ())))),
        "specialties": tuple(filter(None, map(_text, role.get("specialty", ())))),
        "telecommunications": tuple(filter(None, map(_xtn, role.get("telecom", ())))),
    }


def _read_person(person: Resource, _resolve: Resolve) -> Mapping[str, Any]:
    points = person.get("telecom", ())
    telecoms = () if _kept(person) else tuple(filter(None, map(_xtn, points)))
    return {"person": _xcn(person), "telecommunications": telecoms}


def _read_organization(organization: Resource, _resolve: Resolve) -> Mapping[str, Any]:
    return {"institutions": tuple(filter(None, (_xon(organization),)))}


def _read_device(device: Resource, _resolve: Resolve) -> Mapping[str, Any]:
    names = [one.get("name", "") for one in device.get("deviceName", ())]
    name = _plain(next(iter(names), "") or device.get("manufacturer", ""))
    return {"person": f"^{name}" if name else ""}


def _nothing(_resource: Resource, _resolve: Resolve) -> Mapping[str, Any]:
    return {}


_READERS: Mapping[str, Callable[[Resource, Resolve], Mapping[str, Any]]] = {
    "Practitioner": _read_person,
    "Patient": _read_person,
    "RelatedPerson": _read_person,
    "PractitionerRole": _read_role,
    "Organization": _read_organization,
    "Device": _read_device,
}


def _text(said: Resource) -> str:
    codings = [one.get("display") or one.get("code", "") for one in said.get("coding", ())]
    return str(said.get("text") or next(iter(codings), ""))


def _exactly(resource: Resource, text: str, read: Callable[[Resource], str]) -> Resource:
    """Return what was written, with the text beside it where reading would give another one."""
    return resource if read(resource) == text else {**resource, "extension": [_as_submitted(text)]}


def _as_submitted(text: str) -> Resource:
    return {"url": AS_SUBMITTED, "valueString": text}


def _kept(resource: Resource) -> str:
    values = (
        one.get("valueString", "")
        for one in resource.get("extension", ())
        if one.get("url") == AS_SUBMITTED
    )
    return next(iter(values), "")


def _with_others(reference: Resource, organizations: Sequence[Resource]) -> Resource:
    if not organizations:
        return reference
    said = [{"url": AUTHOR_ORGANIZATION, "valueReference": one} for one in organizations]
    return {"extension": said, **reference}


def _plain(text: str) -> str:
    """Return text without the characters that mean something in HL7 v2."""
    return text.translate(_SEPARATORS).strip()


def _put(resource: Resource, name: str, value: Any) -> None:
    """FHIR has no empty texts and no empty arrays."""
    if value:
        resource[name] = value
