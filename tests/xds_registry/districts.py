"""Whole hubs of different communities in one process, answering over HTTP."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import requests
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.model import Role, Site, Subject
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import (
    HubSettings,
    IdentitySettings,
    RegistrySettings,
    Settings,
    StudySettings,
)
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.exporting import ExportedInstance
from image_archive.model import InstanceOrigin, InstanceRecord
from patient_index.model import Decided
from tests.support.tables import create_tables
from tests.xds_registry.hub import DOMAIN
from tests.xds_registry.trial import TRIAL, served
from viewer_api.dicomweb.transcoding import explicit_little_endian
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.gateways.client import ClientLimits
from xds_registry.gateways.communities import Community
from xds_registry.gateways.service import Federation
from xds_registry.service import Registry, RegistryNames, RegistryParts

ROOT = "1.2.826.0.1.3680043.10.1717"
QUICK = ClientLimits(connect_s=2, silence_s=5, query_s=10, retrieve_s=30)


@dataclass(frozen=True)
class Named:
    """How a district is known to others, and to its own people.

    One that is on `trial` lets everybody in. `domain` is its affinity domain, `patient_domain` the
    OID of identifiers that it accepts beside its own.
    """

    number: int
    home: str = ""
    repository: str = ""
    domain: Path = DOMAIN
    patient_domain: str = ""
    trial: bool = False

    @property
    def home_id(self) -> str:
        return self.home or f"urn:oid:{ROOT}.7{self.number}.3"

    @property
    def repository_id(self) -> str:
        return self.repository or f"{ROOT}.7{self.number}.2"

    @property
    def global_oid(self) -> str:
        return f"{ROOT}.7{self.number}.1"

    @property
    def authority(self) -> AssigningAuthority:
        """Who issues the local numbers of the district's one hospital."""
        return AssigningAuthority(f"H{self.number}", f"{ROOT}.7{self.number}.9")


@dataclass
class District:
    """One running hub."""

    named: Named
    hub: Hub
    registry: Registry
    url: str = ""
    token: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> InstanceOrigin:
        return InstanceOrigin("h", self.named.authority, "CT1", "EIRHUB", "127.0.0.1")

    def as_community(self, **changes: Any) -> Community:
        """How another district is told about this one."""
        given = {
            "home_community_id": self.named.home_id,
            "name": f"district {self.named.number}",
            "query_url": f"{self.url}/xds/gateway",
            "retrieve_url": f"{self.url}/xds/gateway",
            "imaging_url": f"{self.url}/xds/gateway",
            "patient_domain": self.named.patient_domain or self.named.global_oid,
            "token": self.token,
            **changes,
        }
        return Community(**given)

    def know(self, local_number: str, *others: PatientIdentifier) -> str:
        """Know a person by a local number, and by numbers of others; return the global ID."""
        own = PatientIdentifier(local_number, self.named.authority)
        global_id = self.hub.patients.observe(_observed(own))
        for other in others:
            self.hub.patients.observe(_observed(other))
            self.hub.patients.link(other, global_id, Decided("registrar", "same card"))
        return global_id

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        return self.hub.patients.global_identifier(global_id)

    def store(self, data: bytes) -> None:
        self.hub.archive.store_file(data, self.origin)

    def settle(self) -> None:
        """Let every study complete and be registered."""
        deliver_all_due(self.hub.database, self.hub.base.outbox)
        self.hub.archive.complete_quiet_studies()
        deliver_all_due(self.hub.database, self.hub.base.outbox)

    def token_of(self, name: str, sites: frozenset[str] | None, *roles: Role) -> str:
        if name not in self.tokens:
            self.tokens[name] = self.hub.access.tokens.create(
                name, roles or {Role.RADIOLOGIST}, sites,
                self.hub.base.clock.now() + timedelta(days=1),
            )  # fmt: skip
        return self.tokens[name]

    def post(self, path: str, data: bytes, token: str | None = None) -> requests.Response:
        headers = {
            "Content-Type": "application/soap+xml",
            "Authorization": f"Bearer {self.token if token is None else token}",
        }
        return requests.post(f"{self.url}{path}", data, headers=headers, timeout=60)


@contextmanager
def running_district(
    folder: Path,
    named: Named,
    communities: tuple[Community, ...] = (),
    *,
    version_documents: bool = False,
) -> Iterator[District]:
    """Run a district until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        hub=HubSettings(data_dir=folder),
        study=StudySettings(quiet_period_s=0.001),
        identity=IdentitySettings(global_namespace=f"D{named.number}", global_oid=named.global_oid),
        registry=RegistrySettings(
            repository_unique_id=named.repository_id,
            home_community_id=named.home_id,
            version_documents=version_documents,
        ),
    )
    hub = build_hub(settings)
    create_tables(hub.database)
    hub.access.audit.begin()
    hub.access.sites.add(_site(named))
    registry = _registry(hub, named, Federation(communities, folder, QUICK))
    district = District(named, hub, registry)
    district.token = district.token_of("region", None, Role.RADIOLOGIST, Role.DOCUMENT_SOURCE)
    mounted = {
        "/xds/registry": registry.registry_app,
        "/xds/repository": registry.repository_app,
        "/xds/imaging": registry.imaging_app,
        "/xds/gateway": registry.gateway_app,
    }
    try:
        with served(DispatcherMiddleware(NotFound(), mounted)) as url:
            district.url = url
            yield district
    finally:
        hub.close()


def _registry(hub: Hub, named: Named, federation: Federation) -> Registry:
    backend = hub.base.backend

    def authenticate(environ: dict[str, Any]) -> Subject | None:
        if named.trial:
            return TRIAL
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return hub.access.tokens.subject(token) if scheme == "Bearer" else None

    def decode(instance: InstanceRecord) -> ExportedInstance | None:
        return explicit_little_endian(
            lambda: backend.open(instance.storage_key), instance, hub.eir.native_frame
        )

    def sites_of(identifiers: Collection[PatientIdentifier]) -> frozenset[str]:
        issuers = {one.issuer.oid for one in identifiers}
        return frozenset({"h"}) if named.authority.oid in issuers else frozenset()

    parts = RegistryParts(
        database=hub.database,
        backend=backend,
        index=hub.index,
        patients=hub.patients,
        sites=hub.access.sites,
        audit=hub.access.audit,
        authenticate=authenticate,
        sites_of_patient=sites_of,
        refusals_of_patient=hub.access.consents.refusals,
        decode=decode,
    )
    names = RegistryNames(
        named.repository_id,
        named.home_id,
        "EIRHUB",
        lambda: "http://127.0.0.1:8080/dicom-web",
        federation=federation,
        patient_domains=frozenset({named.patient_domain} - {""}),
    )
    return Registry(parts, names, load_affinity_domain(named.domain))


def _site(named: Named) -> Site:
    return Site(
        "h", "县医院", "County hospital", "县医院", "county", ("CT1",), ("127.0.0.1/32",),
        named.authority,
    )  # fmt: skip


def _observed(identifier: PatientIdentifier) -> ObservedPatient:
    return ObservedPatient(
        identifier=identifier,
        name=PersonName(alphabetic="Wang^XiaoDong", ideographic="王^小东"),
        birth_date=date(1960, 5, 6),
        sex="M",
    )
