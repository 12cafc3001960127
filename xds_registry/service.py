"""The registry and its repository as one service: manifests in, ITI-18 and ITI-43 out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from access_control.audit import AuditTrail
from access_control.model import Action
from access_control.sites import SiteDirectory
from hub_kernel.database import Database
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.gate import Gate, RefusalsOfPatient, SitesOfPatient
from xds_registry.linked_people import LinkedPeople, PersonLinks
from xds_registry.manifest import ManifestSource
from xds_registry.model import DocumentEntry
from xds_registry.repository import DocumentRepository
from xds_registry.study_manifests import ManifestInputs, ManifestSettings, StudyManifests
from xds_registry.transactions import iti18_registry_stored_query as iti18
from xds_registry.transactions import iti43_retrieve_document_set as iti43
from xds_registry.wsgi import (
    Answer,
    AuditFact,
    Authenticate,
    Call,
    Door,
    EndpointName,
    SoapEndpoint,
    Transaction,
)

REGISTRY = EndpointName("/xds/registry", "registry.wsdl", Action.QUERY_REGISTRY, "patient")
REPOSITORY = EndpointName(
    "/xds/repository", "repository.wsdl", Action.RETRIEVE_DOCUMENT, "document"
)
_LONGEST_ID = 128


@dataclass(frozen=True)
class RegistryNames:
    """How this hub is known to others.

    `dicomweb_url` returns the DICOMweb base that manifests point at; it is asked whenever one is
    written, because a port taken at start is not known before. `public_url` is the address readers
    use, or empty.
    """

    repository_unique_id: str
    home_community_id: str
    retrieve_ae_title: str
    dicomweb_url: Callable[[], str]
    public_url: str = ""
    max_body_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class RegistryParts:
    """What the service stands on."""

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    patients: PersonLinks
    sites: SiteDirectory
    audit: AuditTrail
    authenticate: Authenticate
    sites_of_patient: SitesOfPatient
    refusals_of_patient: RefusalsOfPatient


class Registry:
    """Registers the manifest of every completed study and answers for what is registered."""

    def __init__(self, parts: RegistryParts, names: RegistryNames, domain: AffinityDomain) -> None:
        self._parts = parts
        self._names = names
        self._repository = DocumentRepository(
            parts.backend, parts.database.clock, names.repository_unique_id
        )
        self._manifests = StudyManifests(
            parts.database,
            self._repository,
            ManifestInputs(parts.index, parts.patients, parts.sites),
            ManifestSettings(self._manifest_source, domain, names.home_community_id),
        )
        door = Door(
            parts.database, parts.audit, parts.authenticate, names.public_url, names.max_body_bytes
        )
        self.registry_app = SoapEndpoint(REGISTRY, [self._iti18()], door)
        self.repository_app = SoapEndpoint(REPOSITORY, [self._iti43()], door)

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here."""
        return self._manifests.subscribers()

    def manifest_of(self, study_instance_uid: str) -> DocumentEntry | None:
        """Return the current manifest entry of a study, or None while it has none."""
        return self._manifests.manifest_of(study_instance_uid)

    def _manifest_source(self) -> ManifestSource:
        return ManifestSource(
            self._names.repository_unique_id,
            self._names.retrieve_ae_title,
            self._names.dicomweb_url().rstrip("/"),
        )

    def _iti18(self) -> Transaction:
        return Transaction(iti18.REQUEST_TAG, iti18.ACTION, iti18.ANSWER_ACTION, self._query)

    def _iti43(self) -> Transaction:
        return Transaction(iti43.REQUEST_TAG, iti43.ACTION, iti43.ANSWER_ACTION, self._retrieve)

    def _query(self, call: Call) -> Answer:
        people = LinkedPeople(self._parts.patients)
        gate = self._gate(call, Action.QUERY_REGISTRY, people)
        answer = iti18.stored_query(call.body, call.session, people, gate)
        detail = f"query {answer.query_id[:_LONGEST_ID]}"
        if answer.error:
            return Answer(answer.payload, (AuditFact("failure", "", f"{detail} {answer.error}"),))
        return Answer(answer.payload, tuple(_query_facts(gate, detail)))

    def _retrieve(self, call: Call) -> Answer:
        people = LinkedPeople(self._parts.patients)
        gate = self._gate(call, Action.RETRIEVE_DOCUMENT, people)
        retrieval = iti43.Retrieval(
            call.session, self._repository, gate, self._names.home_community_id
        )
        answer = iti43.retrieve_document_set(call.body, retrieval)
        facts = tuple(_retrieve_fact(outcome) for outcome in answer.outcomes)
        return Answer(answer.payload, facts, answer.attachments)

    def _gate(self, call: Call, action: Action, people: LinkedPeople) -> Gate:
        parts = self._parts
        return Gate(call.subject, action, people, parts.sites_of_patient, parts.refusals_of_patient)


def _query_facts(gate: Gate, detail: str) -> Iterable[AuditFact]:
    if not gate.allowed and not gate.refused:
        yield AuditFact("success", "", f"{detail}: nobody concerned")
    for person in gate.allowed:
        yield AuditFact("success", person, detail)
    for person in gate.refused:
        yield AuditFact("refused", person, detail)


def _retrieve_fact(outcome: iti43.DocumentOutcome) -> AuditFact:
    unique_id = outcome.request.document_unique_id[:_LONGEST_ID]
    if outcome.refusal is None:
        return AuditFact("success", unique_id)
    return AuditFact("refused", unique_id, str(outcome.refusal))
