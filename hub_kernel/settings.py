"""Every setting of the hub: its name, its type, its default and what it means.

Sections are the tables of the TOML files; `hub_kernel.settings_files` reads and merges them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from hub_kernel.settings_archive import ArchiveSettings, OrthancSettings, S3Settings
from hub_kernel.settings_destinations import ForwardingOptions, WebDestinationSettings
from hub_kernel.settings_edge import EdgeSettings, UploadSettings
from hub_kernel.settings_monitor import MonitorSettings
from hub_kernel.settings_quotas import QuotaSettings
from hub_kernel.settings_retention import RetentionSettings
from hub_kernel.settings_types import AeTitle, Network, Port, Seconds, Section


class HubSettings(Section):
    """The hub as a whole."""

    name: str = "区域影像中心"
    """What pages and documents call this hub."""
    name_en: str = "Regional Imaging Centre"
    """The same in English."""
    time_zone: str = "Asia/Shanghai"
    """Time zone of the region (IANA name); pages show it, the database keeps UTC."""
    data_dir: Path = Path("data")
    """Where the embedded hub keeps everything: archive, database, keys."""
    log_format: Literal["json", "text"] = "json"
    """How log lines are written to standard error."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe line that is written."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        """Refuse a zone that the time zone database does not know."""
        if name not in available_timezones():
            raise ValueError("must be a name of the IANA time zone database, as Asia/Shanghai")
        return name


class DestinationSettings(ForwardingOptions):
    """One peer that instances are sent to: by C-MOVE, and by rules of forwarding."""

    ae_title: AeTitle
    """Its AE title; the one a C-MOVE names."""
    host: Annotated[str, Field(min_length=1)]
    """Host name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    """Port."""
    calling_ae_title: AeTitle | None = None
    """What the hub calls itself there; by default `router.ae_title`."""
    tls: bool = False
    """Speak DICOM TLS."""
    tls_check_host: bool = True
    """Its certificate must be for `host`; false where it is for the AE title alone."""
    tls_ca: Path | None = None
    """PEM file of the authority that signed its certificate, instead of the system's."""
    tls_certificate: Path | None = None
    """PEM client certificate the hub shows there."""
    tls_key: Path | None = None
    """PEM key of that certificate."""
    commitment: bool = False
    """It offers Storage Commitment: an instance counts as done there only once it is committed."""


