"""Forwarding, wired from settings: rules, destinations and what sends to each kind of them."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from urllib3.util import make_headers

from dicom_router.commitment_messages import CommitmentReport
from dicom_router.forwarding.commitment import Commitments
from dicom_router.forwarding.desk import ForwardingDesk
from dicom_router.forwarding.enqueuing import Enqueuing, EnqueuingParts
from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import Item
from dicom_router.forwarding.pacing import RateCap
from dicom_router.forwarding.sender import Parcel
from dicom_router.forwarding.senders.dicom import DicomSender
from dicom_router.forwarding.senders.stow import StowSender, StowService
from dicom_router.forwarding.service import Configured, Forwarding
from dicom_router.forwarding.worker import LaneParts
from dicom_router.routing.rules_file import load_rules
from dicom_router.routing.windows import window
from dicom_router.sending.destinations import destination_of
from dicom_router.sending.outgoing import OutgoingInstances
from dicom_router.sending.stored_instances import StoredInstances
from dicom_router.transcoding import Transcoder
from eir_versions.decoding import DecoderPool
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.leases import is_dead_here, process_name
from hub_kernel.metrics import Metrics
from hub_kernel.outbox import Subscriber
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings
from hub_kernel.settings_destinations import RateSettings, WebDestinationSettings
from hub_runtime.edge import RULE, hub_destination
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from viewer_api.services import Delivery

_MEASURE_S, _COMMIT_S = 15.0, 5.0


@dataclass(frozen=True)
class ForwardingParts:
    """What forwarding is wired to."""

    database: Database
    archive: ArchiveService
    backend: ArchiveBackend
    index: ArchiveIndex
    metrics: Metrics
    decoders: DecoderPool


@dataclass(frozen=True)
class ForwardingWiring:
    """Forwarding as the hub uses it."""

    service: Forwarding
    enqueuing: Enqueuing
    desk: ForwardingDesk
    commitments: dict[str, Commitments]
    has_rules: bool

    def deliveries(self, sop_instance_uid: str) -> list[Delivery]:
        """Return what became of an instance at each destination, as the ledger's page shows it."""
        return [
            Delivery(
                one.destination,
                str(one.state),
                one.last_status,
                one.last_comment,
                one.settled_at or one.last_attempt_at or one.queued_at,
            )
            for one in self.desk.items_of_instance(sop_instance_uid)
        ]

    def hear(self, ae_title: str, report: CommitmentReport) -> None:
        """Take what a destination reports on storage commitment; strangers change nothing."""
        for one in self.commitments.values():
            if one.destination.ae_title == ae_title.strip():
                one.heard(report)

    def subscribers(self) -> list[Subscriber]:
        """Return the reaction to archived instances; none where no rule would ever match."""
        return [self.enqueuing.subscriber()] if self.has_rules else []

    def jobs(self) -> list[PeriodicJob]:
        """Return what forwarding does by itself from time to time."""
        if not self.service.destinations:
            return []
        return [
            PeriodicJob("forwarding-status", _MEASURE_S, self.service.measure, everywhere=True),
            PeriodicJob("forwarding-commitment", _COMMIT_S, self.service.ask_commitments),
        ]


def build_forwarding(parts: ForwardingParts, settings: Settings) -> ForwardingWiring:
    """Return forwarding as `settings` describe it.

    Raises:
        ConfigurationError: the rules or a destination cannot be used.
    """
    router, zone = settings.router, ZoneInfo(settings.hub.time_zone)
    commitments = {
        one.name: Commitments(parts.database, destination_of(one, router.ae_title))
        for one in router.destinations
        if one.commitment
    }
    configured = list(_configured(parts, settings, commitments))
    names = [one.name for one in configured]
    if len(set(names)) < len(names):
        raise ConfigurationError(
            "router.destinations, router.web_destinations: a name stands twice"
        )
    rules = load_rules(router.rules, names) if router.rules else ()
    # A gateway's own rule first, so that none with `stop` keeps anything from the hub.
    rules = (RULE, *rules) if settings.edge.hub_url else rules
    ledger = Ledger(parts.database)
    service = Forwarding(
        configured,
        LaneParts(
            database=parts.database,
            ledger=ledger,
            parcel_of=lambda item: _parcel(parts.index, item),
            metrics=parts.metrics,
            local=lambda moment: moment.astimezone(zone),
            owner=process_name(),
        ),
        is_dead_here,
    )
    enqueuing = EnqueuingParts(
        parts.database, parts.archive, parts.index, ledger, zone, service.wake
    )
    return ForwardingWiring(
        service=service,
        enqueuing=Enqueuing(rules, enqueuing),
        desk=ForwardingDesk(parts.database, names),
        commitments=commitments,
        has_rules=bool(rules),
    )


def _configured(
    parts: ForwardingParts, settings: Settings, commitments: dict[str, Commitments]
) -> Iterator[Configured]:
    transcoder = Transcoder(parts.backend, parts.decoders)
    instances = OutgoingInstances(StoredInstances(parts.backend), transcoder)
    for one in settings.router.destinations:
        asked = commitments.get(one.name)
        yield Configured(
            name=one.name,
            sender=DicomSender(destination_of(one, settings.router.ae_title), instances),
            associations=one.associations,
            caps=_caps(one.rates),
            ask_commitment=asked.ask if asked else None,
        )
    for web in settings.router.web_destinations:
        yield Configured(
            name=web.name,
            sender=StowSender(stow_service(web), parts.backend, transcoder),
            associations=web.associations,
            caps=_caps(web.rates),
        )
    if settings.edge.hub_url:
        yield hub_destination(settings.edge, parts.database, parts.archive)


def stow_service(configured: WebDestinationSettings) -> StowService:
    """Return the STOW-RS service that a table of `router.web_destinations` describes.

    Raises:
        ConfigurationError: one of its files cannot be used.
    """
    headers: dict[str, str] = {}
    if configured.token_file is not None:
        headers["Authorization"] = f"Bearer {_secret(configured.name, configured.token_file)}"
    elif configured.password_file is not None:
        headers |= make_headers(basic_auth=_secret(configured.name, configured.password_file))
    return StowService(configured.url, headers, _tls(configured))


def _tls(configured: WebDestinationSettings) -> ssl.SSLContext | None:
    if not configured.url.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=configured.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if configured.tls_certificate is not None:
            context.load_cert_chain(configured.tls_certificate, configured.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"router.web_destinations, {configured.name}: tls_ca, tls_certificate or tls_key: "
            f"{error}"
        ) from error
    return context


def _secret(name: str, file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"router.web_destinations, {name}: {file} cannot be read"
        ) from error
    if not lines or not lines[0].strip():
        raise ConfigurationError(f"router.web_destinations, {name}: {file} is empty")
    return lines[0].strip()


def _caps(rates: tuple[RateSettings, ...]) -> tuple[RateCap, ...]:
    return tuple(RateCap(window(one.hours, one.weekdays), one.kb_s * 1000) for one in rates)


def _parcel(index: ArchiveIndex, item: Item) -> Parcel | None:
    instance = index.instance(item.sop_instance_uid)
    return None if instance is None else Parcel(item, instance)
