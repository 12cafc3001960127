"""All wiring of the hub: settings in, one object graph out. Nothing starts until it is opened."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.usage import SiteUsage
from dicom_router.node import DicomNode, NodeParts
from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.service import EirService
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.outbox import Outbox
from hub_kernel.settings import Settings
from hub_kernel.tasks import PeriodicJob, TaskEngine, ThreadTaskEngine
from hub_runtime import schema
from hub_runtime.archive_room import ArchiveRoom
from hub_runtime.atna_shipping import ShippingParts, shipping_jobs
from hub_runtime.compacting import compaction_jobs
from hub_runtime.conflict_room import conflict_room, site_jobs
from hub_runtime.deidentifying import text_gate
from hub_runtime.edge_door import EdgeSide, edge_side, edge_side_parts
from hub_runtime.forwarding import (
    ForwardingParts,
    ForwardingWiring,
    build_forwarding,
)
from hub_runtime.foundation import Access, Foundation, access_parts, foundation
from hub_runtime.hl7_node import ExchangeAudit, SenderRights, hl7_node, hl7_service, node_settings
from hub_runtime.identity import FhirAccess, Identity, build_identity, fhir_application
from hub_runtime.machine_trust import MachineTrust, TrustParts, machine_trust
from hub_runtime.open_doors import refuse_open_doors
from hub_runtime.own_tls import dicom_tls_context, with_own_certificate
from hub_runtime.public_address import PublicAddress, public_address
from hub_runtime.sharing import SharingParts, build_registry, registry_jobs
from hub_runtime.versions import StaleLinks, VersionParts, build_versions
from image_archive.index import ArchiveIndex
from image_archive.rejections import Rejections
from image_archive.service import ArchiveService
from patient_index.contradiction import Contradictions
from patient_index.hl7v2.exchange import Hl7Parts
from patient_index.hl7v2.node import Hl7Node
from patient_index.service import PatientIndex
from viewer_api.app import create_app
from viewer_api.dicomweb.ready_metadata import ReadyMetadata
from viewer_api.services import ViewerServices
from xds_registry.service import Registry

Wsgi = Callable[..., Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hub:
    """Every part of one hub, wired; `open` before use, `close` after."""

    base: Foundation
    access: Access
    trust: MachineTrust
    archive: ArchiveService
    index: ArchiveIndex
    identity: Identity
    pool: DecoderPool
    eir: EirService
    registry: Registry
    edges: EdgeSide
    forwarding: ForwardingWiring
    address: PublicAddress
    usage: SiteUsage

    @property
    def settings(self) -> Settings:
        """The settings this hub was built from."""
        return self.base.settings

    @property
    def patients(self) -> PatientIndex:
        """The patient index."""
        return self.identity.patients

    @property
    def database(self) -> Database:
        """The hub's one database."""
        return self.base.database

    def open(self) -> None:
        """Bring the schema up to date and make bytes and rows agree.

        Raises:
            ConfigurationError: the database belongs to a newer version.
        """
        schema.upgrade(self.database)
        self.access.audit.begin()
        report = self.archive.reconcile()
        log.info("archive reconciled", extra={"report": str(report)})

    def close(self) -> None:
        """Keep the head of the audit trail; end child processes and database connections."""
        self.access.audit.keep_head()
        self.pool.stop()
        self.eir.close()
        self.archive.close()
        self.database.dispose()

    def task_engine(self) -> TaskEngine:
        """Return the configured engine over this hub's outbox and periodic jobs."""
        return TASK_ENGINES[self.settings.tasks.engine](self)

    def dicom_node(self, inherited: tuple[int, ...] = ()) -> DicomNode:
        """Return the DICOM node, not yet accepting; on `inherited` sockets, if there are any."""
        parts = NodeParts(
            directory=self.access.sites,
            archive=self.archive,
            index=self.index,
            audit=self.access.audit,
            consents=self.access.consents,
            usage=self.usage,
            database=self.database,
            metrics=self.base.metrics,
            time_zone=self.settings.hub.time_zone,
            decoders=self.pool,
            hear_report=self.forwarding.hear,
        )
        tls = dicom_tls_context(self.settings)
        return DicomNode(self.settings.router, parts, tls=tls, inherited=inherited)

    def hl7_node(self) -> Hl7Node:
        """Return the HL7 v2 listener, not yet listening."""
        return hl7_node(self._hl7_parts(), node_settings(self.settings))

    def _hl7_parts(self) -> Hl7Parts:
        return Hl7Parts(
            database=self.database,
            clock=self.base.clock,
            domains=self.identity.domains,
            patients=self.identity.patients,
            feed=self.identity.feed,
            lookup=self.identity.lookup,
            audit=ExchangeAudit(self.database, self.access.audit),
            may_find=SenderRights(self.access.consents, self.access.sites, self.identity.domains),
            results=self.eir.reports.take_result,
        )

    def wsgi(self) -> Wsgi:
        """Return everything that answers HTTP as one WSGI application."""
        fhir_access = FhirAccess(
            database=self.database,
            authenticated=self.trust.authenticate,
            sites=self.access.sites,
            consents=self.access.consents,
            audit=self.access.audit,
        )
        machines: dict[str, Wsgi] = {
            "/edge": self.edges.door,
            "/xds/registry": self.registry.registry_app,
            "/xds/repository": self.registry.repository_app,
            "/xds/imaging": self.registry.imaging_app,
            "/xds/gateway": self.registry.gateway_app,
            "/xds/subscriptions": self.registry.subscriptions_app,
            "/fhir": fhir_application(
                self.identity,
                fhir_access,
                self.settings,
                self.base.clock,
                self.registry.documents_over_fhir,
            ),
        }
        return DispatcherMiddleware(create_app(self.viewer_services()), machines)

    def viewer_services(self) -> ViewerServices:
        """Return what pages and endpoints work with."""
        return ViewerServices(
            **vars(self.access),
            certificates=self.trust.certificates,
            database=self.database,
            settings=self.settings,
            archive=self.archive,
            index=self.index,
            patients=self.patients,
            eir=self.eir,
            registry=self.registry,
            metrics=self.base.metrics,
            clock=self.base.clock,
            dicom_port=lambda: self.address.dicom_port,
            viewer_port=lambda: self.address.viewer_port,
            conflicts=conflict_room(self).resolver,
            refused_messages=hl7_service(self._hl7_parts(), node_settings(self.settings)).refused,
            forwarding=self.forwarding.desk,
            usage=self.usage,
            deliveries=self.forwarding.deliveries,
        )


