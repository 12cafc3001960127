"""Every setting of the hub: its name, its type, its default and what it means.

Sections are the tables of the TOML files; `hub_kernel.settings_files` reads and merges them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]


class Section(BaseModel):
    """One table of the configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, use_attribute_docstrings=True
    )


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


class RouterSettings(Section):
    """The DICOM node."""

    bind: str = "127.0.0.1"
    """Address the DICOM port listens on."""
    port: Port = 11112
    """DICOM port; 0 takes any free port and the ready line says which."""
    tls_port: Port = 2762
    """Reserved for DICOM TLS; nothing listens on it yet."""
    ae_title: AeTitle = "EIRHUB"
    """The hub's own AE title."""
    accept_unknown_ae: bool = False
    """Trials only: admit any calling AE title. Works only while every listener is on loopback."""
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1_048_576)] = 262_144
    """Largest P-DATA-TF that peers may send."""
    max_associations: Annotated[int, Field(ge=1)] = 256
    """Associations at once; one more is rejected as transient (local limit exceeded)."""
    max_connections_per_address: Annotated[int, Field(ge=1)] = 256
    """Connections at once from one address."""
    association_timeout_s: Seconds = 10.0
    """From accepting a connection to its complete A-ASSOCIATE-RQ."""
    idle_timeout_s: Seconds = 60.0
    """Longest silence inside an association."""
    max_instance_bytes: Annotated[int, Field(ge=1024)] = 8_589_934_592
    """Largest dataset accepted; one byte more answers A700."""
    response_limit: Annotated[int, Field(ge=1)] = 10_000
    """Most C-FIND answers to one request."""
    private_sop_classes: tuple[str, ...] = ()
    """Storage SOP classes accepted beside the standard's own."""


class WebSettings(Section):
    """Pages, DICOMweb, SOAP and the API: one HTTP port."""

    bind: str = "127.0.0.1"
    """Address the HTTP port listens on."""
    port: Port = 8080
    """HTTP port; 0 takes any free port and the ready line says which."""
    public_url: str = ""
    """The address readers use, when a proxy stands in front; empty means the listening address."""
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests answered at once."""
    max_request_bytes: Annotated[int, Field(ge=1024)] = 16_777_216
    """Largest request body."""
    request_timeout_s: Seconds = 60.0
    """Longest silence of a client inside a request."""


class ViewerSettings(Section):
    """The full diagnostic viewer, on an origin of its own."""

    port: Port = 8081
    """Reserved for the diagnostic viewer; nothing listens on it yet."""


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


class DatabaseSettings(Section):
    """The database."""

    url: str = ""
    """SQLAlchemy URL; empty means SQLite in the data directory."""


class ArchiveSettings(Section):
    """The central archive."""

    backend: Literal["filesystem"] = "filesystem"
    """Which implementation of ArchiveBackend holds the bytes."""
    path: Path | None = None
    """Folder of the filesystem backend; by default `archive` in the data directory."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 268_435_456
    """With less free space every C-STORE answers A700, so that the database can still write."""


class StudySettings(Section):
    """When a study counts as complete."""

    quiet_period_s: Seconds = 60.0
    """Seconds without a new instance after which a study is complete."""


class TasksSettings(Section):
    """What happens after an instance has been archived."""

    engine: Literal["threads"] = "threads"
    """Which implementation of TaskEngine carries the work."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Renderings at once."""


class AccessSettings(Section):
    """Who may come in."""

    machine_authentication: Literal["token", "none"] = "token"
    """How SOAP clients prove themselves. `none` is for trials and works only on loopback."""
    session_hours: Annotated[float, Field(gt=0, le=168)] = 12.0
    """A signed-in reader is asked again after this long, whatever happens."""
    session_idle_minutes: Annotated[float, Field(gt=0)] = 60.0
    """A signed-in reader who does nothing is asked again after this long."""


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
    """TOML file of the affinity domain; by default the one that ships with the hub."""


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


class Settings(Section):
    """All sections."""

    hub: HubSettings = HubSettings()
    router: RouterSettings = RouterSettings()
    web: WebSettings = WebSettings()
    viewer: ViewerSettings = ViewerSettings()
    hl7: Hl7Settings = Hl7Settings()
    database: DatabaseSettings = DatabaseSettings()
    archive: ArchiveSettings = ArchiveSettings()
    study: StudySettings = StudySettings()
    tasks: TasksSettings = TasksSettings()
    access: AccessSettings = AccessSettings()
    identity: IdentitySettings = IdentitySettings()
    registry: RegistrySettings = RegistrySettings()
    eir: EirSettings = EirSettings()

    @property
    def database_url(self) -> str:
        """The database to open: the configured one, else SQLite in the data directory."""
        return self.database.url or f"sqlite:///{self.hub.data_dir.absolute() / 'eirhub.sqlite'}"

    @property
    def archive_path(self) -> Path:
        """The folder of the filesystem backend."""
        return self.archive.path or self.hub.data_dir / "archive"
