"""The service of documents over FHIR, put together from what the registry stands on."""

from collections.abc import Callable
from dataclasses import dataclass

from access_control.audit import AuditTrail
from access_control.model import Action
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.errors import ErrorCode
from xds_registry.linked_people import LinkedPeople, PersonLinks
from xds_registry.mhd.context import Context, GateOf
from xds_registry.mhd.service import DocumentService, FhirLimits
from xds_registry.mhd.submissions import SubmissionParts, Submissions
from xds_registry.repository import DocumentRepository
from xds_registry.transacting import (
    DurableDocuments,
    EndpointName,
    RefusedDesk,
    Transaction,
    Transactor,
    TransactorParts,
)

FHIR = EndpointName(
    "/fhir",
    "",
    Action.SUBMIT_DOCUMENTS,
    "document",
    ErrorCode.REPOSITORY_BUSY,
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES,
)


@dataclass(frozen=True)
class FhirParts:
    """What documents over FHIR stand on. `provide` is the repository's row of ITI-41.

    `people` and `gate` are made anew for every request; `dicomweb_url` is as in `RegistryNames`.
    """

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    links: PersonLinks
    audit: AuditTrail
    repository: DocumentRepository
    durable: DurableDocuments
    desk: RefusedDesk
    provide: Transaction
    people: Callable[[], LinkedPeople]
    gate: GateOf
    domain: AffinityDomain
    dicomweb_url: Callable[[], str]


def document_service(parts: FhirParts, limits: FhirLimits | None = None) -> DocumentService:
    """Return the registry's part of the FHIR endpoint."""
    limits = limits or FhirLimits()
    transactor = Transactor(
        FHIR, TransactorParts(parts.database, parts.audit, parts.durable, parts.desk)
    )
    submissions = Submissions(
        SubmissionParts(transactor, parts.provide, parts.backend, limits.request_bytes)
    )
    context = Context(
        database=parts.database,
        clock=parts.database.clock,
        links=parts.links,
        people=parts.people,
        gate=parts.gate,
        repository=parts.repository,
        backend=parts.backend,
        submissions=submissions,
        index=parts.index,
        domain=parts.domain,
        own_oid=parts.repository.repository_unique_id,
        dicomweb_url=parts.dicomweb_url,
    )
    return DocumentService(context, parts.audit, limits)
