"""ITI-18 Registry Stored Query: the queries a registry answers, one row each (ITI TF-2 3.18).

A patient nobody knows, or whose documents the asker may not see, is answered with success and no
object: Table 4.2.4.1-2 of ITI TF-3 gives XDSUnknownPatientId to submissions, not to ITI-18, and the
two cases must not be told apart.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import store
from xds_registry import vocabulary as v
from xds_registry.ebrim import leaf_class, object_ref
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    DocumentType,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.responses import registry_response
from xds_registry.stored_queries import (
    CONTENTS_FILTERS,
    FIND_DOCUMENTS_FILTERS,
    GET_ALL_FILTERS,
    REFERENCE_FILTERS,
    Parameters,
    document_filter,
    submission_set_filter,
)

ACTION = "urn:ihe:iti:2007:RegistryStoredQuery"
ANSWER_ACTION = "urn:ihe:iti:2007:RegistryStoredQueryResponse"
REQUEST_TAG = f"{{{v.QUERY}}}AdhocQueryRequest"
_RESPONSE_TAG = f"{{{v.QUERY}}}AdhocQueryResponse"
_MOST_OBJECTS = 5_000
_ANY_ASSOCIATION = frozenset(AssociationType)
_MEMBERSHIP = frozenset({AssociationType.HAS_MEMBER})

_WRITERS: Mapping[str, Callable[[RegistryObject], etree._Element]] = {
    "LeafClass": leaf_class,
    "ObjectRef": object_ref,
}


@dataclass(frozen=True)
class Asking:
    """One query being answered: where to look, as whom, for what."""

    session: Session
    people: LinkedPeople
    gate: Gate
    parameters: Parameters


@dataclass(frozen=True)
class QueryAnswer:
    """What goes back, and what the audit record says about it."""

    payload: etree._Element
    query_id: str
    error: ErrorCode | None = None


def stored_query(
    body: etree._Element, session: Session, people: LinkedPeople, gate: Gate
) -> QueryAnswer:
    """Answer an AdhocQueryRequest; what is refused comes back as a Failure response."""
    query_id = ""
    try:
        query_id, return_type, slots = _read(body)
        run = _known_query(query_id)
        asking = Asking(session, people, gate, Parameters.parse(slots))
        found = _visible(asking, run(asking))
        _refuse_excess(found, return_type)
    except XdsRefusalError as refusal:
        payload = registry_response(v.RESPONSE_FAILURE, [refusal], _RESPONSE_TAG)
        etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
        return QueryAnswer(payload, query_id, refusal.code)
    payload = registry_response(v.RESPONSE_SUCCESS, (), _RESPONSE_TAG)
    objects = etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
    objects.extend(_WRITERS[return_type](item) for item in found)
    return QueryAnswer(payload, query_id)


def _find_documents(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.1."""
    asking.parameters.required("$XDSDocumentEntryPatientId")
    return list(_documents_found(asking, FIND_DOCUMENTS_FILTERS))