def build_hub(settings: Settings) -> Hub:
    """Return the hub that `settings` describe.

    Raises:
        ConfigurationError: settings contradict each other, or the data folder cannot be made.
    """
    refuse_open_doors(settings)
    settings = with_own_certificate(settings)
    base = foundation(settings)
    access = access_parts(base)
    trust = machine_trust(
        settings.access.machine_authentication,
        TrustParts(base.database, base.clock, access.tokens),
        settings.access.saml_trust,
    )
    archive = _archive(base)
    index = ArchiveIndex(base.database, settled=archive.settled)
    identity = build_identity(base.database, base.clock, settings, access.sites)
    pool = _decoders(settings)
    versions = VersionParts(base, access, archive, index, pool, identity, text_gate(base))
    eir, stale = build_versions(versions), StaleLinks(versions)
    address = public_address(settings)
    sharing = SharingParts(
        database=base.database,
        backend=base.backend,
        index=index,
        patients=identity.patients,
        eir=eir,
        sites=access.sites,
        consents=access.consents,
        audit=access.audit,
        trust=trust,
        dicomweb_url=address.dicomweb,
    )
    registry = build_registry(sharing, settings)
    forwarded = ForwardingParts(base.database, archive, base.backend, index, base.metrics, pool)
    forwarding = build_forwarding(forwarded, settings)
    ready = ReadyMetadata(base.backend, index)
    # A gateway hands over and makes nothing of what it has.
    followers = () if settings.edge.hub_url else (identity.patients, registry, eir, stale, ready)
    _subscribe(base.outbox, Rejections(base.database, base.backend, index), *followers, forwarding)
    usage = SiteUsage(base.database, base.clock, settings.hub.time_zone)
    edges = edge_side(edge_side_parts(base, access, archive, trust.authenticate, usage))
    made = (base, access, trust, archive, index, identity, pool, eir, registry, edges)
    return Hub(*made, forwarding, address, usage)


