"""The initiating gateway for queries: ITI-18 here becomes ITI-38 there (ITI TF-2 3.18, 3.38).

A query by patient goes to every community that the patient index knows the person in; a query by
identifiers goes to the one community that its `home` names. Whoever may not see the person here is
not asked about elsewhere, and what comes back is decided about once more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import parse_cx
from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.gateways.asking import ask_all
from xds_registry.gateways.client import CommunityClient, Question
from xds_registry.gateways.communities import Communities, Community
from xds_registry.gateways.foreign import ForeignObject, ForeignObjects, may_see
from xds_registry.gateways.merging import (
    QUERY_RESPONSE,
    Merged,
    errors_of,
    objects_of,
    rename_patient,
    stamp_homes,
    with_patient_id,
)
from xds_registry.linked_people import LinkedPeople, PersonLinks
from xds_registry.responses import registry_response
from xds_registry.transacting import Answer, AuditFact, Call

CROSS_GATEWAY_QUERY = "urn:ihe:iti:2007:CrossGatewayQuery"
PATIENT_PARAMETERS: Mapping[str, str] = {
    "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d": "$XDSDocumentEntryPatientId",
    "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9": "$XDSSubmissionSetPatientId",
    "urn:uuid:958f3006-baad-4929-a4de-ff1114824431": "$XDSFolderPatientId",
    "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3": "$patientId",
    "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492": "$XDSDocumentEntryPatientId",
}
"""Queries by patient, and the parameter that names them (ITI TF-2 3.18.4.1.2.3.7)."""
_PATIENT_SCHEMES = frozenset(
    {v.DOCUMENT_PATIENT_ID, v.SUBMISSION_SET_PATIENT_ID, v.FOLDER_PATIENT_ID}
)
_STUDY_REFERENCE = "urn:ihe:iti:xds:2016:studyInstanceUID"
_REFERENCES = "urn:ihe:iti:xds:2013:referenceIdList"
_MOST_IDENTIFIERS = 4

LocalQuery = Callable[[Call], Answer]
"""Answers a query from this registry alone."""


@dataclass(frozen=True)
class StoredQuery:
    """What a gateway has to know of an AdhocQueryRequest; `patient_id` is empty without one."""

    query_id: str
    home_community_id: str
    patient_parameter: str
    patient_id: str


@dataclass(frozen=True)
class Asker:
    """As whom people are looked at."""

    people: LinkedPeople
    gate: Gate


def read_stored_query(body: etree._Element) -> StoredQuery:
    """Return what a gateway has to know of an AdhocQueryRequest; never raises."""
    query = body.find(f"{{{v.RIM}}}AdhocQuery")
    if query is None:
        return StoredQuery("", "", "", "")
    query_id = query.get("id", "").strip().lower()
    parameter = PATIENT_PARAMETERS.get(query_id, "")
    values = [
        (value.text or "").strip()
        for slot in query.iterfind(f"{{{v.RIM}}}Slot")
        if slot.get("name") == parameter
        for value in slot.iterfind(f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value")
    ]
    patient_id = values[0].strip("()").strip().strip("'").replace("''", "'") if values else ""
    return StoredQuery(query_id, query.get("home", "").strip(), parameter, patient_id)


class QueryGateway:
    """Answers queries from this registry and from other communities together."""

    def __init__(
        self,
        communities: Communities,
        client: CommunityClient,
        foreign: ForeignObjects,
        links: PersonLinks,
    ) -> None:
        self._communities = communities
        self._client = client
        self._foreign = foreign
        self._links = links

    def answer(self, call: Call, local: LocalQuery, asker: Asker) -> Answer:
        """Answer an ITI-18 query; without communities by `local` alone, whatever `home` it says.

        A registry that is no gateway looks at no homeCommunityId (ITI TF-2 3.18.4.1.2.3.8).
        """
        if not len(self._communities):
            return local(call)
        query = read_stored_query(call.body)
        if query.home_community_id not in {"", self._communities.ours}:
            return self._elsewhere(call, query, asker)
        answer = local(call)
        if not query.patient_id or _failed(answer.payload):
            return answer
        person = self._person(query, asker)
        questions = self._questions(call.body, query, person, self._communities, asker)
        if not questions:
            return answer
        ours = answer.whole().payload
        merged = Merged(1, objects_of(ours), errors_of(ours))
        facts = self._ask(merged, questions, query, asker)
        return Answer(merged.as_query_response(), (*answer.facts, *facts))

    def _elsewhere(self, call: Call, query: StoredQuery, asker: Asker) -> Answer:
        """Answer a query that names another community."""
        home = query.home_community_id
        community = self._communities.find(home)
        if community is None:
            refusal = XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, home)
            payload = registry_response(v.RESPONSE_FAILURE, [refusal], QUERY_RESPONSE)
            etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
            return Answer(payload, (AuditFact("failure", "", f"query {query.query_id} {refusal}"),))
        questions = [Question(community, community.query_url, call.body, CROSS_GATEWAY_QUERY)]
        if query.patient_id:
            person = self._person(query, asker)
            questions = self._questions(call.body, query, person, [community], asker)
        merged = Merged(0 if questions else 1)
        facts = self._ask(merged, questions, query, asker)
        return Answer(merged.as_query_response(), tuple(facts))

    def _person(self, query: StoredQuery, asker: Asker) -> str:
        """Return the person a query by patient is about, or nothing where they may not be seen."""
        person = asker.people.global_id_of(query.patient_id)
        return person if person and asker.gate.sees_person(person) else ""

    def _questions(
        self,
        body: etree._Element,
        query: StoredQuery,
        person: str,
        communities: Iterable[Community],
        asker: Asker,
    ) -> list[Question]:
        """Return a question for each identifier of the person in a community's own domain."""
        if not person:
            return []
        known_as = sorted(asker.people.linked_to(person))
        return [
            Question(
                community,
                community.query_url,
                with_patient_id(body, query.patient_parameter, cx),
                CROSS_GATEWAY_QUERY,
            )
            for community in communities
            for cx in _in_domain(known_as, community.patient_domain)
        ]

    def _ask(
        self, merged: Merged, questions: Sequence[Question], query: StoredQuery, asker: Asker
    ) -> list[AuditFact]:
        facts = []
        for asked in ask_all(questions, self._client.query, self._client.query_s):
            detail = f"query {query.query_id} at {asked.question.community.home_community_id}"
            person = asker.people.global_id_of(query.patient_id) or "" if query.patient_id else ""
            if asked.answer is None:
                merged.refuse(asked.refusals)
                facts.append(AuditFact("failure", person, f"{detail} unavailable"))
                continue
            home = asked.question.community.home_community_id
            self._take(merged, asked.answer.payload, home, (query, asker))
            facts.append(AuditFact("success", person, detail))
        return facts

    def _take(
        self, merged: Merged, payload: etree._Element, home: str, asking: tuple[StoredQuery, Asker]
    ) -> None:
        """Add what one community answered, as far as the asker may see it."""
        query, asker = asking
        merged.errors += errors_of(payload, home)
        merged.answered += not _failed(payload)
        seen = _seen(objects_of(payload), query, asker)
        self._foreign.remember(_described(seen, home))
        names = {cx: self._name(cx, query, asker) for cx in map(_patient_of, seen) if cx}
        rename_patient(seen, names, _PATIENT_SCHEMES)
        stamp_homes(seen, home)
        merged.objects += seen

    def _name(self, cx: str, query: StoredQuery, asker: Asker) -> str:
        """Return what this affinity domain calls the person behind another community's CX."""
        if query.patient_id:
            return query.patient_id
        person = asker.people.person_of(cx)
        return self._links.global_identifier(person).cx if person else cx