def _find_documents_by_reference_id(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.14."""
    asking.parameters.required("$XDSDocumentEntryPatientId")
    asking.parameters.several("$XDSDocumentEntryReferenceIdList")
    return list(_documents_found(asking, REFERENCE_FILTERS))


def _documents_found(asking: Asking, filters: Collection[str]) -> list[DocumentEntry]:
    statuses = _statuses(asking, "$XDSDocumentEntryStatus")
    wanted = document_filter(asking.parameters, filters)
    linked = _linked(asking, "$XDSDocumentEntryPatientId")
    types = _types(asking)
    return [
        entry
        for entry in store.documents_of(asking.session, linked, statuses)
        if entry.document_type in types and wanted(entry)
    ]


def _find_submission_sets(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.2."""
    asking.parameters.required("$XDSSubmissionSetPatientId")
    statuses = _statuses(asking, "$XDSSubmissionSetStatus")
    wanted = submission_set_filter(asking.parameters)
    linked = _linked(asking, "$XDSSubmissionSetPatientId")
    found = store.submission_sets_of(asking.session, linked, statuses)
    return [item for item in found if wanted(item)]


def _get_all(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.4."""
    asking.parameters.required("$patientId")
    document_statuses = _statuses(asking, "$XDSDocumentEntryStatus")
    set_statuses = _statuses(asking, "$XDSSubmissionSetStatus")
    asking.parameters.several("$XDSFolderStatus")
    wanted = document_filter(asking.parameters, GET_ALL_FILTERS)
    linked, types = _linked(asking, "$patientId"), _types(asking)
    documents = [
        entry
        for entry in store.documents_of(asking.session, linked, document_statuses)
        if entry.document_type in types and wanted(entry)
    ]
    sets = store.submission_sets_of(asking.session, linked, set_statuses)
    found: list[DocumentEntry | SubmissionSet] = [*documents, *sets]
    uuids = [item.entry_uuid for item in found]
    return [*found, *store.associations_of(asking.session, uuids, _ANY_ASSOCIATION)]


def _get_documents(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.5."""
    return list(_named_documents(asking))


def _get_associations(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.7."""
    uuids = asking.parameters.several("$uuid")
    return list(store.associations_of(asking.session, uuids, _ANY_ASSOCIATION))


def _get_documents_and_associations(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.8."""
    documents = _named_documents(asking)
    uuids = [entry.entry_uuid for entry in documents]
    return [*documents, *store.associations_of(asking.session, uuids, _ANY_ASSOCIATION)]


def _get_submission_sets(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.9."""
    uuids = frozenset(asking.parameters.several("$uuid"))
    memberships = [
        one
        for one in store.associations_of(asking.session, uuids, _MEMBERSHIP)
        if one.target in uuids
    ]
    sets = store.submission_sets_by_uuid(asking.session, [one.source for one in memberships])
    return [*sets, *memberships]


def _get_submission_set_and_contents(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.10."""
    name, _ = asking.parameters.either("$XDSSubmissionSetEntryUUID", "$XDSSubmissionSetUniqueId")
    value = asking.parameters.required(name)
    wanted = document_filter(asking.parameters, CONTENTS_FILTERS)
    by_uuid = name.endswith("EntryUUID")
    find = store.submission_sets_by_uuid if by_uuid else store.submission_sets_by_unique_id
    sets = find(asking.session, [value])
    members = [
        one
        for one in store.associations_of(
            asking.session, [item.entry_uuid for item in sets], _MEMBERSHIP
        )
        if any(one.source == item.entry_uuid for item in sets)
    ]
    types = _types(asking)
    documents = {
        entry.entry_uuid: entry
        for entry in store.documents_by_uuid(asking.session, [one.target for one in members])
        if entry.document_type in types and wanted(entry)
    }
    kept = [one for one in members if one.target in documents]
    return [*documents.values(), *sets, *kept]


def _get_related_documents(asking: Asking) -> list[RegistryObject]:
    """3.18.4.1.2.3.7.13."""
    types = frozenset(asking.parameters.several("$AssociationTypes")) & RELATIONS
    name, _ = asking.parameters.either("$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryUniqueId")
    asking.parameters.required(name)
    uuids = [entry.entry_uuid for entry in _named_documents(asking)]
    kinds = frozenset(AssociationType(one) for one in types)
    associations = store.associations_of(asking.session, uuids, kinds)
    ends = {end for one in associations for end in (one.source, one.target)}
    wanted = _types(asking)
    documents = [
        entry
        for entry in store.documents_by_uuid(asking.session, ends)
        if entry.document_type in wanted
    ]
    return [*documents, *associations]


STORED_QUERIES: Mapping[str, Callable[[Asking], list[RegistryObject]]] = {
    "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d": _find_documents,
    "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9": _find_submission_sets,
    "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3": _get_all,
    "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4": _get_documents,
    "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155": _get_associations,
    "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a": _get_documents_and_associations,
    "urn:uuid:51224314-5390-4169-9b91-b1980040715a": _get_submission_sets,
    "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83": _get_submission_set_and_contents,
    "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6": _get_related_documents,
    "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492": _find_documents_by_reference_id,
}


def _read(body: etree._Element) -> tuple[str, str, Sequence[tuple[str, Sequence[str]]]]:
    """Return the query's id, the return type, and the slots as (name, texts of values)."""
    option = body.find(f"{{{v.QUERY}}}ResponseOption")
    return_type = "" if option is None else option.get("returnType", "")
    if return_type not in _WRITERS:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, "returnType", " | ".join(_WRITERS))
    query = body.find(f"{{{v.RIM}}}AdhocQuery")
    if query is None:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, "AdhocQuery", "one AdhocQuery element")
    slots = [
        (
            slot.get("name", ""),
            [value.text or "" for value in slot.iterfind(f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value")],
        )
        for slot in query.iterfind(f"{{{v.RIM}}}Slot")
    ]
    return query.get("id", "").strip().lower(), return_type, slots


def _known_query(query_id: str) -> Callable[[Asking], list[RegistryObject]]:
    if query_id not in STORED_QUERIES:
        raise XdsRefusalError(ErrorCode.UNKNOWN_STORED_QUERY, query_id)
    return STORED_QUERIES[query_id]


def _statuses(asking: Asking, name: str) -> frozenset[str]:
    """Return the statuses asked for; those the registry does not know are not looked at."""
    return frozenset(asking.parameters.several(name)) & frozenset(AvailabilityStatus)


def _types(asking: Asking) -> frozenset[str]:
    """Return the document types asked for: Stable alone unless said otherwise (3.18.4.1.2.5)."""
    asked = frozenset(asking.parameters.all("$XDSDocumentEntryType"))
    return asked or frozenset[str]({DocumentType.STABLE})


def _linked(asking: Asking, name: str) -> frozenset[str]:
    """Return the identifiers the patient's objects are kept under; none where they are unseen."""
    global_id = asking.people.global_id_of(asking.parameters.required(name))
    if global_id is None or not asking.gate.sees_person(global_id):
        return frozenset()
    return asking.people.linked_to(global_id)


def _named_documents(asking: Asking) -> list[DocumentEntry]:
    name, values = asking.parameters.either(
        "$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryUniqueId"
    )
    if name.endswith("EntryUUID"):
        return store.documents_by_uuid(asking.session, values)
    return store.documents_by_unique_id(asking.session, values)


def _visible(asking: Asking, found: Iterable[RegistryObject]) -> list[RegistryObject]:
    """Drop what the gate holds back, and associations of which it holds back an end."""
    items = list(found)
    entries = [item for item in items if isinstance(item, DocumentEntry)]
    sets = [item for item in items if isinstance(item, SubmissionSet)]
    associations = [item for item in items if isinstance(item, XdsAssociation)]
    hidden = _hidden_ends(asking, associations) if associations else set()
    return [
        *asking.people.current(entry for entry in entries if asking.gate.sees(entry)),
        *asking.people.current(item for item in sets if asking.gate.sees(item)),
        *(one for one in associations if not {one.source, one.target} & hidden),
    ]


def _hidden_ends(asking: Asking, associations: Iterable[XdsAssociation]) -> set[str]:
    ends = {end for one in associations for end in (one.source, one.target)}
    items: list[DocumentEntry | SubmissionSet] = [
        *store.documents_by_uuid(asking.session, ends),
        *store.submission_sets_by_uuid(asking.session, ends),
    ]
    return {item.entry_uuid for item in items if not asking.gate.sees(item)}


def _refuse_excess(found: Sequence[RegistryObject], return_type: str) -> None:
    if return_type == "ObjectRef":
        return
    people = {item.patient_id for item in found if not isinstance(item, XdsAssociation)}
    if len(people) > 1:
        raise XdsRefusalError(ErrorCode.RESULT_NOT_SINGLE_PATIENT)
    if len(found) > _MOST_OBJECTS:
        raise XdsRefusalError(ErrorCode.TOO_MANY_RESULTS, "", f"{_MOST_OBJECTS} objects")
