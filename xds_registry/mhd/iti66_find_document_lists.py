"""ITI-66, Find Document Lists: search and read submission sets and folders (MHD 2:3.66)."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from access_control.atna_query import fhir_search
from access_control.model import Action
from hub_kernel.fhir.exchange import Answer, Request, not_found, refused_answer
from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.search_values import Term
from xds_registry.mhd.codes import OID_PREFIX, oid_of
from xds_registry.mhd.context import Context, View, person_facts
from xds_registry.mhd.document_references import entry_uuid_of, resource_id
from xds_registry.mhd.lists import LIST_STATUS, LIST_TYPES, ListWriter
from xds_registry.mhd.matching import By, wanted_identifiers
from xds_registry.mhd.questions import (
    STRING_MODIFIERS,
    Asking,
    Key,
    Parameter,
    Question,
    Told,
    answer_bundle,
    bookmark_of,
    page_of,
    read_question,
    refuse_ignored,
    too_wide,
)
from xds_registry.model import (
    NO_CODE,
    AssociationType,
    AvailabilityStatus,
    Code,
    Folder,
    SubmissionSet,
)
from xds_registry.store_reading import (
    End,
    Wanted,
    associations_at,
    documents_by_uuid,
    folders,
    folders_by_uuid,
    latest_folders,
    submission_sets,
    submission_sets_by_uuid,
)
from xds_registry.tables import FolderRow, SubmissionSetRow

TRANSACTION = "ITI-66"
_TARGET = "List"
_CORE = "http://hl7.org/fhir/SearchParameter"
_MHD = "https://profiles.ihe.net/ITI/MHD/SearchParameter"
_NARROWING = "patient | patient.identifier | identifier | _id"
_APPROVED = frozenset({AvailabilityStatus.APPROVED})
_BATCH = 500

Listed = SubmissionSet | Folder
_BY: By[Listed] = By()


def _kind(item: Listed) -> Code:
    return Code("submissionset" if isinstance(item, SubmissionSet) else "folder", LIST_TYPES)


def _statuses(item: Listed) -> Sequence[str]:
    """R4 calls a list that no longer holds retired, MHD superseded."""
    status = LIST_STATUS[item.status]
    return (status,) if status == "current" else (status, "superseded")


def _date(item: Listed) -> str:
    return item.submission_time if isinstance(item, SubmissionSet) else item.last_update_time


def _designations(item: Listed) -> Sequence[Code]:
    codes = (item.content_type_code,) if isinstance(item, SubmissionSet) else item.codes
    return [code for code in codes if code != NO_CODE]


PARAMETERS: Mapping[str, Parameter[Listed]] = {
    "_id": Parameter(
        "token", "logical id", "http://hl7.org/fhir/SearchParameter/Resource-id",
        _BY.words(lambda item: (resource_id(item.entry_uuid),)),
    ),
    "identifier": Parameter(
        "token", "entryUUID or uniqueId", f"{_CORE}/clinical-identifier",
        _BY.identifiers(lambda item: item.entry_uuid, lambda item: item.unique_id, lists=True),
    ),
    "code": Parameter(
        "token", "submissionset, folder", f"{_CORE}/clinical-code",
        _BY.codes(lambda item: (_kind(item),)),
    ),
    "status": Parameter(
        "token", "current, superseded, retired", f"{_CORE}/List-status", _BY.words(_statuses)
    ),
    "date": Parameter(
        "date", "submissionTime, lastUpdateTime", f"{_CORE}/clinical-date", _BY.dates(_date)
    ),
    "designationType": Parameter(
        "token", "contentTypeCode, codeList", f"{_MHD}/List-DesignationType",
        _BY.codes(_designations),
    ),
    "sourceId": Parameter(
        "token", "sourceId of a submission set", f"{_MHD}/List-SourceId",
        _BY.words(
            lambda item: (item.source_id, OID_PREFIX + item.source_id)
            if isinstance(item, SubmissionSet) else ()
        ),
    ),
    "source.family": Parameter(
        "string", "family name of an author", f"{_CORE}/individual-family",
        _BY.authors(lambda item: getattr(item, "authors", ()), 1), STRING_MODIFIERS,
    ),
    "source.given": Parameter(
        "string", "given name of an author", f"{_CORE}/individual-given",
        _BY.authors(lambda item: getattr(item, "authors", ()), 2), STRING_MODIFIERS,
    ),
}  # fmt: skip
_OF_SETS = frozenset({"sourceId", "source.family", "source.given"})


def search(request: Request, context: Context) -> Answer:
    """Answer a page of the lists that the parameters mean and the caller may see.

    Raises:
        FhirRefusedError: 400 for what cannot be understood or names nobody and nothing.
    """
    bookmark = bookmark_of(request)
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    with context.database.read() as session:
        asking = Asking(view.people, request.base, context.clock.now())
        question = read_question(_meant(bookmark.pairs), PARAMETERS, asking)
        refuse_ignored(question, request, PARAMETERS)
        items = _seen(session, _candidates(session, question, view), view)
        page = page_of([one for one in items if question.holds(one)], bookmark, _key)
        found = write(session, page.items, view)
    told = Told(_TARGET, request.base, PARAMETERS)
    query = fhir_search(_TARGET, urlencode(question.used))
    facts = list(person_facts(view.gate, TRANSACTION, query))
    return Answer(answer_bundle(question, bookmark, page, told, found), facts)


def read(request: Request, context: Context) -> Answer:
    """Answer one List; one the caller may not see is answered like none: 404."""
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    with context.database.read() as session:
        items = _by_uuids(session, [entry_uuid_of(request.identity)])
        found = write(session, _seen(session, items, view), view)
    facts = list(person_facts(view.gate, TRANSACTION, f"{_TARGET}/{request.identity}"))
    if not found:
        return refused_answer(not_found(f"{_TARGET}.id"), 404, facts)
    return Answer(found[0], facts)


def write(session: Session, items: Sequence[Listed], view: View) -> list[Resource]:
    """Return submission sets and folders as Lists, with references to their members."""
    members = _members(session, items)
    writer = ListWriter(view.people)
    return [
        writer.submission_set(one, members.get(one.entry_uuid, ()))
        if isinstance(one, SubmissionSet)
        else writer.folder(one, members.get(one.entry_uuid, ()))
        for one in items
    ]


def _meant(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of folders, what is specific to submission sets is silently left out (3.66.4.1.3.1)."""
    kinds = {value.rpartition("|")[2] for name, value in pairs if name == "code"}
    left_out = _OF_SETS if kinds == {"folder"} else frozenset()
    return [(name, value) for name, value in pairs if name.partition(":")[0] not in left_out]


