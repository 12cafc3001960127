"""The registry, its repository and its gateways, wired from settings."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from access_control.audit import AuditTrail
from access_control.consent import Consents
from access_control.legal_holds import holds_anything_of
from access_control.sites import SiteDirectory
from eir_versions.ledger import standing_versions
from eir_versions.service import EirService
from hub_kernel.config_files import shipped_config
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import RegistrySettings, Settings
from hub_runtime.machine_trust import MachineTrust
from hub_runtime.report_documents import FiledReports
from image_archive.backend import ArchiveBackend
from image_archive.exporting import ExportedInstance
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord
from patient_index.service import PatientIndex
from viewer_api.dicomweb.transcoding import explicit_little_endian
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.gateways.communities import Community
from xds_registry.gateways.service import Federation
from xds_registry.refused_submissions import DeskLimits
from xds_registry.service import Registry, RegistryNames, RegistryParts
from xds_registry.subscriptions_consumers import NotificationSettings

_COMMUNITY = TypeAdapter(Community)
_NOTIFY_S, _SWEEP_S, _PURGE_S = 2.0, 600.0, 3600.0


@dataclass(frozen=True)
class SharingParts:
    """What the registry is wired to; `dicomweb_url` is asked when a manifest is written."""

    database: Database
    backend: ArchiveBackend
    index: ArchiveIndex
    patients: PatientIndex
    eir: EirService
    sites: SiteDirectory
    consents: Consents
    audit: AuditTrail
    trust: MachineTrust
    dicomweb_url: Callable[[], str]


def build_registry(parts: SharingParts, settings: Settings) -> Registry:
    """Return the registry that `settings` describe.

    Raises:
        ConfigurationError: the affinity domain or a community cannot be used.
    """
    domain = settings.registry.affinity_domain or shipped_config("affinity_domain/region.toml")
    reports = FiledReports(parts.eir.reports, parts.index, parts.backend)
    wired = RegistryParts(
        database=parts.database,
        backend=parts.backend,
        index=parts.index,
        patients=parts.patients,
        sites=parts.sites,
        audit=parts.audit,
        authenticate=parts.trust.authenticate,
        sites_of_patient=lambda identifiers: sites_of(identifiers, parts.sites),
        refusals_of_patient=parts.consents.refusals,
        person_held=holds_anything_of,
        reports=reports if settings.registry.report_documents else None,
        decode=lambda instance: _uncompressed(parts, instance),
        standing_versions=standing_versions,
        vouch=parts.trust.vouch,
        understood=parts.trust.understood,
    )
    return Registry(wired, _names(parts, settings), load_affinity_domain(domain))


def body_limits(settings: RegistrySettings) -> dict[str, int]:
    """Return the largest HTTP bodies where documents are taken; base64 makes three bytes four."""
    return {
        "/xds/repository": settings.max_document_bytes * 3 // 2 + settings.max_soap_bytes,
        "/fhir": settings.max_fhir_bytes,
    }


def registry_jobs(registry: Registry) -> list[PeriodicJob]:
    """Return what the registry does by itself from time to time."""
    return [
        PeriodicJob("document-sweep", _SWEEP_S, registry.intake.sweep),
        PeriodicJob("refused-purge", _PURGE_S, registry.refused.purge),
        PeriodicJob("document-notifications", _NOTIFY_S, registry.broker.notify),
        PeriodicJob("subscription-purge", _PURGE_S, registry.broker.purge),
    ]


def sites_of(identifiers: Collection[PatientIdentifier], sites: SiteDirectory) -> frozenset[str]:
    """Return the sites where a person is known: whose authority issued one of their numbers."""
    issuers = {identifier.issuer for identifier in identifiers}
    return frozenset(s.site_id for s in sites.all() if s.assigning_authority in issuers)


def _names(parts: SharingParts, settings: Settings) -> RegistryNames:
    wanted = settings.registry
    return RegistryNames(
        repository_unique_id=wanted.repository_unique_id,
        home_community_id=wanted.home_community_id,
        retrieve_ae_title=settings.router.ae_title,
        dicomweb_url=parts.dicomweb_url,
        public_url=settings.web.public_url,
        max_body_bytes=wanted.max_soap_bytes,
        max_document_bytes=wanted.max_document_bytes,
        refused_limits=DeskLimits(
            wanted.refused_submissions, wanted.refused_bytes, wanted.refused_days
        ),
        patient_domains=frozenset(wanted.patient_domains),
        federation=Federation(_communities(wanted), settings.hub.data_dir),
        fhir_manifests=wanted.fhir_manifests,
        version_documents=wanted.version_documents,
        max_fhir_bytes=wanted.max_fhir_bytes,
        notifications=NotificationSettings(
            allowed_consumers=wanted.allowed_consumers,
            parked_after_days=wanted.notification_park_days,
            longest_days=wanted.subscription_days,
            most_per_subscriber=wanted.subscriptions_per_subscriber,
        ),
    )


def _communities(settings: RegistrySettings) -> tuple[Community, ...]:
    return tuple(map(_community, settings.communities))


def _community(table: dict[str, Any]) -> Community:
    known = {field.name for field in fields(Community)}
    if unknown := sorted(set(table) - known):
        raise ConfigurationError(
            f"registry.communities: {unknown[0]} is not a key; allowed: {', '.join(sorted(known))}"
        )
    try:
        return _COMMUNITY.validate_python(table)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # the input may be the token
        key = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"registry.communities: {key}: {first['msg']}") from None


def _uncompressed(parts: SharingParts, instance: InstanceRecord) -> ExportedInstance | None:
    return explicit_little_endian(
        lambda: parts.backend.open(instance.storage_key), instance, parts.eir.native_frame
    )