def _in_domain(identifiers: Iterable[str], oid: str) -> list[str]:
    found = []
    for cx in identifiers:
        try:
            if parse_cx(cx)[1] == oid:
                found.append(cx)
        except InvalidValueError:
            continue
    return found[:_MOST_IDENTIFIERS]


def _failed(payload: etree._Element) -> bool:
    return payload.get("status") == v.RESPONSE_FAILURE


def _seen(
    objects: Sequence[etree._Element], query: StoredQuery, asker: Asker
) -> list[etree._Element]:
    """Return the objects that may be shown; those of another person than asked about never are."""
    about = asker.people.global_id_of(query.patient_id) if query.patient_id else None
    seen, hidden = [], set()
    for one in objects:
        cx = _patient_of(one)
        if cx and not _is_about(cx, about, asker):
            hidden.add(one.get("id"))
        elif cx or about or may_see("", asker.people, asker.gate):
            seen.append(one)
    return [one for one in seen if not {one.get("sourceObject"), one.get("targetObject")} & hidden]


def _is_about(cx: str, about: str | None, asker: Asker) -> bool:
    if about is not None:
        return asker.people.person_of(cx) == about
    return may_see(cx, asker.people, asker.gate)


def _patient_of(one: etree._Element) -> str:
    for identifier in one.iterfind(f"{{{v.RIM}}}ExternalIdentifier"):
        if identifier.get("identificationScheme") in _PATIENT_SCHEMES:
            return identifier.get("value", "").strip()
    return ""


def _described(objects: Iterable[etree._Element], home: str) -> Iterator[ForeignObject]:
    """Yield the documents and studies in an answer, with their person."""
    for one in objects:
        cx = _patient_of(one)
        for identifier in one.iterfind(f"{{{v.RIM}}}ExternalIdentifier"):
            if identifier.get("identificationScheme") == v.DOCUMENT_UNIQUE_ID and cx:
                yield ForeignObject(home, identifier.get("value", "").strip(), cx)
        for study_uid in _studies_of(one):
            if cx:
                yield ForeignObject(home, study_uid, cx)


def _studies_of(one: etree._Element) -> Iterator[str]:
    for slot in one.iterfind(f"{{{v.RIM}}}Slot"):
        if slot.get("name") != _REFERENCES:
            continue
        for value in slot.iterfind(f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value"):
            parts = (value.text or "").strip().split("^")
            if len(parts) >= 5 and parts[4] == _STUDY_REFERENCE:
                yield parts[0]
