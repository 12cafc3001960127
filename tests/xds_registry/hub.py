"""A real hub without its DICOM door: database, archive, people, sites, tokens, SOAP over HTTP."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from waitress.server import create_server
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.audit import AuditTrail
from access_control.consent import Consents
from access_control.legal_holds import holds_anything_of
from access_control.model import Role, Site, Subject
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.outbox import Outbox
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from patient_index.same_person import SamePerson
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock
from tests.support.tables import create_tables
from tests.xds_registry.samples import HOME, REPOSITORY_UID, TOWNSHIP
from xds_registry import store
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.model import DocumentEntry, Submission
from xds_registry.repository import DocumentRepository, RepositoryDocument
from xds_registry.service import Registry, RegistryNames, RegistryParts

DOMAIN = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"
OTHER_TOWNSHIP = AssigningAuthority("T2", "1.2.826.0.1.3680043.10.1717.9.2")


@dataclass
class Hub:
    """Everything the registry stands on, and the registry."""

    database: Database
    outbox: Outbox
    clock: FixedClock
    backend: FilesystemBackend
    archive: ArchiveService
    index: ArchiveIndex
    patients: PatientIndex
    sites: SiteDirectory
    tokens: MachineTokens
    audit: AuditTrail
    consents: Consents
    registry: Registry

    def know(self, value: str = "L-1", issuer: AssigningAuthority = TOWNSHIP) -> str:
        """Observe a patient and return the global ID."""
        return self.patients.observe(
            ObservedPatient(
                identifier=PatientIdentifier(value, issuer),
                name=PersonName(alphabetic="Wang^XiaoDong", ideographic="王^小东"),
                birth_date=date(1960, 5, 6),
                sex="M",
            )
        )

    def global_cx(self, global_id: str) -> str:
        return self.patients.global_identifier(global_id).cx

    def put(self, what: Submission) -> None:
        with self.database.unit_of_work() as work:
            store.register(work.session, what)

    def keep(self, document: DocumentEntry, data: bytes) -> DocumentEntry:
        """Store bytes for `document` in the repository; return it with their hash and size."""
        repository = DocumentRepository(self.backend, self.clock, REPOSITORY_UID)
        stored = repository.store(data)
        with self.database.unit_of_work() as work:
            repository.record(
                work.session, RepositoryDocument(document.unique_id, document.mime_type, stored)
            )
        return DocumentEntry(**{**vars(document), "sha1": stored.sha1, "size": stored.size})

    def token(self, name: str, sites: frozenset[str] | None, role: Role = Role.RADIOLOGIST) -> str:
        return self.tokens.create(name, {role}, sites, self.clock.now() + timedelta(days=1))


def _site(site_id: str, issuer: AssigningAuthority) -> Site:
    return Site(
        site_id, f"{site_id}镇卫生院", f"{site_id} clinic", f"{site_id} 卫生院", "township",
        (f"AE{site_id.upper()}",), ("127.0.0.1/32",), issuer,
    )  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, clock: FixedClock) -> Iterator[Hub]:
    outbox = Outbox()
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", clock=clock, outbox=outbox)
    create_tables(database)
    backend = FilesystemBackend(tmp_path / "archive")
    index = ArchiveIndex(database)
    patients = PatientIndex(database, clock, IdentitySettings())
    sites = SiteDirectory(database, clock)
    tokens = MachineTokens(database, clock)
    audit = AuditTrail(database, clock, b"k" * 32)
    sites.add(_site("t1", TOWNSHIP))
    sites.add(_site("t2", OTHER_TOWNSHIP))

    def authenticate(environ: dict[str, Any]) -> Subject | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return tokens.subject(token) if scheme == "Bearer" else None

    def sites_of_patient(identifiers: Collection[PatientIdentifier]) -> frozenset[str]:
        issuers = {one.issuer.oid for one in identifiers}
        return frozenset(s.site_id for s in sites.all() if s.assigning_authority.oid in issuers)

    consents = Consents(database, clock, SamePerson(database))
    parts = RegistryParts(
        database,
        backend,
        index,
        patients,
        sites,
        audit,
        authenticate,
        sites_of_patient,
        consents.refusals,
        holds_anything_of,
    )
    names = RegistryNames(
        REPOSITORY_UID, HOME, "EIRHUB", lambda: "http://127.0.0.1:8080/dicom-web", "", 1_000_000
    )
    registry = Registry(parts, names, load_affinity_domain(DOMAIN))
    for subscriber in registry.subscribers():
        outbox.subscribe(subscriber)
    archive = ArchiveService(database, backend, clock, quiet_period_s=60)
    yield Hub(
        database,
        outbox,
        clock,
        backend,
        archive,
        index,
        patients,
        sites,
        tokens,
        audit,
        consents,
        registry,
    )
    database.dispose()


@dataclass(frozen=True)
class Web:
    """The hub's two SOAP endpoints over HTTP."""

    base: str

    @property
    def registry(self) -> str:
        return f"{self.base}/xds/registry"

    @property
    def repository(self) -> str:
        return f"{self.base}/xds/repository"

    def post(
        self, url: str, data: bytes, token: str, content_type: str = "application/soap+xml"
    ) -> requests.Response:
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {token}"}
        return requests.post(url, data, headers=headers, timeout=10)


def serve(application: Callable[..., Any]) -> Iterator[str]:
    channels: dict[int, Any] = {}
    server = create_server(application, map=channels, listen="127.0.0.1:0", threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
    # The server may wake by itself and close its own trigger before it is pulled.
    with suppress(OSError):
        server.trigger.pull_trigger(
            lambda: [channel.close() for channel in list(channels.values())]
        )
    thread.join()


@pytest.fixture
def web(hub: Hub) -> Iterator[Web]:
    application = DispatcherMiddleware(
        NotFound(),
        {
            "/xds/registry": hub.registry.registry_app,
            "/xds/repository": hub.registry.repository_app,
        },
    )
    for base in serve(application):
        yield Web(base)
