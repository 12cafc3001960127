"""The imaging source and the gateways of this community, as rows of the endpoints' route tables."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from access_control.model import Action
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from xds_registry.errors import ErrorCode
from xds_registry.gateways.client import ClientLimits, CommunityClient
from xds_registry.gateways.communities import Communities, Community
from xds_registry.gateways.foreign import ForeignObjects
from xds_registry.gateways.querying import Asker, QueryGateway
from xds_registry.gateways.retrieving import RetrieveGateway
from xds_registry.imaging_documents import Decode, ImagingSource
from xds_registry.imaging_requests import ImagingRequest, read_imaging_request
from xds_registry.linked_people import PersonLinks
from xds_registry.transacting import Answer, AuditFact, Call, EndpointName, Transaction
from xds_registry.transactions import iti18_registry_stored_query as iti18
from xds_registry.transactions import iti38_cross_gateway_query as iti38
from xds_registry.transactions import iti39_cross_gateway_retrieve as iti39
from xds_registry.transactions import iti43_retrieve_document_set as iti43
from xds_registry.transactions import rad69_retrieve_imaging_document_set as rad69
from xds_registry.transactions import (
    rad75_cross_gateway_retrieve_imaging_document_set as rad75,
)

IMAGING = EndpointName(
    "/xds/imaging",
    "imaging.wsdl",
    Action.RETRIEVE_DOCUMENT,
    "study",
    ErrorCode.REPOSITORY_BUSY,
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES,
)
GATEWAY = EndpointName(
    "/xds/gateway",
    "gateway.wsdl",
    Action.RETRIEVE_DOCUMENT,
    "document",
    ErrorCode.REPOSITORY_BUSY,
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES,
)
_LONGEST_ID = 128


@dataclass(frozen=True)
class Federation:
    """The other communities, and how they are asked; answers pass through files in `folder`.

    Without a folder they pass through the system's temporary one.
    """

    communities: tuple[Community, ...] = ()
    folder: Path | None = None
    limits: ClientLimits = ClientLimits()


@dataclass(frozen=True)
class GatewayParts:
    """What the imaging source and the gateways stand on.

    `asker` makes the decisions of one request. `decode` gives an instance uncompressed.
    """

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    patients: PersonLinks
    asker: Callable[[Call, Action], Asker]
    decode: Decode | None


@dataclass(frozen=True)
class OwnNames:
    """How this hub is known: its repository, and its community."""

    repository_unique_id: str
    home_community_id: str


class Gateways:
    """Answers for the images of this archive, asks other communities, and answers them."""

    def __init__(
        self,
        parts: GatewayParts,
        names: OwnNames,
        federation: Federation,
        local: Iterable[Transaction],
    ) -> None:
        """Wire the gateways; `local` are the rows that answer from this hub alone.

        Raises:
            ConfigurationError: the list of communities is malformed.
        """
        self._parts = parts
        self._names = names
        self._local = {row.action: row.run for row in local}
        communities = Communities(names.home_community_id, federation.communities)
        folder = federation.folder or Path(tempfile.gettempdir())
        client = CommunityClient(folder, federation.limits)
        foreign = ForeignObjects(parts.database)
        self._queries = QueryGateway(communities, client, foreign, parts.patients)
        self._retrievals = RetrieveGateway(communities, client, foreign)

    def federated(self, rows: Iterable[Transaction]) -> list[Transaction]:
        """Return `rows` with ITI-18 and ITI-43 answered from other communities too."""
        runs = {iti18.ACTION: self._query, iti43.ACTION: self._retrieve}
        return [replace(row, run=runs.get(row.action, row.run)) for row in rows]

    def imaging_transactions(self) -> list[Transaction]:
        """Return what `/xds/imaging` answers."""
        return [
            Transaction(
                rad69.REQUEST_TAG,
                rad69.ACTION,
                rad69.ANSWER_ACTION,
                self._retrieve_images,
                response_tag=rad69.RESPONSE_TAG,
                code="RAD-69",
            )
        ]

    def gateway_transactions(self) -> list[Transaction]:
        """Return what `/xds/gateway` answers."""
        return [
            Transaction(
                iti38.REQUEST_TAG,
                iti38.ACTION,
                iti38.ANSWER_ACTION,
                self._cross_gateway_query,
                response_tag=iti38.RESPONSE_TAG,
                code="ITI-38",
                audit_action=Action.QUERY_REGISTRY,
            ),
            Transaction(
                iti39.REQUEST_TAG,
                iti39.ACTION,
                iti39.ANSWER_ACTION,
                self._cross_gateway_retrieve,
                response_tag=iti39.RESPONSE_TAG,
                code="ITI-39",
            ),
            Transaction(
                rad75.REQUEST_TAG,
                rad75.ACTION,
                rad75.ANSWER_ACTION,
                self._cross_gateway_images,
                response_tag=rad75.RESPONSE_TAG,
                code="RAD-75",
            ),
        ]

    def _query(self, call: Call) -> Answer:
        asker = self._parts.asker(call, Action.QUERY_REGISTRY)
        return self._queries.answer(call, self._local[iti18.ACTION], asker)

    def _retrieve(self, call: Call) -> Answer:
        asker = self._parts.asker(call, Action.RETRIEVE_DOCUMENT)
        return self._retrievals.documents(call, self._local[iti43.ACTION], asker)

    def _retrieve_images(self, call: Call) -> Answer:
        asker = self._parts.asker(call, Action.RETRIEVE_DOCUMENT)
        request = read_imaging_request(call.body)

        def local(own: ImagingRequest) -> Answer:
            return self._images(own, asker)

        return self._retrievals.images(call, request, local, asker)

    def _cross_gateway_query(self, call: Call) -> Answer:
        return iti38.cross_gateway_query(
            call, self._local[iti18.ACTION], self._names.home_community_id
        )

    def _cross_gateway_retrieve(self, call: Call) -> Answer:
        home = self._names.home_community_id
        return iti39.cross_gateway_retrieve(call, self._local[iti43.ACTION], home)

    def _cross_gateway_images(self, call: Call) -> Answer:
        asker = self._parts.asker(call, Action.RETRIEVE_DOCUMENT)
        request = read_imaging_request(call.body)
        home = self._names.home_community_id
        return rad75.cross_gateway_images(request, lambda own: self._images(own, asker), home)

    def _images(self, request: ImagingRequest, asker: Asker) -> Answer:
        """Answer for images of this archive alone."""
        source = ImagingSource(
            self._parts.index,
            self._parts.backend,
            self._parts.decode,
            asker.people,
            asker.gate,
            self._names.repository_unique_id,
            self._names.home_community_id,
        )
        answer = rad69.answer_images(request, source)
        facts = tuple(_study_facts(answer))
        return Answer(answer.payload, facts, answer.attachments)


def _study_facts(answer: rad69.ImagingAnswer) -> Iterator[AuditFact]:
    """Yield one fact for each study: a thousand images are one access."""
    for study_uid, outcomes in rad69.studies_of(answer.outcomes).items():
        given = sum(outcome.refusal is None for outcome in outcomes)
        refused = dict.fromkeys(str(one.refusal) for one in outcomes if one.refusal)
        if given:
            yield AuditFact("success", study_uid[:_LONGEST_ID], f"{given} images", "study")
        if refused:
            detail = f"{len(outcomes) - given} images: {', '.join(refused)}"
            yield AuditFact("refused", study_uid[:_LONGEST_ID], detail, "study")
