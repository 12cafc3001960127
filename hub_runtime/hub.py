"""One hub as an object graph: its parts by name, and the doors it opens on the network."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.shared_keys import require_same_keys
from access_control.usage import SiteUsage
from dicom_router.node import DicomNode, NodeParts
from eir_versions.decoding import DecoderPool
from eir_versions.service import EirService
from hub_kernel.database import Database
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.edge_door import EdgeSide
from hub_runtime.forwarding import ForwardingWiring
from hub_runtime.foundation import Access, Foundation
from hub_runtime.hl7_node import ExchangeAudit, SenderRights, hl7_node, hl7_service, node_settings
from hub_runtime.identity import FhirAccess, Identity, fhir_application
from hub_runtime.machine_trust import MachineTrust
from hub_runtime.orthanc_door import OrthancDoor
from hub_runtime.orthanc_service import orthanc_service
from hub_runtime.own_tls import dicom_tls_context
from hub_runtime.public_address import PublicAddress
from image_archive.conflict_resolving import ConflictResolver
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from patient_index.hl7v2.exchange import Hl7Parts
from patient_index.hl7v2.node import Hl7Node
from patient_index.service import PatientIndex
from viewer_api.app import create_app
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

    def join(self) -> None:
        """Bring the schema up to date, and be one of the hub's machines.

        Raises:
            ConfigurationError: the database belongs to a newer version, or to another hub.
        """
        schema.upgrade(self.database)
        require_same_keys(self.database, self.base.keys)
        self.access.audit.begin()

    def open(self) -> None:
        """Join, and make bytes and rows agree.

        Raises:
            ConfigurationError: as `join`.
        """
        self.join()
        report = self.archive.reconcile()
        log.info("archive reconciled", extra={"report": str(report)})

    def close(self) -> None:
        """Keep the head of the audit trail; end child processes and database connections."""
        self.access.audit.keep_head()
        self.pool.stop()
        self.eir.close()
        self.archive.close()
        self.database.dispose()

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
            time_zone=ZoneInfo(self.settings.hub.time_zone),
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
            "/orthanc": orthanc_service(
                self.base, self.access, self.index, self.trust.authenticate
            ),
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
        orthanc = OrthancDoor(self.access.sites, self.settings)
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
            conflicts=ConflictResolver(self.database, self.archive, orthanc.readmit),
            refused_messages=hl7_service(self._hl7_parts(), node_settings(self.settings)).refused,
            forwarding=self.forwarding.desk,
            usage=self.usage,
            deliveries=self.forwarding.deliveries,
        )