class RouterSettings(Section):
    """The DICOM node."""

    bind: str = "127.0.0.1"
    """Address the DICOM port listens on."""
    port: Port = 11112
    """DICOM port; 0 takes any free port and the ready line says which."""
    tls_port: Port = 2762
    """DICOM TLS port, open only with a certificate; 0 takes any free port."""
    tls_certificate: Path | None = None
    """PEM certificate (chain) shown there; by default the one `eirhub certificate server` made."""
    tls_key: Path | None = None
    """PEM key of that certificate."""
    tls_client_ca: Path | None = None
    """PEM file of authorities beside the hub's own whose client certificates are taken."""
    tls_client_demanded: bool = True
    """Turn away on `tls_port` who shows no client certificate."""
    ae_title: AeTitle = "EIRHUB"
    """The hub's own AE title."""
    accept_unknown_ae: bool = False
    """Trials only: admit any calling AE title. Works only while every listener is on loopback."""
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1_048_576)] = 262_144
    """Largest P-DATA-TF that peers may send."""
    processes: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes that receive on the port; 0: one for each core. Limits below hold for each."""
    max_associations: Annotated[int, Field(ge=1)] = 256
    """Associations at once; one more is rejected as transient (local limit exceeded)."""
    max_connections_per_address: Annotated[int, Field(ge=1)] = 256
    """Connections at once from one address."""
    proxies: tuple[Network, ...] = ()
    """Networks of proxies that say by the PROXY protocol who calls; from there they must."""
    association_timeout_s: Seconds = 10.0
    """From accepting a connection to its complete A-ASSOCIATE-RQ."""
    idle_timeout_s: Seconds = 60.0
    """Longest silence inside an association."""
    drain_s: Annotated[float, Field(ge=0)] = 10.0
    """Longest time that associations may go on when the hub is asked to end."""
    max_instance_bytes: Annotated[int, Field(ge=1024)] = 8_589_934_592
    """Largest dataset accepted; one byte more answers A700."""
    response_limit: Annotated[int, Field(ge=1)] = 10_000
    """Most C-FIND answers to one request."""
    relational_queries: Literal["always", "negotiated"] = "always"
    """Queries without the unique keys of the levels above: always answered, or when negotiated."""
    private_sop_classes: tuple[str, ...] = ()
    """Storage SOP classes accepted beside the standard's own."""
    destinations: tuple[DestinationSettings, ...] = ()
    """Peers to send to, C-MOVE's included: tables of `name`, `ae_title`, `host`, `port`, `tls`."""

    web_destinations: tuple[WebDestinationSettings, ...] = ()
    """STOW-RS services to forward to: tables of `name`, `url`, `token_file`; see operations."""
    rules: Path | None = None
    """TOML file of the rules of forwarding; without it nothing is forwarded."""

    @field_validator("destinations")
    @classmethod
    def _told_apart(
        cls, destinations: tuple[DestinationSettings, ...]
    ) -> tuple[DestinationSettings, ...]:
        """Refuse two destinations of one name or one AE title: a C-MOVE names only the latter."""
        for what in ("name", "ae_title"):
            values = [getattr(one, what).strip() for one in destinations]
            if len(set(values)) < len(values):
                raise ValueError(f"two destinations have the same {what}")
        return destinations


class WebSettings(Section):
    """Pages, DICOMweb, SOAP and the API: one HTTP port."""

    bind: str = "127.0.0.1"
    """Address the HTTP port listens on."""
    port: Port = 8080
    """HTTP port; 0 takes any free port and the ready line says which."""
    public_url: str = ""
    """The address readers use, when a proxy stands in front; empty means the listening address."""
    proxies: tuple[Network, ...] = ()
    """Networks of proxies that are believed when X-Forwarded-For says who asks."""
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests answered at once."""
    max_request_bytes: Annotated[int, Field(ge=1024)] = 16_777_216
    """Largest request body."""
    max_store_bytes: Annotated[int, Field(ge=1024)] = 2_147_483_648
    """Largest body of a STOW-RS request; it lies on the archive's volume while it arrives."""
    request_timeout_s: Seconds = 60.0
    """Time in which a client must send, or take, another 64 KiB or all there is."""
    tls_certificate: Path | None = None
    """PEM certificate (chain) of `tls_port`; by default what `eirhub certificate server` made."""
    tls_key: Path | None = None
    """PEM key of that certificate."""
    tls_client_ca: Path | None = None
    """PEM file of authorities beside the hub's own whose client certificates are taken."""
    tls_client_demanded: bool = False
    """Turn away on `tls_port` who shows no client certificate."""
    tls_port: Port = 8443
    """HTTPS port, open only with a certificate; 0 takes any free port."""


class ViewerSettings(Section):
    """The full diagnostic viewer (OHIF), on an origin of its own; `make viewer` installs it."""

    port: Port = 8081
    """Port of the viewer, on `web.bind`, open once it is installed; 0 takes any free port."""
    public_url: str = ""
    """The address readers use, when a proxy stands in front; empty means the listening address."""
    path: Path | None = None
    """Folder the viewer is installed in; by default beside the hub's own program."""
    idle_minutes: Annotated[int, Field(ge=1, le=720)] = 30
    """Longest pause between two requests of an open viewer, then it is opened again."""


