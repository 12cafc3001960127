"""The words of access control: subject, action, resource, purpose, decision, and the site."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier


class Role(StrEnum):
    """What a person or a machine is employed as; rights hang on it, never on a name."""

    RADIOLOGIST = "radiologist"
    CLINICIAN = "clinician"
    TECHNICIAN = "technician"
    MANAGER = "manager"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    REGISTRAR = "registrar"
    DOCUMENT_SOURCE = "document_source"
    EDGE = "edge"
    DATA_STEWARD = "data_steward"


class Action(StrEnum):
    """What somebody wants to do; every door of the hub asks for one of these."""

    FIND_PATIENT = "find_patient"
    VIEW_RECORD = "view_record"
    VIEW_DIAGNOSTIC = "view_diagnostic"
    VIEW_CLINICAL = "view_clinical"
    VIEW_PUBLIC = "view_public"
    QUERY_REGISTRY = "query_registry"
    RETRIEVE_DOCUMENT = "retrieve_document"
    SHARE = "share"
    VIEW_OPERATIONS = "view_operations"
    OPERATE = "operate"
    VIEW_AUDIT = "view_audit"
    STORE = "store"
    QUERY = "query"
    REVIEW_IDENTITY = "review_identity"
    MANAGE_CONSENT = "manage_consent"
    SUBMIT_DOCUMENTS = "submit_documents"
    ADMINISTER_DOCUMENTS = "administer_documents"
    RESOLVE_CONFLICT = "resolve_conflict"
    INSPECT_REFUSED = "inspect_refused"
    CLEAR_PICTURES = "clear_pictures"
    DEIDENTIFY = "deidentify"
    HOLD_RECORD = "hold_record"
    BREAK_GLASS = "break_glass"
    REVIEW_BREAK_GLASS = "review_break_glass"


class Purpose(StrEnum):
    """What for: the same act is allowed for one purpose and refused for another."""

    TREATMENT = "treatment"
    QUALITY = "quality"
    BREAK_GLASS = "break_glass"
    PATIENT = "patient"
    AUDIT = "audit"
    OPERATIONS = "operations"
    RESEARCH = "research"


class SubjectKind(StrEnum):
    """What kind of caller stands at the door."""

    USER = "user"
    MACHINE = "machine"
    LINK = "link"
    SITE = "site"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class Subject:
    """Who asks. `sites` is where the rights hold; None is the whole region, empty is nowhere.

    `bound_study_uid` is set for a link alone: the one study it opens. `bound_patient` is set for a
    reader inside the diagnostic viewer: an identifier of the one person whose studies it shows.
    `purpose` is what for, where the credential itself says it (XUA); None leaves it to the door.
    """

    kind: SubjectKind
    subject_id: str
    display: str
    roles: frozenset[Role] = frozenset()
    sites: frozenset[str] | None = frozenset()
    language: str = "zh"
    bound_study_uid: str = ""
    purpose: Purpose | None = None
    bound_patient: PatientIdentifier | None = None


ANONYMOUS = Subject(SubjectKind.ANONYMOUS, subject_id="anonymous", display="anonymous")


@dataclass(frozen=True)
class Refusals:
    """What a person has refused: to everyone, any shared link, or who works at these sites."""

    everyone: bool = False
    sharing: bool = False
    site_ids: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.everyone or self.sharing or bool(self.site_ids)


NO_REFUSALS = Refusals()


@dataclass(frozen=True)
class Resource:
    """What is asked for.

    `kind` is one of study, patient, document, operations, audit. `site_ids` are the sites where the
    *person* is known, the study's own included: there the treatment relation stands.
    `origin_site_id` is the one site where the study was made; rights over a site's own studies
    need it and are refused without it. A search names no `resource_id`; its answers must then be
    narrowed to the subject's sites, and to whom it is bound to. `refusals` are those of the person
    concerned, `identifiers` the numbers that person is known by. `glass_broken` says that the one
    who asks has opened that person's record in an emergency that has not ended.
    """

    kind: str
    resource_id: str = ""
    site_ids: frozenset[str] = frozenset()
    origin_site_id: str = ""
    refusals: Refusals = NO_REFUSALS
    identifiers: frozenset[PatientIdentifier] = frozenset()
    glass_broken: bool = False


@dataclass(frozen=True)
class Decision:
    """The answer, and the rule it rests on (for the audit record, never for the asker)."""

    allowed: bool
    rule: str


QueryScope = Literal["site", "region"]
Priority = Literal["normal", "high"]


@dataclass(frozen=True)
class Site:
    """A place whose modalities send here, and who issues the patient identifiers they carry.

    `networks` are CIDR; a site without any network admits nobody. `claimed_charset` is what its
    devices declare in (0008,0005), `used_charset` what they really send. `query_scope` says whether
    its C-FIND sees the site's own studies or the region's.

    `allowed_sop_classes` are the storage SOP classes it may send, none named: all the hub takes.
    Quotas of 0 are none; `max_bytes` and `max_instances` are of all that the archive holds of the
    site. A site of `high` priority finds room when the hub's associations are all
    taken. `tls_only` admits it by TLS with a certificate bound to it alone; the fingerprints
    (SHA-256, hex) of those that hold now follow from the certificates themselves, and are no part
    of what makes two descriptions equal.
    """

    site_id: str
    name: str
    name_en: str
    institution: str
    level: str
    ae_titles: tuple[str, ...]
    networks: tuple[str, ...]
    assigning_authority: AssigningAuthority
    claimed_charset: str = ""
    used_charset: str = ""
    query_scope: QueryScope = field(default="site")
    allowed_sop_classes: tuple[str, ...] = ()
    max_bytes_per_day: int = 0
    max_instances_per_day: int = 0
    max_bytes: int = 0
    max_instances: int = 0
    max_associations: int = 0
    priority: Priority = "normal"
    tls_only: bool = False
    certificate_fingerprints: tuple[str, ...] = field(default=(), compare=False)

    def as_subject(self) -> Subject:
        """Return the site as the one who asks, for `decide` and for the audit record."""
        region = self.query_scope == "region"
        sites = None if region else frozenset({self.site_id})
        return Subject(SubjectKind.SITE, self.site_id, self.name, sites=sites)

    @property
    def has_quotas(self) -> bool:
        """Whether what it sends is held against a quota."""
        quotas = (self.max_bytes_per_day, self.max_instances_per_day)
        return any((*quotas, self.max_bytes, self.max_instances))

    def may_send(self, sop_class_uid: str) -> bool:
        """Return whether the site may store instances of this SOP class."""
        return not self.allowed_sop_classes or sop_class_uid in self.allowed_sop_classes
