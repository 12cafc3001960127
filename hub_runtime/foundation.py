"""What every part of a hub stands on, and who may come in: made first, knowing no other part."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from access_control.accounts import Accounts
from access_control.audit import AuditTrail, HeadKeeper
from access_control.break_glass import BreakGlass
from access_control.consent import Consents
from access_control.health_links import HealthLinks
from access_control.legal_holds import LegalHolds
from access_control.secrets import KeyStore
from access_control.sessions import SessionLifetime, Sessions
from access_control.shared_links import SharedLinks
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from access_control.viewer_grants import ViewerGrants
from eir_versions.master_reading import HtMasterReader
from hub_kernel.clock import Clock, SystemClock
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.metrics import Metrics
from hub_kernel.outbox import Outbox
from hub_kernel.settings import Settings
from hub_runtime.backup.marker import refuse_half_restored
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.backends.orthanc_client import OrthancServer
from image_archive.backends.s3 import Bucket, S3Backend
from image_archive.masters import BackendWithMasters
from image_archive.tiers import TieredBackend
from patient_index.same_person import SamePerson


@dataclass(frozen=True)
class Foundation:
    """What every part stands on."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    outbox: Outbox
    database: Database
    keys: KeyStore
    backend: BackendWithMasters
    arrivals: threading.Event = field(default_factory=threading.Event)
    """Set by whoever hears that something came to Orthanc."""


@dataclass(frozen=True)
class Access:
    """Who may come in, and what they did."""

    sites: SiteDirectory
    accounts: Accounts
    sessions: Sessions
    tokens: MachineTokens
    links: SharedLinks
    health_links: HealthLinks
    viewer_grants: ViewerGrants
    consents: Consents
    same_person: SamePerson
    holds: LegalHolds
    break_glass: BreakGlass
    audit: AuditTrail


def foundation(settings: Settings) -> Foundation:
    """Return what everything else of the hub of `settings` is built on.

    Raises:
        ConfigurationError: the data folder cannot be made, or is half restored.
    """
    refuse_half_restored(settings)
    data = settings.hub.data_dir
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"hub.data_dir {data}: {error.strerror}") from error
    clock, outbox = SystemClock(), Outbox()
    return Foundation(
        settings=settings,
        clock=clock,
        metrics=Metrics(),
        outbox=outbox,
        database=Database(settings.database_url, outbox=outbox, clock=clock),
        keys=KeyStore(data / "secrets"),
        backend=BackendWithMasters(
            ARCHIVE_BACKENDS[settings.archive.backend](settings), HtMasterReader()
        ),
    )


def access_parts(base: Foundation) -> Access:
    """Return the sites, people, machines and rights of one hub, and its audit trail."""
    wanted = base.settings.access
    lifetime = SessionLifetime(wanted.session_idle_minutes * 60, wanted.session_hours * 3600)
    sessions = Sessions(base.database, base.clock, lifetime)
    viewer_s = base.settings.viewer.idle_minutes * 60
    link_key = base.keys.key("links")
    same_person = SamePerson(base.database)
    links = SharedLinks(base.database, base.clock, link_key)
    return Access(
        sites=SiteDirectory(base.database, base.clock),
        accounts=Accounts(base.database, base.clock),
        sessions=sessions,
        tokens=MachineTokens(base.database, base.clock),
        links=links,
        health_links=HealthLinks(links, base.clock, link_key),
        viewer_grants=ViewerGrants(
            sessions, base.clock, base.keys.key("viewer"), lifetime_s=viewer_s
        ),
        consents=Consents(base.database, base.clock, same_person),
        same_person=same_person,
        holds=LegalHolds(base.database, base.clock, same_person),
        break_glass=BreakGlass(base.database, base.clock),
        audit=AuditTrail(
            base.database,
            base.clock,
            base.keys.key("audit"),
            keeper=HeadKeeper(base.settings.hub.data_dir / "secrets" / "audit.head"),
        ),
    )


def _folder(settings: Settings) -> ArchiveBackend:
    """Return the archive in a folder; with a bucket named, that is its far tier."""
    near = _filesystem(settings)
    return TieredBackend(near, _bucket(settings, near)) if settings.s3.bucket else near


def _filesystem(settings: Settings) -> FilesystemBackend:
    wanted = settings.archive
    return FilesystemBackend(
        settings.archive_path, min_free_bytes=wanted.min_free_bytes, node=wanted.node
    )


def _s3(settings: Settings) -> ArchiveBackend:
    if not settings.s3.bucket:
        raise ConfigurationError('s3.bucket: archive.backend = "s3" needs the name of a bucket')
    return _bucket(settings, _filesystem(settings))


def _bucket(settings: Settings, local: FilesystemBackend) -> S3Backend:
    wanted = settings.s3
    return S3Backend(
        Bucket(
            name=wanted.bucket,
            endpoint=wanted.endpoint,
            region=wanted.region,
            prefix=wanted.prefix,
            access_key_id=wanted.access_key_id,
            secret_access_key=_secret(wanted.secret_access_key_file, "s3.secret_access_key_file"),
            encryption=wanted.encryption,
            kms_key_id=wanted.kms_key_id,
            timeout_s=wanted.timeout_s,
            uploads=wanted.uploads,
        ),
        local,
    )


def _orthanc(settings: Settings) -> ArchiveBackend:
    wanted = settings.orthanc
    if not wanted.url:
        raise ConfigurationError('orthanc.url: archive.backend = "orthanc" needs its address')
    if settings.archive.compact_after_days:
        raise ConfigurationError(
            "archive.compact_after_days: originals would leave Orthanc; it must be 0 with it"
        )
    server = OrthancServer(
        url=wanted.url,
        user=wanted.user,
        password=_secret(wanted.password_file, "orthanc.password_file"),
        timeout_s=wanted.timeout_s,
        uploads=wanted.uploads,
    )
    return OrthancBackend(server, _filesystem(settings))


def _secret(file: Path | None, setting: str) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{setting}: {file} cannot be read") from error


# The seam: a new backend is its module and one row here.
ARCHIVE_BACKENDS: Mapping[str, Callable[[Settings], ArchiveBackend]] = {
    "filesystem": _folder,
    "s3": _s3,
    "orthanc": _orthanc,
}
