"""The initiating gateway for documents and images: ITI-43 and RAD-69 here, ITI-39 and RAD-75 there.

ITI TF-2 3.43 and 3.39, RAD TF-3 4.69 and 4.75. A request names the community of each document; one
request here becomes one for each community, and their answers become one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from io import BytesIO

from lxml import etree

from access_control.audit_message import Outcome
from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gateways.asking import Asked, ask_all
from xds_registry.gateways.client import CommunityClient, Question
from xds_registry.gateways.communities import Communities, Community
from xds_registry.gateways.foreign import Address, ForeignObject, ForeignObjects, may_see
from xds_registry.gateways.merging import (
    Merged,
    Wanted,
    errors_of,
    foreign_documents,
    responses_of,
)
from xds_registry.gateways.querying import Asker
from xds_registry.imaging_manifests import read_manifest
from xds_registry.imaging_requests import ImageRequest, ImagingRequest, write_imaging_request
from xds_registry.manifest_metadata import MANIFEST_MIME_TYPE
from xds_registry.mtom import Attachment
from xds_registry.transacting import Answer, AuditFact, Call

CROSS_GATEWAY_RETRIEVE = "urn:ihe:iti:2007:CrossGatewayRetrieve"
CROSS_GATEWAY_IMAGES = "urn:ihe:rad:2011:CrossGatewayRetrieveImagingDocumentSet"
_RETRIEVE_TAG = f"{{{v.XDS_B}}}RetrieveDocumentSetRequest"
_REQUEST = f"{{{v.XDS_B}}}DocumentRequest"
_LARGEST_MANIFEST = 8 * 1024 * 1024
_LONGEST_ID = 128


@dataclass(frozen=True)
class Item:
    """One document or image as it was asked for.

    `owner_id` is what is remembered of whose it is: the document's uniqueId, or the study's UID.
    """

    home: str
    repository: str
    unique_id: str
    owner_id: str


@dataclass(frozen=True)
class DocumentItem(Item):
    """One DocumentRequest, and the element itself."""

    element: etree._Element


@dataclass(frozen=True)
class ImageItem(Item):
    """One image."""

    image: ImageRequest


@dataclass(frozen=True)
class Retrieving:
    """How one kind of thing is retrieved: from here, and from another community."""

    kind: str
    here: Callable[[Sequence[Item]], Answer]
    question: Callable[[Community, Sequence[Item]], Question]


class RetrieveGateway:
    """Retrieves from this hub and from other communities together."""

    def __init__(
        self, communities: Communities, client: CommunityClient, foreign: ForeignObjects
    ) -> None:
        self._communities = communities
        self._client = client
        self._foreign = foreign

    def documents(self, call: Call, local: Callable[[Call], Answer], asker: Asker) -> Answer:
        """Answer an ITI-43 request; what is of no configured community is answered by `local`."""
        items = list(documents_asked(call.body))

        def here(own: Sequence[Item]) -> Answer:
            return local(replace(call, body=request_for(own)))

        def question(community: Community, wanted: Sequence[Item]) -> Question:
            body = request_for(wanted)
            return Question(community, community.retrieve_url, body, CROSS_GATEWAY_RETRIEVE)

        if not self._any_elsewhere(items):
            return local(call)
        return self._answer(call, items, Retrieving("document", here, question), asker)

    def images(
        self,
        call: Call,
        request: ImagingRequest,
        local: Callable[[ImagingRequest], Answer],
        asker: Asker,
    ) -> Answer:
        """Answer a RAD-69 request; what is of no configured community is answered by `local`."""
        items = images_asked(request)

        def here(own: Sequence[Item]) -> Answer:
            return local(request.of(_images(own)))

        def question(community: Community, wanted: Sequence[Item]) -> Question:
            body = write_imaging_request(request.of(_images(wanted)))
            return Question(community, community.imaging_url, body, CROSS_GATEWAY_IMAGES)

        if not self._any_elsewhere(items):
            return local(request)
        return self._answer(call, items, Retrieving("study", here, question), asker)

    def _any_elsewhere(self, items: Iterable[Item]) -> bool:
        return any(self._communities.find(item.home) for item in items)

    def _answer(self, call: Call, items: Sequence[Item], how: Retrieving, asker: Asker) -> Answer:
        own = [item for item in items if self._communities.find(item.home) is None]
        merged, facts = _begun(how.here(own) if own else None)
        linked = self._foreign.linked(call.session, {(one.home, one.owner_id) for one in items})
        wanted: list[Sequence[Item]] = []
        questions: list[Question] = []
        for community in self._communities:
            theirs = [one for one in items if one.home == community.home_community_id]
            seen, unseen = _parted(theirs, linked, asker)
            merged.refuse(map(_missing, unseen))
            facts += _facts(how.kind, "refused", unseen, community)
            if seen:
                questions.append(how.question(community, seen))
                wanted.append(seen)
        answers = ask_all(questions, self._client.retrieve, self._client.retrieve_s)
        for number, (asked, asked_for) in enumerate(zip(answers, wanted, strict=True), start=1):
            given = self._take(merged, asked, asked_for, f"community-{number}")
            facts += _outcomes(how.kind, given, asked_for, asked.question.community)
            if how.kind == "document":
                self._foreign.remember(_listed(given, linked))
        attachments = tuple(merged.attachments)
        return Answer(merged.as_retrieve_response(), tuple(facts), attachments)

    def _take(
        self, merged: Merged, asked: Asked, wanted: Sequence[Item], prefix: str
    ) -> list[tuple[Item, Attachment]]:
        """Add what one community answered; return what it gave."""
        if asked.answer is None:
            merged.refuse(asked.refusals)
            return []
        home = asked.question.community.home_community_id
        by_address = {(item.repository, item.unique_id): item for item in wanted}
        given = []
        documents = foreign_documents(asked.answer, Wanted(home, frozenset(by_address)), prefix)
        for address, response, attachment in documents:
            merged.objects.append(response)
            merged.attachments.append(attachment)
            given.append((by_address.pop(address), attachment))
        errors = errors_of(asked.answer.payload, home)
        merged.errors += errors
        if not errors:
            merged.refuse(map(_missing, by_address.values()))
        return given


def documents_asked(body: etree._Element) -> Iterator[DocumentItem]:
    """Yield the documents of a RetrieveDocumentSetRequest, each once."""
    seen: set[tuple[str, str, str]] = set()
    for element in body.iterfind(_REQUEST):
        home, repository, unique_id = (
            (element.findtext(f"{{{v.XDS_B}}}{name}") or "").strip()
            for name in ("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId")
        )
        if (home, repository, unique_id) not in seen:
            seen.add((home, repository, unique_id))
            yield DocumentItem(home, repository, unique_id, unique_id, element)


def images_asked(request: ImagingRequest) -> list[ImageItem]:
    """Return the images of a request."""
    return [
        ImageItem(
            image.home_community_id,
            image.repository_unique_id,
            image.sop_instance_uid,
            image.study_instance_uid,
            image,
        )
        for image in request.images
    ]


def request_for(items: Iterable[Item]) -> etree._Element:
    """Return a RetrieveDocumentSetRequest for some of the documents of another one."""
    root = etree.Element(_RETRIEVE_TAG, nsmap={"xdsb": v.XDS_B})
    root.extend(deepcopy(item.element) for item in items if isinstance(item, DocumentItem))
    return root


def _images(items: Iterable[Item]) -> Iterator[ImageRequest]:
    return (item.image for item in items if isinstance(item, ImageItem))


def _begun(answer: Answer | None) -> tuple[Merged, list[AuditFact]]:
    """Return what this hub itself answers, to add to."""
    if answer is None:
        return Merged(), []
    merged = Merged(
        1, responses_of(answer.payload), errors_of(answer.payload), list(answer.attachments or ())
    )
    return merged, list(answer.facts)


def _parted(
    items: Iterable[Item], linked: Mapping[Address, str], asker: Asker
) -> tuple[list[Item], list[Item]]:
    """Return what the asker may see and what not; the latter is answered like what is not there."""
    seen: list[Item] = []
    unseen: list[Item] = []
    decided: dict[Address, bool] = {}
    for item in items:
        address = item.home, item.owner_id
        if address not in decided:
            decided[address] = may_see(linked.get(address, ""), asker.people, asker.gate)
        (seen if decided[address] else unseen).append(item)
    return seen, unseen


def _outcomes(
    kind: str,
    given: Iterable[tuple[Item, Attachment]],
    wanted: Iterable[Item],
    community: Community,
) -> list[AuditFact]:
    got = [item for item, _ in given]
    owners = {item.owner_id for item in got}
    without = [item for item in wanted if item.owner_id not in owners]
    return [
        *_facts(kind, "success", got, community),
        *_facts(kind, "failure", without, community),
    ]


def _missing(item: Item) -> XdsRefusalError:
    return XdsRefusalError(ErrorCode.DOCUMENT_UNIQUE_ID, item.unique_id[:_LONGEST_ID])


def _facts(
    kind: str, outcome: Outcome, items: Iterable[Item], community: Community
) -> Iterator[AuditFact]:
    """Yield one fact for each document or study: a thousand images are one access."""
    detail = f"at {community.home_community_id}"
    for owner_id in dict.fromkeys(item.owner_id for item in items):
        yield AuditFact(outcome, owner_id[:_LONGEST_ID], detail, kind)


def _listed(
    given: Iterable[tuple[Item, Attachment]], linked: Mapping[Address, str]
) -> Iterator[ForeignObject]:
    """Yield the studies that manifests among the documents list: the person's, as these are."""
    for item, attachment in given:
        cx = linked.get((item.home, item.owner_id), "")
        is_small = attachment.size <= _LARGEST_MANIFEST
        if not cx or not is_small or attachment.media_type != MANIFEST_MIME_TYPE:
            continue
        try:
            contents = read_manifest(BytesIO(b"".join(attachment.open())))
        except XdsRefusalError:
            continue  # a DICOM object of another kind
        for study in contents.studies:
            yield ForeignObject(item.home, study.study_instance_uid, cx)