class Hl7Settings(Section):
    """HL7 v2 over MLLP: identity feed, PIX and PDQ."""

    bind: str = "127.0.0.1"
    """Address the HL7 port listens on."""
    port: Port = 2575
    """HL7 port; 0 takes any free port and the ready line says which."""
    tls_certificate: Path | None = None
    """PEM certificate; with it the port speaks TLS only."""
    tls_key: Path | None = None
    """PEM key of that certificate."""
    tls_client_ca: Path | None = None
    """PEM file of the authority whose client certificates are demanded."""
    max_message_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    """Largest message; more is refused and the connection closed."""
    max_buffered_bytes: Annotated[int, Field(ge=1024)] = 33_554_432
    """Most bytes of unfinished messages held for all senders together."""
    idle_timeout_s: Seconds = 300.0
    """Longest silence between two messages."""
    message_timeout_s: Seconds = 60.0
    """Longest time one message may take to arrive."""
    max_connections: Annotated[int, Field(ge=1)] = 256
    """Connections at once."""
    max_connections_per_address: Annotated[int, Field(ge=1)] = 32
    """Connections at once from one address."""
    query_limit: Annotated[int, Field(ge=1)] = 100
    """Most persons in one answer."""
    peers: tuple[dict[str, Any], ...] = ()
    """Where a sender may call from: tables of `sender`, `networks`, `certificates`."""
    any_address: bool = False
    """Beyond loopback a sender needs a row of `peers`; true admits one without from anywhere."""


class DatabaseSettings(Section):
    """The database."""

    url: str = ""
    """SQLAlchemy URL; empty means SQLite in the data directory."""


class StudySettings(Section):
    """When a study counts as complete."""

    quiet_period_s: Seconds = 60.0
    """Seconds without a new instance after which a study is complete."""


class TasksSettings(Section):
    """What happens after an instance has been archived."""

    engine: Literal["threads", "celery"] = "threads"
    """Which implementation of TaskEngine carries the work; `celery` is for many machines."""
    broker_url: str = ""
    """Where the broker of this hub alone answers: RabbitMQ (`amqp://…`) or Redis (`redis://…`)."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Renderings at once."""


class AccessSettings(Section):
    """Who may come in."""

    machine_authentication: Literal["token", "none"] = "token"
    """How SOAP clients prove themselves. `none` is for trials and works only on loopback."""
    saml_trust: Path | None = None
    """TOML file of the issuers whose SAML assertions (XUA) are taken; see docs/conformance."""
    session_hours: Annotated[float, Field(gt=0, le=168)] = 12.0
    """A signed-in reader is asked again after this long, whatever happens."""
    session_idle_minutes: Annotated[float, Field(gt=0)] = 60.0
    """A signed-in reader who does nothing is asked again after this long."""


class AuditSettings(Section):
    """An audit record repository beside the hub's own trail (IHE ITI-20)."""

    syslog_host: str = ""
    """Where audit messages are sent by TLS syslog; empty sends none."""
    syslog_port: Port = 6514
    """Port of the audit record repository."""
    syslog_ca: Path | None = None
    """PEM file of the authority that signed the repository's certificate."""
    syslog_certificate: Path | None = None
    """PEM client certificate the hub shows there."""
    syslog_key: Path | None = None
    """PEM key of that certificate."""
    site_id: str = ""
    """AuditEnterpriseSiteID in every message."""


class IdentitySettings(Section):
    """The affinity domain's own patient identifiers."""

    global_namespace: str = "EIR"
    """Namespace of global IDs."""
    global_oid: str = "1.2.826.0.1.3680043.10.1717.1"
    """OID of global IDs; a region sets its own."""
    domains: tuple[dict[str, Any], ...] = ()
    """Assigning authorities beside the sites': `namespace`, `oid`, `senders`, `may_assign`."""
    matching_weights: Path | None = None
    """TOML file of matching weights and thresholds; by default the one that ships with the hub."""


