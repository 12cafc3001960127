"""ITI-21 Patient Demographics Query: QBP^Q22 in, persons out, page by page (ITI TF-2 3.21).

The parameters of QPD-3 are a table; all that are given have to agree. Pediatric parameters
(mother's name and identifier, telephone) are among them. A query that is cancelled (QCN^J01) leaves
nothing behind: a continuation pointer carries all there is.

Who refuses to be found by the asker leaves no trace: not in a page, its length or its pointer, nor
as a mother whose children are looked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index.errors import QuestionTooWideError, UnknownDomainError
from patient_index.hl7v2.exchange import Asking, Done
from patient_index.hl7v2.pid_writing import pdq_person
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.query import (
    add_query_answer,
    cursor_of,
    foreign_pointer,
    pointer_to,
    quantity,
    require_immediate,
)
from patient_index.hl7v2.reading import Hl7Message, Segment
from patient_index.hl7v2.relations import children_naming, children_of, children_of_persons
from patient_index.hl7v2.transactions.iti09_query_identifiers import domains_wanted
from patient_index.hl7v2.values import SEXES, read_time_stamp
from patient_index.hl7v2.writing import AnswerWriter
from patient_index.model import Address, Person, PersonCriteria, TypedIdentifier
from patient_index.text_keys import folded

PARAMETERS: Mapping[str, str] = {
    "PID.3": "number",
    "PID.3.1": "number",
    "PID.3.4": "namespace",
    "PID.3.4.1": "namespace",
    "PID.3.4.2": "oid",
    "PID.3.4.3": "oid_type",
    "PID.5": "name",
    "PID.5.1": "family",
    "PID.5.1.1": "family",
    "PID.5.2": "given",
    "PID.6": "mother_family",
    "PID.6.1": "mother_family",
    "PID.6.1.1": "mother_family",
    "PID.6.2": "mother_given",
    "PID.7": "born",
    "PID.7.1": "born",
    "PID.8": "sex",
    "PID.11": "street",
    "PID.11.1": "street",
    "PID.11.1.1": "street",
    "PID.11.3": "city",
    "PID.11.4": "province",
    "PID.11.5": "postal_code",
    "PID.13": "phone",
    "PID.13.1": "phone",
    "PID.13.6": "area",
    "PID.13.7": "phone",
    "PID.19": "number",
    "PID.19.1": "number",
    "PID.21": "mother_number",
    "PID.21.1": "mother_number",
    "PID.21.4": "mother_namespace",
    "PID.21.4.1": "mother_namespace",
    "PID.21.4.2": "mother_oid",
    "PID.21.4.3": "mother_oid_type",
}
"""Every parameter of QPD-3 that is understood, and what it is called here."""

_COMPARABLE = ">= 1 letter or digit, then *"
_ALLOWED = "@PID.3, 5, 6, 7, 8, 11, 13, 19, 21"
_MOST_MOTHERS = 500
_WILDCARDS = "*%"


class _Given:
    """The parameters of one query, and in which repetition of QPD-3 each stands."""

    def __init__(self, qpd: Segment) -> None:
        self._qpd = qpd
        self._values: dict[str, tuple[str, int]] = {}
        for place, repetition in enumerate(qpd.repetitions(3), start=1):
            if repetition.empty:
                continue
            name = repetition.text(1).upper().removeprefix("@")
            at = qpd.place(3, 1, place)
            if name not in PARAMETERS:
                raise RefusedMessageError("query-parameter", at, came=name, allowed=_ALLOWED)
            text = repetition.text(2)
            if text and not folded(text):
                # A wildcard alone would mean everybody, punctuation would mean nobody.
                at = qpd.place(3, 2, place)
                raise RefusedMessageError("query-value", at, came=text, allowed=_COMPARABLE)
            if text:
                self._values[PARAMETERS[name]] = (text.rstrip(_WILDCARDS), place)

    def __bool__(self) -> bool:
        return bool(self._values)

    def text(self, name: str) -> str:
        return self._values.get(name, ("", 0))[0]

    def place(self, *names: str) -> Location:
        """Return where the first of these parameters that was given stands."""
        places = [self._values[name][1] for name in names if name in self._values]
        return self._qpd.place(3, 2, places[0] if places else 1)


def query_demographics(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """Answer QBP^Q22 with RSP^K22."""
    qpd = message.required("QPD")
    require_immediate(message)
    given = _Given(qpd)
    if not given:
        raise RefusedMessageError("query-empty", qpd.place(3), allowed=_ALLOWED)
    wanted = domains_wanted(qpd, 8, asking)
    criteria = _criteria(given, asking)
    answer = _answer(message, qpd, criteria, wanted, asking) if criteria else _Answer(())
    add_query_answer(writer, qpd, "OK" if answer.rows else "NF")
    for sequence, row in enumerate(answer.rows, start=1):
        person, zone = row.person.demographics, asking.parts.time_zone
        pdq_person(writer, sequence, row.identifiers, person, zone)
    if answer.next_cursor is not None:
        writer.add("DSC", {1: writer.value(pointer_to(qpd, answer.next_cursor)), 2: "I"})
    found = tuple(row.person.global_id for row in answer.rows)
    return Done(found, f"{len(found)} persons")


def cancel_query(message: Hl7Message, _asking: Asking, writer: AnswerWriter) -> Done:
    """Answer QCN^J01: there is nothing to throw away."""
    message.required("QID")
    writer.acknowledge("AA")
    return Done(detail="cancelled")


@dataclass(frozen=True)
class _Row:
    """A person who may be shown, with the identifiers that are asked for."""

    person: Person
    identifiers: tuple[TypedIdentifier, ...]


@dataclass(frozen=True)
class _Answer:
    """One page; `next_cursor` is the last person shown when there is another to show."""

    rows: tuple[_Row, ...]
    next_cursor: str | None = None


def _answer(
    message: Hl7Message,
    qpd: Segment,
    criteria: PersonCriteria,
    wanted: tuple[str, ...] | None,
    asking: Asking,
) -> _Answer:
    limit = quantity(message, asking.most_answers)
    cursor = cursor_of(message, qpd)
    try:
        rows = list(islice(_rows(criteria, wanted, cursor, limit, asking), limit + 1))
    except QuestionTooWideError as error:
        raise RefusedMessageError("query-too-wide", qpd.place(3)) from error
    except InvalidValueError as error:
        dsc = message.first("DSC")
        if dsc is not None and cursor is not None:
            raise foreign_pointer(dsc.place(1)) from error
        raise RefusedMessageError("invalid-value", qpd.place(3)) from error
    more = len(rows) > limit
    return _Answer(tuple(rows[:limit]), rows[limit - 1].person.global_id if more else None)


def _rows(
    criteria: PersonCriteria,
    wanted: tuple[str, ...] | None,
    cursor: str | None,
    limit: int,
    asking: Asking,
) -> Iterator[_Row]:
    """Give those who may be shown, in the order of the index; who may not takes no place."""
    issuers = frozenset(_authority(oid, asking) for oid in wanted) if wanted else None
    if issuers and any(issuer.oid == asking.parts.patients.issuer.oid for issuer in issuers):
        issuers = None  # everybody has a global ID
    find = asking.parts.lookup.find
    after: str | None = cursor
    while True:
        page = find(criteria, issuers=issuers, limit=limit + 1, cursor=after)
        mothers = {person.mother_named_by for person in page.persons} - {""}
        told = asking.findable({person.global_id for person in page.persons} | mothers)
        for person in page.persons:
            identifiers = _identifiers(person, wanted, asking)
            if person.global_id in told and identifiers:
                named = not person.mother_named_by or person.mother_named_by in told
                yield _Row(person if named else person.without_mothers_record(), identifiers)
        after = page.next_cursor
        if after is None:
            return


def _criteria(given: _Given, asking: Asking) -> PersonCriteria | None:
    """Return what is looked for; None when it is known already that nobody fits."""
    number, identifier = given.text("number"), _identifier(given, "", asking)
    born = _born(given)
    children = _children(given, asking)
    if children is not None and not children:
        return None
    phone = given.text("area") + given.text("phone")
    return PersonCriteria(
        identifiers=(identifier,) if identifier else (),
        numbers=(number,) if number and identifier is None else (),
        name=given.text("name"),
        family=given.text("family"),
        given=given.text("given"),
        born_from=born[0] if born else None,
        born_until=born[1] if born else None,
        sex=_sex(given),
        address=Address(
            given.text("street"),
            given.text("city"),
            given.text("province"),
            given.text("postal_code"),
        ),
        phone=phone,
        global_ids=children or (),
    )


def _identifier(given: _Given, whose: str, asking: Asking) -> PatientIdentifier | None:
    """Return the identifier of the parameters, if they name an issuer."""
    namespace, oid = given.text(f"{whose}namespace"), given.text(f"{whose}oid")
    number = given.text(f"{whose}number")
    if not (namespace or oid):
        return None
    names = (f"{whose}namespace", f"{whose}oid")
    try:
        domain = asking.parts.domains.complete(namespace, oid)
    except UnknownDomainError as error:
        came = "&".join(filter(None, (namespace, oid)))
        raise RefusedMessageError("unknown-domain", given.place(*names), came=came) from error
    if not number:
        at = given.place(*names)
        raise RefusedMessageError("query-empty", at, allowed="@PID.3.1, @PID.21.1")
    return PatientIdentifier(number, domain.authority)


def _children(given: _Given, asking: Asking) -> tuple[str, ...] | None:
    """Return the persons whose mother is asked for; None when she is not."""
    by_name = _children_by_name(given, asking)
    if not given.text("mother_number"):
        return by_name
    mother = _identifier(given, "mother_", asking)
    if mother is None:
        raise RefusedMessageError("domain-missing", given.place("mother_number"))
    holder = asking.parts.lookup.resolve(mother)
    # What the child's own record says of its mother is the child's; the rest is hers to refuse.
    hers = holder is None or asking.may_find(holder)
    find_children = children_of if hers else children_naming
    found = find_children(asking.parts.database, mother)
    return found if by_name is None else tuple(one for one in found if one in set(by_name))


def _children_by_name(given: _Given, asking: Asking) -> tuple[str, ...] | None:
    """Those of whom her name was stated, and those who name a person so called by a number."""
    family, first = given.text("mother_family"), given.text("mother_given")
    if not family and not first:
        return None
    find = asking.parts.lookup.find
    named = find(PersonCriteria(family=family, given=first), limit=_MOST_MOTHERS)
    whole = " ".join(filter(None, (family, first)))
    stated = find(PersonCriteria(mother_name=whole), limit=_MOST_MOTHERS)
    if named.next_cursor or stated.next_cursor:
        at = given.place("mother_family", "mother_given")
        raise RefusedMessageError("query-too-wide", at, allowed=f"<= {_MOST_MOTHERS}")
    mothers = asking.findable(one.global_id for one in named.persons)
    children = children_of_persons(asking.parts.database, mothers)
    return tuple({*children, *(one.global_id for one in stated.persons)})


def _born(given: _Given) -> tuple[date, date] | None:
    text = given.text("born")
    if not text:
        return None
    found = read_time_stamp(text)
    if found is None:
        at = given.place("born")
        raise RefusedMessageError("invalid-value", at, came=text, allowed="YYYY[MM[DD]]")
    return found.span


def _sex(given: _Given) -> str:
    text = given.text("sex").upper()
    if text not in SEXES:
        raise RefusedMessageError("invalid-value", given.place("sex"), came=text, allowed="M, F")
    return SEXES[text]


def _identifiers(
    person: Person, wanted: tuple[str, ...] | None, asking: Asking
) -> tuple[TypedIdentifier, ...]:
    """The global ID first, then what the person is known by and carries; within the domains."""
    merged = set(person.merged)
    known = [TypedIdentifier(one) for one in person.identifiers if one not in merged]
    own = TypedIdentifier(asking.parts.patients.global_identifier(person.global_id))
    everything = dict.fromkeys((own, *known, *person.cards))
    return tuple(
        typed for typed in everything if wanted is None or typed.identifier.issuer.oid in wanted
    )


def _authority(oid: str, asking: Asking) -> AssigningAuthority:
    return asking.parts.domains.complete("", oid).authority