@contextmanager
def opened_hub(settings: Settings, *, may_create: bool = False) -> Iterator[Hub]:
    """Give a hub with an up-to-date schema to a command, beside a running one or not.

    Raises:
        ConfigurationError: there is no hub in the data folder and the command may not make one: a
            mistyped folder must not be verified as whole.
    """
    data = settings.hub.data_dir
    if not may_create and not (data / "secrets").is_dir():
        raise ConfigurationError(f"no hub in {data}; check --data, or make one with eirhub serve")
    hub = build_hub(settings)
    try:
        schema.upgrade(hub.database)
        hub.access.audit.begin()
        yield hub
    finally:
        hub.close()


def periodic_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what a hub does by itself from time to time."""
    completion_s = min(5.0, hub.settings.study.quiet_period_s / 4)
    return [
        PeriodicJob("study-completion", completion_s, hub.archive.complete_quiet_studies),
        PeriodicJob("outbox-purge", 60.0, lambda: hub.base.outbox.purge(hub.database)),
        PeriodicJob("outbox-status", 5.0, lambda: _measure_outbox(hub)),
        PeriodicJob("session-purge", 600.0, hub.access.sessions.purge),
        PeriodicJob("link-purge", 600.0, hub.access.links.purge),
        PeriodicJob("audit-head", 3600.0, hub.access.audit.keep_head),
        PeriodicJob("archive-room", 10.0, ArchiveRoom(hub.base.backend).watch),
        *site_jobs(hub),
        *compaction_jobs(hub),
        *hub.trust.jobs,
        *registry_jobs(hub.registry),
        *hub.edges.jobs(),
        *hub.forwarding.jobs(),
        *shipping_jobs(hub.settings, ShippingParts(hub.database, hub.base.clock, hub.base.metrics)),
    ]


def _archive(base: Foundation) -> ArchiveService:
    quiet_s = base.settings.study.quiet_period_s
    return ArchiveService(
        base.database,
        base.backend,
        base.clock,
        base.metrics,
        quiet_period_s=quiet_s,
        doubted=Contradictions(base.database),
    )


def _subscribe(outbox: Outbox, *parts: Any) -> None:
    for part in parts:
        for subscriber in part.subscribers():
            outbox.subscribe(subscriber)


def _decoders(settings: Settings) -> DecoderPool:
    eir = settings.eir
    limits = PoolLimits(eir.decode_processes, eir.decode_memory_mb, eir.decode_timeout_s)
    return DecoderPool(limits)


def _measure_outbox(hub: Hub) -> None:
    with hub.database.read() as session:
        status = hub.base.outbox.status(session)
    hub.base.metrics.outbox.labels("pending").set(status.pending)
    hub.base.metrics.outbox.labels("parked").set(status.parked)


def _threads(hub: Hub) -> TaskEngine:
    engine = ThreadTaskEngine(
        hub.database, hub.base.outbox, periodic_jobs(hub), workers=hub.settings.tasks.workers
    )
    hub.database.on_published = engine.wake
    return engine


# The seam: a new engine is its module and one row here.
TASK_ENGINES: Mapping[str, Callable[[Hub], TaskEngine]] = {"threads": _threads}
