"""ITI-78, Mobile Patient Demographics Query: search and retrieve Patients (PDQm 2:3.78)."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from hub_kernel.fhir.bundles import Links, found_entry, outcome_entry, searchset
from hub_kernel.fhir.exchange import Answer, Request, not_found, refused_answer
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from hub_kernel.fhir.paging import Bookmark, Position, read_count, read_mark
from patient_index.errors import QuestionTooWideError
from patient_index.fhir.access import AuditFact, found
from patient_index.fhir.exchange import Context, told_of
from patient_index.fhir.patient_writing import PatientWriter
from patient_index.fhir.replaced_ids import successors
from patient_index.fhir.search_parameters import PARAMETERS, Asking, Question, read_question
from patient_index.fhir.walk import Leg, Scope, Walk
from patient_index.model import Person

_ACTION = "find_patient"
_TOO_WIDE = Issue(
    "too-costly",
    "too-wide",
    "too many people may fit: add a criterion",
    "可能符合条件者过多，请增加条件",
    where="http",
)
_CONTROL = frozenset({"_count", "_format", "_page", "_pretty", "_total", "_summary"})


def search(request: Request, context: Context) -> Answer:
    """Answer a page of the people that the parameters mean and the caller may find.

    Raises:
        FhirRefusedError: 400 for what cannot be understood, 404 for an unknown domain.
    """
    marks = request.values("_page")
    bookmark = read_mark(marks[0]) if marks else _first_page(request)
    try:
        return _page(request, context, bookmark)
    except QuestionTooWideError as error:
        raise FhirRefusedError(400, _TOO_WIDE) from error


def _first_page(request: Request) -> Bookmark:
    pairs = tuple(pair for pair in request.pairs if pair[0] not in _CONTROL)
    return Bookmark(pairs, read_count(request.values("_count")), Position(), 0, exact=False)


def retrieve(request: Request, context: Context) -> Answer:
    """Answer one Patient; an ID that is no longer used is answered with where its holder is.

    Somebody the caller may not find is answered like nobody: 404.
    """
    global_id = request.identity
    writer = PatientWriter(context.systems.own)
    person = context.lookup.person(global_id)
    if person is not None:
        if not context.access.may_find(request.caller, found(person)):
            return _nobody(AuditFact(_ACTION, "refused", global_id, "ITI-78 retrieve"))
        fact = AuditFact(_ACTION, "success", global_id, "ITI-78 retrieve")
        return Answer(writer.patient(told_of(person, request, context)), [fact])
    survivors = _survivors(global_id, request, context)
    if not survivors:
        return _nobody(AuditFact(_ACTION, "success", detail="ITI-78 retrieve, no such ID"))
    facts = [AuditFact(_ACTION, "success", one.global_id, "ITI-78 retrieve") for one in survivors]
    return Answer(writer.replaced(global_id, [one.global_id for one in survivors]), facts)


def _page(request: Request, context: Context, bookmark: Bookmark) -> Answer:
    today = context.clock.now().date()
    question = read_question(bookmark.pairs, Asking(context.systems, request.base, today))
    if question.ignored and "handling=strict" in request.prefer:
        raise FhirRefusedError(400, _ignored(question.ignored, severity="error"))
    walk = Walk(context.lookup, question, _scope(request, context, question))
    leg = walk.page(bookmark.position, bookmark.count) if bookmark.count else Leg((), None)
    bookmark = _counted(bookmark, walk, leg)
    writer = PatientWriter(context.systems.own)
    told = [
        writer.patient(told_of(person, request, context), question.domains)
        for person in leg.persons
    ]
    matches = [found_entry(request.base, patient) for patient in told]
    old, holders = _replaced(question, bookmark, leg, request, context)
    entries = [
        *matches,
        *(found_entry(request.base, patient) for patient in old),
        *(
            found_entry(request.base, writer.patient(told_of(one, request, context)), "include")
            for one in holders
        ),
        *outcome_entry(_remarks(question, bookmark)),
    ]
    links = _links(request.base, question, bookmark, leg)
    bundle = searchset(bookmark.total + len(old), links, entries)
    return Answer(bundle, _facts([*leg.persons, *holders]))


def _replaced(
    question: Question, bookmark: Bookmark, leg: Leg, request: Request, context: Context
) -> tuple[list[Resource], list[Person]]:
    """Return the IDs asked for that are no longer used, and their holders now (case 6).

    They are found by `_id` alone, on the first page.
    """
    alone = {name for name, _ in question.used} <= {"_id", "active"}
    if not alone or question.active or bookmark.position != Position():
        return [], []
    writer = PatientWriter(context.systems.own)
    matched = {person.global_id for person in leg.persons}
    old: list[Resource] = []
    holders: dict[str, Person] = {}
    for global_id in question.ids:
        survivors = [] if global_id in matched else _survivors(global_id, request, context)
        if survivors:
            old.append(writer.replaced(global_id, [one.global_id for one in survivors]))
            holders.update({one.global_id: one for one in survivors})
    return old, [one for one in holders.values() if one.global_id not in matched]


def _scope(request: Request, context: Context, question: Question) -> Scope:
    """The caller's reach narrows in the index; without one, the domains asked for do."""
    access, caller = context.access, request.caller
    issuers = access.reach(caller)
    if issuers is None and question.issuers:
        domains = context.systems.domains
        issuers = frozenset(domains.complete("", oid).authority for oid in question.issuers[0])
    return Scope(issuers, lambda person: access.may_find(caller, found(person)))