def _candidates(session: Session, question: Question[Listed], view: View) -> list[Listed]:
    if question.persons is not None:
        allowed = [one for one in question.persons if view.gate.sees_person(one)]
        linked = sorted({cx for one in allowed for cx in view.people.linked_to(one)})
        return _of_people(session, linked)
    if "_id" in question.terms:
        values = question.terms["_id"][0].values
        return _by_uuids(session, [entry_uuid_of(value) for value in values])
    if "identifier" in question.terms:
        return _by_identifier(session, question.terms["identifier"][0])
    raise too_wide(_NARROWING)


def _of_people(session: Session, linked: Sequence[str]) -> list[Listed]:
    found: list[Listed] = []
    for start in range(0, len(linked), _BATCH):
        some = linked[start : start + _BATCH]
        found += submission_sets(session, SubmissionSetRow.linked_identifier.in_(some))
        found += folders(session, FolderRow.linked_identifier.in_(some))
    return found


def _by_uuids(session: Session, uuids: Sequence[str]) -> list[Listed]:
    return [*submission_sets_by_uuid(session, uuids), *folders_by_uuid(session, uuids)]


def _by_identifier(session: Session, term: Term) -> list[Listed]:
    wanted = wanted_identifiers(term.values)
    unique = [oid_of({"system": system or "", "value": value}) for system, value in wanted]
    found: list[Listed] = _by_uuids(session, [value.lower() for _, value in wanted])
    found += submission_sets(session, SubmissionSetRow.unique_id.in_(unique))
    found += folders(session, FolderRow.unique_id.in_(unique))
    return list({one.entry_uuid: one for one in found}.values())


def _seen(session: Session, items: Sequence[Listed], view: View) -> list[Listed]:
    visible = [one for one in items if view.gate.sees(one)]
    sets = [one for one in visible if isinstance(one, SubmissionSet)]
    latest = latest_folders(session, [one for one in visible if isinstance(one, Folder)])
    return [*view.people.current(sets), *view.people.current(latest)]


def _members(session: Session, items: Sequence[Listed]) -> dict[str, list[str]]:
    """Return references to the documents and folders in each list, in the order of their ids."""
    uuids = [one.entry_uuid for one in items]
    wanted = Wanted({AssociationType.HAS_MEMBER}, _APPROVED)
    found = associations_at(session, uuids, wanted, [End.SOURCE]) if uuids else []
    targets = {one.target for one in found}
    kinds = {one.entry_uuid: "DocumentReference" for one in documents_by_uuid(session, targets)}
    kinds |= {one.entry_uuid: "List" for one in folders_by_uuid(session, targets - set(kinds))}
    members: dict[str, list[str]] = {}
    for one in found:
        if one.target in kinds:
            reference = f"{kinds[one.target]}/{resource_id(one.target)}"
            members.setdefault(one.source, []).append(reference)
    return {source: sorted(references) for source, references in members.items()}


def _key(item: Listed) -> Key:
    return _date(item), item.entry_uuid
