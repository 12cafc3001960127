"""The registry and its repository as one service: manifests in, ITI-18 and ITI-43 out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lxml import etree
from sqlalchemy.orm import Session

from access_control.atna_query import stored_query
from access_control.audit import AuditTrail
from access_control.model import Action, Subject
from access_control.sites import SiteDirectory
from hub_kernel.database import Database
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from xds_registry import store
from xds_registry.administration_service import AdministrationParts, AdministrationService
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.errors import ErrorCode
from xds_registry.gate import (
    Gate,
    PersonHeld,
    RefusalsOfPatient,
    SitesOfPatient,
    nobody_held,
)
from xds_registry.gateways.elsewhere import Doors, Elsewhere
from xds_registry.gateways.querying import Asker
from xds_registry.gateways.service import (
    GATEWAY,
    IMAGING,
    Federation,
    GatewayParts,
    Gateways,
    OwnNames,
)
from xds_registry.imaging_documents import Decode
from xds_registry.imaging_manifests import StudyElsewhere, listed_studies
from xds_registry.linked_people import LinkedPeople, PersonLinks
from xds_registry.manifest import ManifestSource
from xds_registry.mhd.building import FhirParts, document_service
from xds_registry.mhd.service import FhirLimits
from xds_registry.model import AvailabilityStatus, DocumentEntry, Folder, SubmissionSet
from xds_registry.person_documents import PersonDocuments
from xds_registry.query_answer import QueryAnswer, Viewpoint
from xds_registry.refused_submissions import DeskLimits, RefusedSubmissions
from xds_registry.report_documents import ReportDocuments, StudyReports
from xds_registry.repository import DocumentRepository
from xds_registry.repository_intake import DocumentIntake
from xds_registry.repository_service import RepositoryService, RepositoryServiceParts
from xds_registry.study_manifests import ManifestInputs, ManifestSettings, StudyManifests
from xds_registry.submitting import Submitter
from xds_registry.subscriptions import SUBSCRIPTIONS, BrokerParts, NotificationBroker
from xds_registry.subscriptions_consumers import NotificationSettings
from xds_registry.subscriptions_standing import Standings
from xds_registry.transactions import iti18_registry_stored_query as iti18
from xds_registry.transactions import iti41_provide_and_register_document_set as iti41
from xds_registry.transactions import iti42_register_document_set as iti42
from xds_registry.transactions import iti51_multi_patient_query as iti51
from xds_registry.version_documents import StandingVersions, VersionDocuments, no_versions
from xds_registry.wsgi import (
    Answer,
    AuditFact,
    Authenticate,
    Call,
    Documents,
    Door,
    EndpointName,
    SoapEndpoint,
    Transaction,
    Vouch,
)

REGISTRY = EndpointName("/xds/registry", "registry.wsdl", Action.QUERY_REGISTRY, "patient")
REPOSITORY = EndpointName(
    "/xds/repository",
    "repository.wsdl",
    Action.RETRIEVE_DOCUMENT,
    "document",
    ErrorCode.REPOSITORY_BUSY,
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES,
)
_LONGEST_ID = 128


@dataclass(frozen=True)
class RegistryNames:
    """How this hub is known to others.

    `dicomweb_url` returns the DICOMweb base that manifests point at; it is asked whenever one is
    written, because a port taken at start is not known before. `public_url` is the address readers
    use, or empty. `max_body_bytes` bounds the SOAP message of a request, `max_document_bytes` its
    documents, `max_fhir_bytes` a request in FHIR. `patient_domains` are the OIDs of further domains
    whose identifiers are accepted as patientId. `federation` says which other communities there
    are. With `fhir_manifests` every manifest is registered in its FHIR form too, with
    `version_documents` every rendered version beside it. `notifications` says who may be notified.
    """

    repository_unique_id: str
    home_community_id: str
    retrieve_ae_title: str
    dicomweb_url: Callable[[], str]
    public_url: str = ""
    max_body_bytes: int = 8 * 1024 * 1024
    max_document_bytes: int = 2 * 1024 * 1024 * 1024
    refused_limits: DeskLimits = DeskLimits()
    patient_domains: frozenset[str] = frozenset()
    federation: Federation = Federation()
    fhir_manifests: bool = False
    version_documents: bool = False
    max_fhir_bytes: int = 32 * 1024 * 1024
    notifications: NotificationSettings = NotificationSettings()


@dataclass(frozen=True)
class RegistryParts:
    """What the service stands on; `decode` gives an instance uncompressed where that is wanted.

    Nothing of a person who is `person_held` is removed. `reports` are to be registered with the
    studies here. `vouch` and `understood` are as in Door: who reads assertions in SOAP headers.
    `standing_versions` reads the ledger of versions.
    """

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    patients: PersonLinks
    sites: SiteDirectory
    audit: AuditTrail
    authenticate: Authenticate
    sites_of_patient: SitesOfPatient
    refusals_of_patient: RefusalsOfPatient
    person_held: PersonHeld = nobody_held
    reports: StudyReports | None = None
    decode: Decode | None = None
    standing_versions: StandingVersions = no_versions
    vouch: Vouch | None = None
    understood: frozenset[str] = frozenset()


class Registry:
    """Registers the manifest of every completed study and answers for what is registered."""

    def __init__(self, parts: RegistryParts, names: RegistryNames, domain: AffinityDomain) -> None:
        self._parts = parts
        self._names = names
        self._domain = domain
        self._repository = DocumentRepository(
            parts.backend, parts.database.clock, names.repository_unique_id
        )
        self._manifests = StudyManifests(
            parts.database,
            self._repository,
            ManifestInputs(parts.index, parts.backend, parts.patients, parts.sites),
            ManifestSettings(
                self._manifest_source,
                domain,
                names.home_community_id,
                fhir_manifests=names.fhir_manifests,
            ),
        )
        self.intake = DocumentIntake(parts.database, parts.backend)
        self.refused = RefusedSubmissions(
            parts.database, parts.backend, self.intake, names.refused_limits
        )
        door = self._door()
        registry = [self._iti18(), self._iti42(), self._iti51(), *self._administration()]
        repository = self._repository_service().transactions()
        gateways = self._gateways([*registry, *repository])
        documents = Documents(parts.backend, self.intake, names.max_document_bytes)
        self.registry_app = SoapEndpoint(REGISTRY, gateways.federated(registry), door)
        self.repository_app = SoapEndpoint(
            REPOSITORY, gateways.federated(repository), replace(door, documents=documents)
        )
        self.imaging_app = SoapEndpoint(IMAGING, gateways.imaging_transactions(), door)
        self.broker = NotificationBroker(self._broker_parts(), names.notifications)
        self.subscriptions_app = SoapEndpoint(SUBSCRIPTIONS, self.broker.transactions(), door)
        self.gateway_app = SoapEndpoint(GATEWAY, gateways.gateway_transactions(), door)
        self.refused.replay_by([iti42.ACTION], self.registry_app.carry_out)
        self.refused.replay_by([iti41.ACTION], self.repository_app.carry_out)
        self.documents_over_fhir = document_service(
            self._fhir_parts(repository), FhirLimits(names.max_fhir_bytes)
        )

    @property
    def versions(self) -> VersionDocuments:
        """What registers the versions of the studies here."""
        return VersionDocuments(
            self._parts.database,
            self._repository,
            self._parts.standing_versions,
            self._domain.manifest.content_type_code,
        )

    @property
    def documents(self) -> PersonDocuments:
        """What readers of a person's record find and open."""
        return PersonDocuments(self._parts.database, self._repository, self._people)

    @property
    def elsewhere(self) -> Elsewhere:
        """What readers of a person's record find in other communities."""
        apps = (self.registry_app, self.repository_app, self.imaging_app)
        return Elsewhere(
            Doors(*(app.carry_out for app in apps)), self._names.federation.communities
        )

    @property
    def reports(self) -> StudyReports | None:
        """The reports that are registered with their studies; None where none are."""
        return self._parts.reports

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here."""
        registered: list[Subscriber] = []
        followed_by: list[Callable[[str], object]] = []
        if self._names.version_documents:
            registered += self.versions.subscribers()
            followed_by.append(self.versions.follow)
        if self.reports is not None:
            filed = (self._repository, self.intake, self._domain, self.reports)
            reports = ReportDocuments(self._parts.database, *filed)
            registered += reports.subscribers()
            followed_by.append(reports.follow)
        manifests = self._manifests.subscribers(followed_by)
        return [*manifests, *registered, *self.broker.subscribers()]

    def manifest_of(self, study_instance_uid: str) -> DocumentEntry | None:
        """Return the current manifest entry of a study, or None while it has none."""
        return self._manifests.manifest_of(study_instance_uid)

    def _door(self) -> Door:
        parts, names = self._parts, self._names
        return Door(
            parts.database,
            parts.audit,
            parts.authenticate,
            names.public_url,
            names.max_body_bytes,
            desk=self.refused,
            vouch=parts.vouch,
            understood=parts.understood,
        )

    def studies_elsewhere(self, global_id: str) -> list[StudyElsewhere]:
        """Return a person's studies that manifests of others list and this archive lacks."""
        people = self._people()
        with self._parts.database.read() as session:
            approved = [AvailabilityStatus.APPROVED]
            entries = store.documents_of(session, people.linked_to(global_id), approved)
            listed = listed_studies(session, [entry.entry_uuid for entry in entries])
        return [one for one in listed if self._parts.index.study(one.study_instance_uid) is None]

    def _manifest_source(self) -> ManifestSource:
        return ManifestSource(
            self._names.repository_unique_id,
            self._names.retrieve_ae_title,
            self._names.dicomweb_url().rstrip("/"),
        )

    def _iti18(self) -> Transaction:
        return Transaction(
            iti18.REQUEST_TAG, iti18.ACTION, iti18.ANSWER_ACTION, self._query, code="ITI-18"
        )

    def _iti42(self) -> Transaction:
        return Transaction(
            iti42.REQUEST_TAG,
            iti42.ACTION,
            iti42.ANSWER_ACTION,
            self._register,
            writes=True,
            correctable=True,
            audit_action=Action.SUBMIT_DOCUMENTS,
            code="ITI-42",
        )

    def _register(self, call: Call) -> Answer:
        with self._parts.database.joined(call.session):
            return iti42.register_document_set(call.body, call.session, self._submitter(call))

    def _iti51(self) -> Transaction:
        return Transaction(
            iti51.REQUEST_TAG, iti51.ACTION, iti51.ANSWER_ACTION, self._query_many, code="ITI-51"
        )

    def _query(self, call: Call) -> Answer:
        return self._queried(call, iti18.stored_query)

    def _query_many(self, call: Call) -> Answer:
        return self._queried(call, iti51.multi_patient_query)

    def _queried(
        self, call: Call, run: Callable[[etree._Element, Viewpoint], QueryAnswer]
    ) -> Answer:
        people = self._people()
        gate = self._gate(call, Action.QUERY_REGISTRY, people)
        with self._parts.database.joined(call.session):
            answer = run(call.body, Viewpoint(call.session, people, gate))
        detail = f"query {answer.query_id[:_LONGEST_ID]}"
        asked = stored_query(call.body)
        if answer.error:
            fact = AuditFact("failure", "", f"{detail} {answer.error}", query=asked)
            return Answer(answer.shell, (fact,))
        facts = (replace(fact, query=asked) for fact in _query_facts(gate, detail))
        return Answer(answer.shell, tuple(facts), objects=answer.objects)

    def _administration(self) -> list[Transaction]:
        parts = AdministrationParts(
            self._domain,
            self._parts.database.clock,
            self._people,
            self._gate,
            self._submitter,
            self._is_held,
        )
        return AdministrationService(parts).transactions()

    def _repository_service(self) -> RepositoryService:
        return RepositoryService(
            RepositoryServiceParts(
                self._repository,
                self.intake,
                self._names.home_community_id,
                lambda call, action: self._gate(call, action, self._people()),
                self._submitter,
                self._is_held,
            )
        )

    def _gateways(self, local: Iterable[Transaction]) -> Gateways:
        parts, names = self._parts, self._names
        own = OwnNames(names.repository_unique_id, names.home_community_id)
        stands_on = GatewayParts(
            parts.database, parts.backend, parts.index, parts.patients, self._asker, parts.decode
        )
        return Gateways(stands_on, own, names.federation, local)

    def _fhir_parts(self, repository: Iterable[Transaction]) -> FhirParts:
        parts = self._parts
        return FhirParts(
            database=parts.database,
            backend=parts.backend,
            index=parts.index,
            links=parts.patients,
            audit=parts.audit,
            repository=self._repository,
            durable=self.intake,
            desk=self.refused,
            provide=next(row for row in repository if row.action == iti41.ACTION),
            people=self._people,
            gate=self._gate_of,
            domain=self._domain,
            dicomweb_url=self._names.dicomweb_url,
        )

    def _broker_parts(self) -> BrokerParts:
        parts = self._parts
        standings = Standings(parts.database, lambda: parts.authenticate({}))
        return BrokerParts(
            parts.database, parts.audit, self._people, self._gate_of, standings.subject
        )

    def _asker(self, call: Call, action: Action) -> Asker:
        people = self._people()
        return Asker(people, self._gate(call, action, people))

    def _submitter(self, call: Call) -> Submitter:
        people = self._people()
        gate = self._gate(call, Action.SUBMIT_DOCUMENTS, people)
        publish = call.work.publish if call.work else None
        return Submitter(self._domain, people, gate, self._parts.database.clock, publish)

    def _people(self) -> LinkedPeople:
        return LinkedPeople(self._parts.patients, self._names.patient_domains)

    def _is_held(self, session: Session, item: DocumentEntry | SubmissionSet | Folder) -> bool:
        people = self._people()
        person = people.person_of(item.linked_identifier)
        known = people.identifiers_of(person) if person else ()
        return bool(known) and self._parts.person_held(session, known)

    def _gate(self, call: Call, action: Action, people: LinkedPeople) -> Gate:
        return self._gate_of(call.subject, action, people)

    def _gate_of(self, subject: Subject, action: Action, people: LinkedPeople) -> Gate:
        parts = self._parts
        return Gate(subject, action, people, parts.sites_of_patient, parts.refusals_of_patient)


def _query_facts(gate: Gate, detail: str) -> Iterable[AuditFact]:
    if not gate.allowed and not gate.refused:
        yield AuditFact("success", "", f"{detail}: nobody concerned")
    for person in gate.allowed:
        yield AuditFact("success", person, detail)
    for person in gate.refused:
        yield AuditFact("refused", person, detail)
