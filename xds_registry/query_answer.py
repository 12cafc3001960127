"""What a stored query may answer: what the gate lets through, not too much, as XML (3.18.4.1.3)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import store_reading as reading
from xds_registry import vocabulary as v
from xds_registry.ebrim import leaf_classes_text, object_refs_text
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import (
    DocumentEntry,
    Folder,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)
from xds_registry.query_asking import Asking
from xds_registry.responses import registry_response, with_objects
from xds_registry.store_content import altered
from xds_registry.stored_queries import Parameters

REQUEST_TAG = f"{{{v.QUERY}}}AdhocQueryRequest"
RESPONSE_TAG = f"{{{v.QUERY}}}AdhocQueryResponse"
MOST_OBJECTS = 5_000

_WRITERS: Mapping[str, Callable[[Iterable[RegistryObject]], str]] = {
    "LeafClass": leaf_classes_text,
    "ObjectRef": object_refs_text,
}

Run = Callable[[Asking], list[RegistryObject]]
"""Carries out one query; what it finds is not yet judged."""

Owned = DocumentEntry | SubmissionSet | Folder
"""What belongs to a patient; associations belong to their ends."""


@dataclass(frozen=True)
class Viewpoint:
    """Where a query looks, and as whom.

    The community a query names is not looked at here: a registry has one, gateways tell them apart.
    """

    session: Session
    people: LinkedPeople
    gate: Gate


@dataclass(frozen=True)
class QueryAnswer:
    """What goes back, and what the audit record says about it.

    `objects` are the objects found, as text for the empty RegistryObjectList of `shell`.
    """

    shell: etree._Element
    query_id: str
    error: ErrorCode | None = None
    objects: str = ""

    @cached_property
    def payload(self) -> etree._Element:
        """The whole AdhocQueryResponse."""
        return with_objects(self.shell, self.objects)


def answer(
    body: etree._Element, queries: Mapping[str, Run], viewpoint: Viewpoint, *, single_patient: bool
) -> QueryAnswer:
    """Answer an AdhocQueryRequest for one of `queries`; a refusal is a Failure response.

    With `single_patient` the metadata of several patients are refused, references to them are not.
    """
    element = body.find(f"{{{v.RIM}}}AdhocQuery")
    query_id = "" if element is None else element.get("id", "").strip().lower()
    option = body.find(f"{{{v.QUERY}}}ResponseOption")
    return_type = "" if option is None else option.get("returnType", "")
    try:
        run = _known(queries, query_id, return_type)
        parameters = Parameters.parse([] if element is None else _slots(element))
        asking = Asking(
            viewpoint.session,
            viewpoint.people,
            viewpoint.gate,
            parameters,
            references=return_type == "ObjectRef",
        )
        found = _visible(asking, run(asking))
        if return_type == "LeafClass":
            found = _named(asking, found)
            _refuse_excess(asking, found, single_patient=single_patient)
    except XdsRefusalError as refusal:
        payload = registry_response(v.RESPONSE_FAILURE, [refusal], RESPONSE_TAG)
        etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
        return QueryAnswer(payload, query_id, refusal.code)
    payload = registry_response(v.RESPONSE_SUCCESS, (), RESPONSE_TAG)
    etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
    return QueryAnswer(payload, query_id, objects=_WRITERS[return_type](found))


def refuse_too_many(found: Sequence[RegistryObject]) -> None:
    """Return when that many objects may be answered in full.

    Raises:
        XdsRefusalError: more than 5,000.
    """
    if len(found) > MOST_OBJECTS:
        raise XdsRefusalError(ErrorCode.TOO_MANY_RESULTS, "", f"{MOST_OBJECTS} objects")


def _known(queries: Mapping[str, Run], query_id: str, return_type: str) -> Run:
    if return_type not in _WRITERS:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, "returnType", " | ".join(_WRITERS))
    if query_id not in queries:
        raise XdsRefusalError(ErrorCode.UNKNOWN_STORED_QUERY, query_id)
    return queries[query_id]


def _slots(query: etree._Element) -> list[tuple[str, list[str]]]:
    path = f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value"
    return [
        (slot.get("name", ""), [value.text or "" for value in slot.iterfind(path)])
        for slot in query.iterfind(f"{{{v.RIM}}}Slot")
    ]


def _visible(asking: Asking, found: Iterable[RegistryObject]) -> list[RegistryObject]:
    """Drop what the gate holds back, and associations of which it holds back an end."""
    owned = {item.entry_uuid: item for item in found if not isinstance(item, XdsAssociation)}
    associations = [item for item in found if isinstance(item, XdsAssociation)]
    seen = [item for item in owned.values() if asking.gate.sees(item)]
    if not associations:
        return list(seen)
    hidden = _hidden(asking, associations, owned)
    kept = [one for one in associations if not {one.source, one.target} & hidden]
    return [*seen, *kept]


def _refuse_excess(
    asking: Asking, found: Sequence[RegistryObject], *, single_patient: bool
) -> None:
    owners = {
        asking.people.person_of(item.linked_identifier) or item.patient_id
        for item in found
        if single_patient and not isinstance(item, XdsAssociation)
    }
    if len(owners) > 1:
        raise XdsRefusalError(ErrorCode.RESULT_NOT_SINGLE_PATIENT)
    refuse_too_many(found)


def _named(asking: Asking, found: Iterable[RegistryObject]) -> list[RegistryObject]:
    """Name every person as the affinity domain names them today."""
    return [item if isinstance(item, XdsAssociation) else _current(asking, item) for item in found]


def _current(asking: Asking, item: Owned) -> Owned:
    patient_id = asking.people.patient_id_of(item)
    return item if patient_id == item.patient_id else altered(item, patient_id=patient_id)


def _hidden(
    asking: Asking, associations: Iterable[XdsAssociation], owned: Mapping[str, Owned]
) -> set[str]:
    """Return the ends that are held back, and the associations held back for their ends.

    The gate holds back people; `$MetadataLevel` 1 holds back former versions.
    """
    session = asking.session
    ends = {end for one in associations for end in (one.source, one.target)}
    elsewhere = ends - set(owned)
    ties = reading.associations_by_uuid(session, elsewhere)
    elsewhere |= {end for one in ties for end in (one.source, one.target)} - set(owned)
    items: list[Owned] = [
        *owned.values(),
        *reading.documents_by_uuid(session, elsewhere),
        *reading.submission_sets_by_uuid(session, elsewhere),
        *reading.folders_by_uuid(session, elsewhere),
    ]
    hidden = {item.entry_uuid for item in items if not asking.gate.sees(item)}
    hidden |= {item.entry_uuid for item in items} - _known_versions(asking, items)
    return hidden | {one.entry_uuid for one in ties if {one.source, one.target} & hidden}


def _known_versions(asking: Asking, items: Sequence[Owned]) -> set[str]:
    """Return those of `items` that are a version the asker knows of, by entryUUID."""
    documents = [item for item in items if isinstance(item, DocumentEntry)]
    folders = [item for item in items if isinstance(item, Folder)]
    known: list[Owned] = [
        *(item for item in items if isinstance(item, SubmissionSet)),
        *asking.versions_of_documents(documents),
        *asking.versions_of_folders(folders),
    ]
    return {item.entry_uuid for item in known}
