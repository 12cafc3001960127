"""The DICOM node: its ports, its one door, its two lanes, and the handlers behind them."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from access_control.audit import AuditTrail
from access_control.consent import Consents
from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from dicom_router.admission import Admission
from dicom_router.association import Reception
from dicom_router.association_audit import AssociationAudit
from dicom_router.commitment_desk import CommitmentDesk, CommitmentParts
from dicom_router.commitment_messages import CommitmentReport
from dicom_router.connection import Connection
from dicom_router.door import Door, DoorLimits
from dicom_router.handlers.c_find import FindRules, FindService
from dicom_router.handlers.c_store import StoreService
from dicom_router.handlers.commitment import CommitmentService, HearReport
from dicom_router.handlers.retrieve import RetrieveService
from dicom_router.listener import ListenAddress, Listener
from dicom_router.presentation import Offer, standard_storage_sop_classes
from dicom_router.proxied import ProxiedReception
from dicom_router.selection import Selector
from dicom_router.sending.delivery import DeliveryParts
from dicom_router.sending.destinations import destinations_by_ae_title
from dicom_router.sending.model import SendLimits
from dicom_router.sending.outgoing import OutgoingInstances
from dicom_router.sending.stored_instances import StoredInstances
from dicom_router.services import Services
from dicom_router.tls import SecureReception
from dicom_router.transcoding import Transcoder
from eir_versions.decoding import DecoderPool
from hub_kernel.database import Database
from hub_kernel.leases import is_dead_here, process_name
from hub_kernel.metrics import Metrics
from hub_kernel.proxies import Proxies
from hub_kernel.settings import RouterSettings
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService

log = logging.getLogger(__name__)

_GRACE_S = 10.0
_LAST_WORDS_S = 3.0
_LOOK_S = 0.05


def _nobody_listens(_ae_title: str, _report: CommitmentReport) -> None:
    """The hub has asked nobody for storage commitment."""


@dataclass(frozen=True)
class NodeParts:
    """What the node works with; made and closed by whoever makes the node.

    `hear_report` takes what destinations report on storage commitment. `time_zone` (IANA name) is
    that of datasets that say none.
    """

    directory: SiteDirectory
    archive: ArchiveService
    index: ArchiveIndex
    audit: AuditTrail
    consents: Consents
    usage: SiteUsage
    database: Database
    metrics: Metrics
    decoders: DecoderPool
    hear_report: HearReport = _nobody_listens
    time_zone: str = "Asia/Shanghai"


def _find_rules(settings: RouterSettings, parts: NodeParts) -> FindRules:
    return FindRules(
        settings.response_limit,
        settings.ae_title,
        ZoneInfo(parts.time_zone),
        always_relational=settings.relational_queries == "always",
    )


class DicomNode:
    """Serves C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET to the sites of the directory.

    With `tls` it listens on `settings.tls_port` too, where nothing but TLS is spoken. `inherited`
    are the descriptors of sockets that listen on these ports already.
    """

    def __init__(
        self,
        settings: RouterSettings,
        parts: NodeParts,
        *,
        tls: ssl.SSLContext | None = None,
        inherited: tuple[int, ...] = (),
    ) -> None:
        audit = AssociationAudit(parts.database, parts.audit)
        self._archive = parts.archive
        self._drain_s = settings.drain_s
        self._desk = _desk(settings, parts)
        storage = standard_storage_sop_classes() | frozenset(settings.private_sop_classes)
        self._door = Door(
            DoorLimits(settings.max_associations, settings.max_connections_per_address)
        )
        self._reception = Reception(
            settings=settings,
            admission=Admission(parts.directory, accept_unknown=settings.accept_unknown_ae),
            offer=Offer(storage, storage),
            services=self._services(settings, parts, audit, storage),
            door=self._door,
            audit=audit,
            metrics=parts.metrics,
        )
        self._usage = parts.usage
        sockets = iter(inherited)
        plain = ListenAddress(settings.bind, settings.port, next(sockets, None))
        self._plain = Listener(plain, self._door, self._from_proxies(settings, self._reception))
        self._secure: Listener | None = None
        if tls is not None:
            reception = SecureReception(tls, settings.association_timeout_s, self._reception)
            secure = ListenAddress(settings.bind, settings.tls_port, next(sockets, None))
            self._secure = Listener(secure, self._door, self._from_proxies(settings, reception))

    def start(self) -> int:
        """Listen; return the port.

        Raises:
            OSError: the address cannot be listened on.
        """
        port = self._plain.start()
        self._desk.start()
        log.info("DICOM node listening", extra={"port": port})
        return port

    def start_tls(self) -> int | None:
        """Listen for TLS too; return that port, None where there is no certificate to show.

        Raises:
            OSError: the address cannot be listened on.
        """
        if self._secure is None:
            return None
        port = self._secure.start()
        log.info("DICOM node listening for TLS", extra={"port": port})
        return port

    def stop(self, grace_s: float = _GRACE_S) -> None:
        """Take no more connections and let associations end by themselves for a while.

        Then messages under way are answered, and what is left is ended. What was acknowledged can
        be found afterwards.
        """
        listeners = [self._plain, *([self._secure] if self._secure else [])]
        for listener in listeners:
            listener.stop()
        for connection in self._door.waiting():
            connection.request_stop()
        drained = time.monotonic() + self._drain_s
        while not self._door.is_empty() and time.monotonic() < drained:
            time.sleep(_LOOK_S)
        for connection in self._door.present():
            connection.request_stop()
        deadline = time.monotonic() + grace_s
        waited = [listener.wait(deadline) for listener in listeners]
        if not all(waited):
            for connection in self._door.present():
                connection.shut()
            for listener in listeners:
                listener.wait(time.monotonic() + _LAST_WORDS_S)
        self._desk.stop()
        self._usage.flush()
        self._archive.settled()

    def _from_proxies(
        self, settings: RouterSettings, reception: Reception | SecureReception
    ) -> Callable[[Connection], None]:
        """Return what serves a connection, whether a client's own or one that a proxy passes on."""
        if not settings.proxies:
            return reception.serve
        return ProxiedReception(
            Proxies.of(settings.proxies),
            settings.association_timeout_s,
            reception.serve,
            self._reception.turned_away,
        ).serve

    def _services(
        self,
        settings: RouterSettings,
        parts: NodeParts,
        audit: AssociationAudit,
        storage: frozenset[str],
    ) -> Services:
        rules = _find_rules(settings, parts)
        return Services(
            StoreService(parts.archive, storage, settings.max_instance_bytes, parts.usage),
            FindService(parts.index, audit, parts.consents, parts.metrics, rules),
            _retrieval(settings, parts, audit),
            CommitmentService(self._desk, audit, parts.hear_report),
        )


def _retrieval(
    settings: RouterSettings, parts: NodeParts, audit: AssociationAudit
) -> RetrieveService:
    backend = parts.archive.backend
    outgoing = OutgoingInstances(StoredInstances(backend), Transcoder(backend, parts.decoders))
    return RetrieveService(
        Selector(parts.index, parts.consents),
        DeliveryParts(outgoing, _send_limits(settings)),
        destinations_by_ae_title(settings.destinations, settings.ae_title),
        audit,
    )


def _desk(settings: RouterSettings, parts: NodeParts) -> CommitmentDesk:
    return CommitmentDesk(
        CommitmentParts(
            parts.database,
            parts.index,
            parts.archive.backend,
            destinations_by_ae_title(settings.destinations, settings.ae_title),
            _send_limits(settings),
            settings.ae_title,
            owner=process_name(),
            is_dead=is_dead_here,
        )
    )


def _send_limits(settings: RouterSettings) -> SendLimits:
    return SendLimits(
        connect_s=settings.association_timeout_s,
        answer_s=settings.idle_timeout_s,
        patience_s=settings.idle_timeout_s,
    )
