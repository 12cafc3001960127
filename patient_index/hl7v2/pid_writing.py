"""A person as a PID segment (HL7 v2.5 3.4.2; ITI TF-2 3.9.4.2 and 3.21.4.2)."""

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.hl7v2.values import KIND_CODES
from patient_index.hl7v2.writing import AnswerWriter
from patient_index.model import Address, Demographics, IdentifierKind, TypedIdentifier

_XPN_ORDER = (0, 1, 2, 4, 3)  # PN components as XPN components: prefix and suffix trade places
_LEGAL, _ALIAS = "L", "A"
_ANONYMOUS_NAME_TYPE = "S"


def pix_person(writer: AnswerWriter, identifiers: Iterable[PatientIdentifier]) -> None:
    """Add the PID of a PIX answer: identifiers, and a name that says nothing.

    ITI TF-2 3.9.4.2.2.6: PID-5 is required by HL7, and a name of one domain must not be shown to
    another; so the first repetition is empty and the second a pseudonym (type S) without text.
    """
    anonymous = writer.components("", "", "", "", "", "", _ANONYMOUS_NAME_TYPE)
    cxs = [cx(writer, TypedIdentifier(identifier)) for identifier in identifiers]
    writer.add("PID", {3: writer.repetitions(cxs), 5: writer.repetitions(("", anonymous))})


def pdq_person(
    writer: AnswerWriter,
    sequence: int,
    identifiers: Iterable[TypedIdentifier],
    person: Demographics,
    zone: tzinfo,
) -> None:
    """Add the PID of a PDQ answer, its moments in `zone`."""
    fields: Mapping[int, str] = {
        1: str(sequence),
        3: writer.repetitions(cx(writer, identifier) for identifier in identifiers),
        5: _names(writer, person),
        6: writer.repetitions(xpns(writer, person.mother_name, "")) if person.mother_name else "",
        7: _birth_date(person),
        8: person.sex,
        11: xad(writer, person.address),
        13: writer.repetitions(xtn(writer, phone, "PRN") for phone in person.phones[:1]),
        14: writer.repetitions(xtn(writer, phone, "WPN") for phone in person.phones[1:]),
        15: writer.components(person.language),
        16: writer.components(person.marital_status),
        21: writer.repetitions(
            cx(writer, TypedIdentifier(mother)) for mother in person.mothers_identifiers
        ),
        24: _YES_NO[person.multiple_birth],
        25: str(person.birth_order or ""),
        29: f"{person.deceased_at.astimezone(zone):%Y%m%d%H%M%S%z}" if person.deceased_at else "",
        30: _YES_NO[person.deceased],
    }
    last = max(number for number, text in fields.items() if text)
    writer.add("PID", {number: text for number, text in fields.items() if number <= last})


def cx(writer: AnswerWriter, typed: TypedIdentifier) -> str:
    """Return an identifier as CX, its assigning authority named in full."""
    issuer = typed.identifier.issuer
    marks = writer.delimiters
    parts = map(writer.value, (issuer.namespace, issuer.oid, "ISO"))
    authority = marks.subcomponent.join(parts)
    kind = KIND_CODES.get(typed.kind, KIND_CODES[IdentifierKind.LOCAL])
    values = (writer.value(typed.identifier.value), "", "", authority, kind)
    return marks.component.join(values)


def xpns(writer: AnswerWriter, name: PersonName, kind: str) -> list[str]:
    """Return a name as one XPN for each representation that it has (XPN.8)."""
    groups = {"A": name.alphabetic, "I": name.ideographic, "P": name.phonetic}
    present = {code: text for code, text in groups.items() if text}
    return [
        writer.components(*_xpn_components(text), "", kind, code if len(present) > 1 else "")
        for code, text in present.items()
    ]


def xad(writer: AnswerWriter, address: Address) -> str:
    """Return an address as XAD; what came as one line stands in its first component."""
    street = address.street or address.text
    return writer.components(street, "", address.city, address.province, address.postal_code)


def xtn(writer: AnswerWriter, phone: str, use: str) -> str:
    """Return a telephone number as XTN: area and number apart where they are, else as typed."""
    area, _, number = phone.partition(" ")
    if area.isdecimal() and number.isdecimal():
        return writer.components("", use, "PH", "", "", area, number)
    return writer.components(phone, use, "PH")


def _names(writer: AnswerWriter, person: Demographics) -> str:
    legal = xpns(writer, person.name, _LEGAL)
    others = [text for name in person.other_names for text in xpns(writer, name, _ALIAS)]
    return writer.repetitions((*legal, *others))


def _xpn_components(group: str) -> list[str]:
    parts = (group.split("^") + [""] * 5)[:5]
    return [parts[place] for place in _XPN_ORDER]


def _birth_date(person: Demographics) -> str:
    if person.birth_date is None:
        return person.birth_date_text
    day = person.birth_date.strftime("%Y%m%d")
    return day + (person.birth_time.strftime("%H%M%S") if person.birth_time else "")


_YES_NO: Mapping[bool | None, str] = {None: "", True: "Y", False: "N"}