class RegistrySettings(Section):
    """XDS registry and repository."""

    repository_unique_id: str = "1.2.826.0.1.3680043.10.1717.2"
    """repositoryUniqueId of the embedded repository."""
    home_community_id: str = "urn:oid:1.2.826.0.1.3680043.10.1717.3"
    """homeCommunityId of this region."""
    affinity_domain: Path | None = None
    """TOML file of the affinity domain, or a `codes.xml`; by default the one that ships."""
    patient_domains: tuple[str, ...] = ()
    """OIDs of further domains whose identifiers are taken as patientId."""
    communities: tuple[dict[str, Any], ...] = ()
    """Other communities to ask: `home_community_id`, `name`, addresses, `token`; see operations."""
    fhir_manifests: bool = False
    """Register every manifest in its FHIR form (MADO, for trial use) too."""
    version_documents: bool = True
    """Register every rendered version as a document too, a transformation of its manifest."""
    report_documents: bool = True
    """Register the signed reports of a study as documents too, appended to its manifest."""
    max_fhir_bytes: Annotated[int, Field(ge=65_536)] = 33_554_432
    """Largest FHIR request, with the documents in it."""
    max_soap_bytes: Annotated[int, Field(ge=65_536)] = 8_388_608
    """Largest SOAP message of a request, without its documents."""
    max_document_bytes: Annotated[int, Field(ge=65_536)] = 2_147_483_648
    """Largest total of the documents of one request."""
    refused_days: Annotated[int, Field(ge=1)] = 30
    """Days a refused submission is kept to be corrected."""
    refused_submissions: Annotated[int, Field(ge=1)] = 5_000
    """Most refused submissions kept."""
    refused_bytes: Annotated[int, Field(ge=65_536)] = 4_294_967_296
    """Most bytes of refused submissions kept."""
    allowed_consumers: tuple[str, ...] = ()
    """Beginnings of the addresses that may be notified (ITI-53); none: nobody can subscribe."""
    notification_park_days: Annotated[int, Field(ge=1)] = 7
    """Days after which a notification that nobody takes is parked."""
    subscription_days: Annotated[int, Field(ge=1)] = 366
    """Longest subscription."""
    subscriptions_per_subscriber: Annotated[int, Field(ge=1)] = 100
    """Most subscriptions of one machine."""


class EirSettings(Section):
    """The Electronic Imaging Record."""

    recipes: Path | None = None
    """Folder of recipe files; by default those that ship with the hub."""
    decode_processes: Annotated[int, Field(ge=1, le=64)] = 2
    """Child processes that decode untrusted pixels."""
    decode_memory_mb: Annotated[int, Field(ge=256)] = 2048
    """Memory one such child may use."""
    decode_timeout_s: Seconds = 60.0
    """Longest time one picture may take before its child is ended."""
    find_text: bool = True
    """Look for text in the pixels of public pictures, where the recogniser is installed."""


class Settings(Section):
    """All sections."""

    hub: HubSettings = HubSettings()
    router: RouterSettings = RouterSettings()
    web: WebSettings = WebSettings()
    viewer: ViewerSettings = ViewerSettings()
    hl7: Hl7Settings = Hl7Settings()
    monitor: MonitorSettings = MonitorSettings()
    database: DatabaseSettings = DatabaseSettings()
    archive: ArchiveSettings = ArchiveSettings()
    s3: S3Settings = S3Settings()
    orthanc: OrthancSettings = OrthancSettings()
    quotas: QuotaSettings = QuotaSettings()
    retention: RetentionSettings = RetentionSettings()
    study: StudySettings = StudySettings()
    tasks: TasksSettings = TasksSettings()
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    identity: IdentitySettings = IdentitySettings()
    registry: RegistrySettings = RegistrySettings()
    eir: EirSettings = EirSettings()
    uploads: UploadSettings = UploadSettings()
    edge: EdgeSettings = EdgeSettings()

    @property
    def database_url(self) -> str:
        """The database to open: the configured one, else SQLite in the data directory."""
        return self.database.url or f"sqlite:///{self.hub.data_dir.absolute() / 'eirhub.sqlite'}"

    @property
    def archive_path(self) -> Path:
        """The folder of the filesystem backend."""
        return self.archive.path or self.hub.data_dir / "archive"
