"""Search parameters of ITI-78 as questions to the patient index (PDQm 2:3.78.4.1.2, search.html).

A parameter given several times has to hold each time; values joined by commas are alternatives.
Each parameter is one row of `PARAMETERS`; what is no row is left out and said so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from hub_kernel.fhir.dates import date_range, moment_range
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, shown
from hub_kernel.fhir.search_values import Term, bad_value, read_term, split_token, unescaped
from patient_index.errors import UnknownDomainError
from patient_index.fhir.exactness import Exactly, exact_address, exact_name
from patient_index.fhir.patient_reading import SEX_OF_GENDER
from patient_index.fhir.systems import Systems, is_value
from patient_index.model import Address, Person, PersonCriteria
from patient_index.text_keys import folded

Pairs = Sequence[tuple[str, str]]
Alternatives = tuple[PersonCriteria, ...]
"""Any of these; none at all is a condition that nobody meets."""

_MOST_CONDITIONS = 16


@dataclass
class Question:
    """What a search asks. `domains` are the OIDs to answer with, None for all.

    `checks` are what the index does not look up by itself; `used` and `ignored` are the parameters
    as they were given.
    """

    conditions: list[Alternatives] = field(default_factory=list)
    checks: list[Callable[[Person], bool]] = field(default_factory=list)
    domains: frozenset[str] | None = None
    issuers: list[frozenset[str]] = field(default_factory=list)
    ids: tuple[str, ...] = ()
    active: bool | None = None
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asking:
    """What the rows need to understand a value; `today` is for approximate dates."""

    systems: Systems
    base: str
    today: date


@dataclass(frozen=True)
class Parameter:
    """One search parameter: its FHIR type, its documentation, its modifiers, its meaning."""

    type: str
    documentation: str
    ask: "Ask"
    modifiers: frozenset[str] = frozenset()
    definition: str = ""


Ask = Callable[[Term, Question, Asking], None]
ByValue = Callable[[str], Alternatives]


def read_question(pairs: Pairs, asking: Asking) -> Question:
    """Return what the parameters ask; control parameters are not among `pairs`.

    Raises:
        FhirRefusedError: 400 for a value, a modifier or a search that cannot be answered; 404 for
            an unknown domain to answer with (ITI-78 case 4).
    """
    question = Question()
    for name, value in pairs:
        parameter = PARAMETERS.get(name.partition(":")[0])
        if parameter is None:
            question.ignored.append(name)
            continue
        if not value.strip():
            continue
        parameter.ask(read_term(name, value, parameter.modifiers), question, asking)
        question.used.append((name, value))
    # A domain to answer with, a time or a state alone would mean everybody.
    if not question.conditions:
        raise FhirRefusedError(
            400,
            Issue(
                "required",
                "no-criteria",
                "a search needs at least one criterion",
                "查询至少需要一个条件",
                "http",
                allowed=", ".join(sorted(PARAMETERS)),
            ),
        )
    if len(question.conditions) > _MOST_CONDITIONS:
        raise FhirRefusedError(
            400,
            Issue(
                "too-costly",
                "too-many-parameters",
                f"at most {_MOST_CONDITIONS} criteria",
                f"最多 {_MOST_CONDITIONS} 个条件",
                "http",
            ),
        )
    return question


def merged(first: PersonCriteria, other: PersonCriteria) -> PersonCriteria | None:
    """Return both conditions as one, None where they speak of the same field."""
    nothing = PersonCriteria()
    said: dict[str, object] = {}
    for name in vars(nothing):
        mine, theirs, empty = (getattr(one, name) for one in (first, other, nothing))
        if empty not in (mine, theirs):
            return None
        said[name] = theirs if mine == empty else mine
    return PersonCriteria(**said)  # type: ignore[arg-type]  # the fields of two criteria


def _by_text(criteria: ByValue, exactly: Callable[[str], Exactly]) -> Ask:
    """A string parameter: from its beginning, or with `:exact` as it stands."""

    def ask(term: Term, question: Question, _asking: Asking) -> None:
        values = [unescaped(value) for value in term.values]
        # Without a letter or digit there is nothing to begin with, and nobody who is meant.
        told = [value for value in values if folded(value)]
        question.conditions.append(tuple(one for value in told for one in criteria(value)))
        if term.modifier == "exact":
            wanted = tuple(map(exactly, values))
            question.checks.append(lambda person: any(check(person) for check in wanted))

    return ask


def _ask_id(term: Term, question: Question, _asking: Asking) -> None:
    ids = tuple(dict.fromkeys(unescaped(value) for value in term.values))
    question.conditions.append((PersonCriteria(global_ids=ids),))
    question.ids = (*question.ids, *ids)


def _ask_identifier(term: Term, question: Question, asking: Asking) -> None:
    """Numbers to look for; systems without a value are domains to answer with."""
    tokens = [split_token(value) for value in term.values]
    if all(system and not value for system, value in tokens):
        oids = frozenset(_target(str(system), asking) for system, _ in tokens)
        # Everybody has a global ID: its domain chooses what is answered, not who.
        if asking.systems.own.oid not in oids:
            question.issuers.append(oids)
        question.domains = oids | (question.domains or frozenset())
        return
    found: list[PersonCriteria] = []
    for system, value in tokens:
        if not is_value(value):
            raise bad_value("identifier", "system|value, value, or system| alone")
        try:
            found.append(_identified(system, value, asking))
        except UnknownDomainError:
            # Nobody here has a number of an issuer that nobody here knows.
            continue
    question.conditions.append(tuple(found))


def _identified(system: str | None, value: str, asking: Asking) -> PersonCriteria:
    if not system:
        return PersonCriteria(numbers=(value,))
    identifier = asking.systems.identifier(system, value, asking.base)
    if identifier.issuer.oid == asking.systems.own.oid:
        return PersonCriteria(global_ids=(identifier.value,))
    return PersonCriteria(identifiers=(identifier,))


def _target(system: str, asking: Asking) -> str:
    try:
        return asking.systems.domain(system, asking.base).oid
    except UnknownDomainError as error:
        raise FhirRefusedError(
            404,
            Issue(
                "not-found",
                "unknown-target",
                "a domain to answer with is not known here",
                "所请求的标识域未登记",
                where="http.identifier",
                came=shown(system),
                allowed="urn:oid: and the OID of an assigning authority of this region",
                severity="warning",
                diagnostics="targetSystem not found",
            ),
        ) from error


def _ask_gender(term: Term, question: Question, _asking: Asking) -> None:
    sexes = []
    for value in term.values:
        code = split_token(value)[1]
        if code not in SEX_OF_GENDER:
            raise bad_value("gender", ", ".join(SEX_OF_GENDER))
        sexes.append(SEX_OF_GENDER[code])
    question.conditions.append(tuple(PersonCriteria(sex=sex) for sex in dict.fromkeys(sexes)))


def _ask_birthdate(term: Term, question: Question, asking: Asking) -> None:
    found: list[PersonCriteria] = []
    for value in term.values:
        asked = date_range(unescaped(value), asking.today)
        if asked is None:
            raise bad_value("birthdate", "eq ne gt lt ge le sa eb ap before YYYY[-MM[-DD]]")
        found.extend(_born(first, last) for first, last in asked)
    question.conditions.append(tuple(found))


def _born(first: date | None, last: date | None) -> PersonCriteria:
    if first == last:
        return PersonCriteria(birth_date=first)
    return PersonCriteria(born_from=first, born_until=last)


def _ask_updated(term: Term, question: Question, _asking: Asking) -> None:
    ranges = [moment_range(unescaped(value)) for value in term.values]
    if not all(ranges):
        raise bad_value("_lastUpdated", "eq gt lt ge le before an instant or a date")
    question.checks.append(
        lambda person: any(asked and asked(person.updated_at) for asked in ranges)
    )


def _ask_active(term: Term, question: Question, _asking: Asking) -> None:
    codes = {split_token(value)[1] for value in term.values}
    if not codes <= {"true", "false"}:
        raise bad_value("active", "true, false")
    if len(codes) == 1:
        question.active = codes == {"true"}
    if question.active is False:
        # Whoever resolves to an ID in use is active; what is not in use is found by `_id` alone.
        question.checks.append(lambda _person: False)


def _ask_phone(term: Term, question: Question, _asking: Asking) -> None:
    tokens = [split_token(value) for value in term.values]
    phones = [
        value for system, value in tokens if value and (system or "phone") in {"phone", "sms"}
    ]
    question.conditions.append(tuple(PersonCriteria(phone=phone) for phone in phones))


def _any_address_part(value: str) -> Alternatives:
    parts = (
        Address(street=value),
        Address(city=value),
        Address(province=value),
        Address(postal_code=value),
    )
    return tuple(PersonCriteria(address=part) for part in parts)


def _string(
    documentation: str,
    criteria: ByValue,
    exactly: Callable[[str], Exactly],
    definition: str = "",
) -> Parameter:
    ask = _by_text(criteria, exactly)
    return Parameter("string", documentation, ask, frozenset({"exact"}), definition)


PARAMETERS: Mapping[str, Parameter] = {
    "_id": Parameter("token", "global ID; an ID no longer used is answered too", _ask_id),
    "_lastUpdated": Parameter(
        "date", "when the last statement about the person arrived", _ask_updated
    ),
    "active": Parameter("token", "true; false finds nobody but by _id", _ask_active),
    "identifier": Parameter(
        "token", "system|value, value, or system| for domains to answer with", _ask_identifier
    ),
    "name": _string(
        "any name: Hanzi, pinyin, initials, letters",
        lambda value: (PersonCriteria(name=value),),
        exact_name(""),
    ),
    "family": _string(
        "family name: Hanzi, pinyin, letters",
        lambda value: (PersonCriteria(family=value),),
        exact_name("family"),
    ),
    "given": _string(
        "given name: Hanzi, pinyin, letters",
        lambda value: (PersonCriteria(given=value),),
        exact_name("given"),
    ),
    "birthdate": Parameter("date", "birth date; eq ne gt lt ge le sa eb ap", _ask_birthdate),
    "gender": Parameter("token", "male, female, other, unknown", _ask_gender),
    "address": _string(
        "street, city, province or postal code", _any_address_part, exact_address("")
    ),
    "address-city": _string(
        "city", lambda value: (PersonCriteria(address=Address(city=value)),), exact_address("city")
    ),
    "address-state": _string(
        "province",
        lambda value: (PersonCriteria(address=Address(province=value)),),
        exact_address("province"),
    ),
    "address-postalcode": _string(
        "postal code",
        lambda value: (PersonCriteria(address=Address(postal_code=value)),),
        exact_address("postal_code"),
    ),
    "telecom": Parameter("token", "a telephone number", _ask_phone),
    "phone": Parameter("token", "a telephone number", _ask_phone),
    "mothersMaidenName": _string(
        "name of the mother",
        lambda value: (PersonCriteria(mother_name=value),),
        exact_name("mother"),
        "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-mothersMaidenName",
    ),
}
