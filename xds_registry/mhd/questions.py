"""A search as a question: whom it is about, what must hold, where its answer goes on.

MHD 2:3.66.4.1.2.1, 2:3.67.4.1.2.1, FHIR R4 search.html. A parameter is a row of a table; what is no
row is left out and said so.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from hub_kernel.fhir.bundles import (
    Links,
    found_entry,
    ignored_parameters,
    outcome_entry,
    searchset,
)
from hub_kernel.fhir.exchange import Request
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource
from hub_kernel.fhir.paging import Bookmark, Position, read_count, read_mark
from hub_kernel.fhir.search_values import Term, read_term, split_token
from xds_registry.linked_people import LinkedPeople
from xds_registry.mhd.matching import Make, Test
from xds_registry.mhd.patients import logical_id, person_of_identifier

T = TypeVar("T")

PATIENT = frozenset({"patient", "subject", "patient.identifier", "subject.identifier"})
_CONTROL = frozenset(
    {"_count", "_format", "_page", "_pretty", "_total", "_summary", "_elements", "_sort"}
)
_MOST_TESTS = 32
STRING_MODIFIERS = frozenset({"exact", "contains"})


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """One search parameter: its FHIR type, its documentation, its meaning, its modifiers.

    `definition` is the canonical URL of its SearchParameter.
    """

    type: str
    documentation: str
    definition: str
    make: Make[T]
    modifiers: frozenset[str] = frozenset()


@dataclass
class Question(Generic[T]):
    """What a search asks. `persons` are global IDs, None for anybody; nobody is an empty set.

    `terms` are the parameters as they were given, for who looks objects up by them.
    """

    tests: list[Test[T]] = field(default_factory=list)
    persons: frozenset[str] | None = None
    terms: dict[str, list[Term]] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def holds(self, item: T) -> bool:
        """Tell whether everything that was asked holds."""
        return all(test(item) for test in self.tests)


@dataclass(frozen=True)
class Asking:
    """What is needed to understand values."""

    people: LinkedPeople
    base: str
    now: datetime


def read_question(
    pairs: Sequence[tuple[str, str]], parameters: Mapping[str, Parameter[T]], asking: Asking
) -> Question[T]:
    """Return what the parameters ask.

    Raises:
        FhirRefusedError: 400 for a value or a modifier that cannot be understood.
    """
    question: Question[T] = Question()
    for name, value in pairs:
        base, _, modifier = name.partition(":")
        if not value.strip() or name in _CONTROL:
            continue
        if base in PATIENT:
            _ask_patient(question, name, value, asking)
        elif base in parameters:
            parameter = parameters[base]
            term = read_term(name, value, parameter.modifiers)
            question.terms.setdefault(base, []).append(term)
            question.tests.append(parameter.make(term, asking.now))
        else:
            question.ignored.append(name)
            continue
        question.used.append((name, value))
    if len(question.tests) > _MOST_TESTS:
        raise FhirRefusedError(400, _too_many())
    return question


def _ask_patient(question: Question[Any], name: str, value: str, asking: Asking) -> None:
    """A parameter given again narrows; alternatives of one are together."""
    term = read_term(name, value, {"identifier", "Patient"})
    by_identifier = term.name.endswith(".identifier") or term.modifier == "identifier"
    found = (_person(one, asking, by_identifier=by_identifier) for one in term.values)
    persons = frozenset(one for one in found if one is not None)
    question.persons = persons if question.persons is None else question.persons & persons


def _person(text: str, asking: Asking, *, by_identifier: bool) -> str | None:
    if by_identifier:
        system, value = split_token(text)
        return person_of_identifier(asking.people, {"system": system or "", "value": value})
    reference = text if "/" in text else f"Patient/{text}"
    return logical_id(reference, asking.base) or None


Key = tuple[str, str]
"""What answers are sorted by: a time, then an id that makes it one of a kind."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of an answer: what is on it, and the bookmark of the next, None at the end."""

    items: tuple[T, ...]
    total: int
    next: Bookmark | None


def bookmark_of(request: Request) -> Bookmark:
    """Return where the request wants its answer to begin.

    Raises:
        FhirRefusedError: 400, a count or a mark that is none.
    """
    marks = request.values("_page")
    if marks:
        return read_mark(marks[0])
    count = read_count(request.values("_count"))
    return Bookmark(request.pairs, count, Position(), 0, exact=True)


def page_of(found: Collection[T], bookmark: Bookmark, key: Callable[[T], Key]) -> Page[T]:
    """Return the page of `found` that begins at the bookmark, latest first.

    What arrives meanwhile stands before the pages that follow, and shifts none of them.
    """
    ordered = sorted(found, key=key, reverse=True)
    after = bookmark.position.after
    if after is not None:
        moment, _, identity = after.rpartition(" ")
        ordered = [one for one in ordered if key(one) < (moment, identity)]
    total = bookmark.total if after is not None else len(ordered)
    items = tuple(ordered[: bookmark.count])
    if not items or len(items) == len(ordered):
        return Page(items, total, None)
    position = Position(after=" ".join(key(items[-1])))
    return Page(items, total, replace(bookmark, position=position, total=total))


@dataclass(frozen=True)
class Told:
    """What a searchset says beside the resources found."""

    target: str
    base: str
    known: Collection[str]


def answer_bundle(
    question: Question[Any],
    bookmark: Bookmark,
    page: Page[Any],
    told: Told,
    found: Sequence[Resource],
) -> Resource:
    """Return the searchset of one page."""
    address = f"{told.base}/{told.target}"
    used = [*question.used, ("_count", str(bookmark.count))]
    following = f"{address}?{urlencode({'_page': page.next.mark()})}" if page.next else ""
    remarks = []
    if question.ignored:
        known = sorted({*told.known, *PATIENT})
        remarks = [ignored_parameters(question.ignored, known, severity="warning")]
    entries = [*(found_entry(told.base, one) for one in found), *outcome_entry(remarks)]
    return searchset(page.total, Links(f"{address}?{urlencode(used)}", following), entries)


def refuse_ignored(question: Question[Any], request: Request, known: Collection[str]) -> None:
    """Refuse what would be left out, where the client asks for strictness (search.html#errors).

    Raises:
        FhirRefusedError: 400.
    """
    if question.ignored and "handling=strict" in request.prefer:
        issue = ignored_parameters(question.ignored, sorted({*known, *PATIENT}), severity="error")
        raise FhirRefusedError(400, issue)


def too_wide(allowed: str) -> FhirRefusedError:
    """Return the refusal of a search that names nobody and nothing."""
    return FhirRefusedError(
        400,
        Issue(
            "required",
            "no-patient",
            "a search needs a patient, or what names the document or the study",
            "查询必须指明患者, 或能确定文档、检查的标识",
            where="http.patient",
            allowed=allowed,
        ),
    )


def _too_many() -> Issue:
    return Issue(
        "too-costly",
        "too-many-parameters",
        f"at most {_MOST_TESTS} criteria",
        f"最多 {_MOST_TESTS} 个条件",
        where="http",
    )