def _counted(bookmark: Bookmark, walk: Walk, leg: Leg) -> Bookmark:
    """Count on the first page; later pages repeat what it said."""
    if bookmark.position != Position():
        return bookmark
    if bookmark.count and leg.next is None:
        return replace(bookmark, total=len(leg.persons), exact=True)
    rest, exact = walk.count(leg.next or Position())
    return replace(bookmark, total=len(leg.persons) + rest, exact=exact)


def _links(base: str, question: Question, bookmark: Bookmark, leg: Leg) -> Links:
    used = [*question.used, ("_count", str(bookmark.count))]
    here = f"{base}/Patient?{urlencode(used)}"
    if leg.next is None:
        return Links(here)
    mark = replace(bookmark, position=leg.next).mark()
    return Links(here, f"{base}/Patient?{urlencode({'_page': mark})}")


def _remarks(question: Question, bookmark: Bookmark) -> list[Issue]:
    remarks = [_ignored(question.ignored, severity="warning")] if question.ignored else []
    if not bookmark.exact:
        remarks.append(
            Issue(
                "informational",
                "total-at-least",
                "there are at least this many; not counted on",
                "匹配人数不少于 total, 未继续计数",
                where="Bundle.total",
                severity="information",
            ),
        )
    return remarks


def _ignored(names: Sequence[str], *, severity: str) -> Issue:
    return Issue(
        "not-supported",
        "unknown-parameter",
        "these parameters were left out",
        "以下参数未被采用",
        where=f"http.{names[0]}",
        came=shown(", ".join(names)),
        allowed=", ".join(sorted(PARAMETERS)),
        severity=severity,
    )


def _facts(persons: Sequence[Person]) -> list[AuditFact]:
    if not persons:
        return [AuditFact(_ACTION, "success", detail="ITI-78, nobody found")]
    return [AuditFact(_ACTION, "success", person.global_id, "ITI-78") for person in persons]


def _survivors(global_id: str, request: Request, context: Context) -> list[Person]:
    return [
        person
        for person in _present(successors(context.database, global_id), context)
        if context.access.may_find(request.caller, found(person))
    ]


def _present(global_ids: Sequence[str], context: Context) -> list[Person]:
    persons = map(context.lookup.person, global_ids)
    return [person for person in persons if person is not None]


def _nobody(fact: AuditFact) -> Answer:
    return refused_answer(not_found("Patient.id"), 404, [fact])
