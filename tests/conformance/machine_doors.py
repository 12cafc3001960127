"""The doors that machines use, with every way to prove oneself, over real TLS on loopback.

One person is known at site t1 and has a study there, registered and archived. Every kind of
credential is made here once; `aimed` lists requests at that person, one for every route there is.
"""

import http.client
import json
import ssl
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lxml import etree
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.audit import AuditEvent, AuditTrail
from access_control.certificates import MachineCertificates
from access_control.consent import EVERYONE, ConsentKind, Consents
from access_control.model import ANONYMOUS, Site, Subject
from access_control.saml.assertions import Assertions
from access_control.saml.names import WSSE
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.fhir.exchange import Refused
from hub_kernel.fhir.server import Endpoint, FhirApplication
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.outbox import Outbox
from hub_kernel.person_names import PersonName
from hub_kernel.settings import Settings, WebSettings
from hub_kernel.tasks import deliver_all_due
from hub_kernel.tls import TlsFiles
from hub_runtime.http_server import HttpServer
from hub_runtime.identity import FhirAccess, build_identity, fhir_application
from hub_runtime.machine_authentication import Authenticate, by_credentials
from hub_runtime.machine_trust import vouching
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from patient_index.fhir.wsgi import ROUTES as FHIR_ROUTES
from patient_index.same_person import SamePerson
from tests.conformance.machine_credentials import Credential, headed, issued_credentials
from tests.support.assertions import Provider, Wanted, assertion, signed
from tests.support.certificates import Authority
from tests.support.clock import FixedClock
from tests.support.tables import create_tables
from tests.xds_registry import imaging_wire, studies, subscribing, wire
from tests.xds_registry.samples import HOME, IMAGES, REPOSITORY_UID, TOWNSHIP
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.model import DocumentEntry
from xds_registry.service import Registry, RegistryNames, RegistryParts
from xds_registry.subscriptions_consumers import NotificationSettings
from xds_registry.wsgi import SoapEndpoint

DOMAIN = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"
STUDY = "1.2.3.4"
CONSUMER = "https://consumer.test/"
OTHER = AssigningAuthority("T2", "1.2.826.0.1.3680043.10.1717.9.2")


@dataclass(frozen=True)
class Answered:
    """What came back: a status, 0 when TLS itself ended the connection, and the bytes."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Aimed:
    """One request at the person; `route` names the route it is for. `is_soap` takes assertions."""

    route: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/soap+xml"
    is_soap: bool = True


@dataclass
class Doors:
    """The hub's parts, the open port, and every credential by its name."""

    database: Database
    clock: FixedClock
    audit: AuditTrail
    consents: Consents
    registry: Registry
    authority: Authority
    provider: Provider
    person: str
    cx: str
    entry: DocumentEntry
    credentials: dict[str, Credential] = field(default_factory=dict)
    port: int = 0
    _count: int = 0
    _last: etree._Element | None = None

    @property
    def words(self) -> tuple[bytes, ...]:
        """What gives the person or a document away."""
        words = (
            self.entry.entry_uuid,
            self.entry.unique_id,
            "XiaoDong",
            "小东",
            "L-1",
            "胸部",
            self.person,
        )
        return tuple(word.encode() for word in words)

    def shown(self, aimed: Aimed, answered: Answered) -> list[bytes]:
        """The words that the answer gives away and the question did not hold."""
        asked = aimed.body + aimed.path.encode()
        return [word for word in self.words if word in answered.body and word not in asked]

    def refuse(self) -> None:
        """The person refuses that anybody sees anything."""
        self.consents.record(
            self.person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk"
        )

    def send(self, aimed: Aimed, credential: Credential) -> Answered:
        """Send the request with the credential over TLS."""
        body = aimed.body
        if credential.says is not None and aimed.is_soap:
            body = self._with_assertion(body, credential)
        headers = {"Content-Type": aimed.content_type}
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if credential.certificate:
            own = credential.certificate
            context.load_cert_chain(own.certificate_file, own.key_file)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=30
        )
        with closing(connection):
            try:
                connection.request(aimed.method, aimed.path, body or None, headers)
                response = connection.getresponse()
                return Answered(response.status, response.read())
            except (ssl.SSLError, ConnectionError):
                return Answered(0, b"")

    def aimed(self) -> Iterator[Aimed]:
        """Yield a request for every transaction of every SOAP endpoint and every FHIR route."""
        for path, endpoint in soap_endpoints(self.registry).items():
            for transaction in endpoint._transactions:
                for name, body in self._bodies(transaction.request_tag, transaction.action):
                    yield Aimed(f"{path} {name}", "POST", path, body)
        yield from self._patients()
        yield from self._documents()

    def _bodies(self, tag: str, action: str) -> Iterator[tuple[str, bytes]]:
        status = ("$XDSDocumentEntryStatus", wire.APPROVED)
        patient = ("$XDSDocumentEntryPatientId", f"'{self.cx}'")
        uid = ("$XDSDocumentEntryUniqueId", f"('{self.entry.unique_id}')")
        many = ("$XDSDocumentEntryPatientId", f"('{self.cx}')")
        images = ("$XDSDocumentEntryClassCode", f"('{IMAGES.code}^^{IMAGES.scheme}')")
        others = [(f"$XDS{one}Status", wire.APPROVED) for one in ("SubmissionSet", "Folder")]
        queries = {
            "FindDocuments": (wire.FIND_DOCUMENTS, [patient, status], ""),
            "FindDocuments of the home": (wire.FIND_DOCUMENTS, [patient, status], HOME),
            "GetDocuments": (wire.GET_DOCUMENTS, [uid], ""),
            "GetAll": (wire.GET_ALL, [("$patientId", f"'{self.cx}'"), status, *others], ""),
            "MPQ": (wire.FIND_DOCUMENTS_FOR_MULTIPLE_PATIENTS, [many, status, images], ""),
        }
        name = f"{etree.QName(tag).localname} {action.rpartition(':')[2]}"
        if tag == f"{{{wire.QUERY}}}AdhocQueryRequest":
            for word, (query_id, slots, home) in queries.items():
                yield f"{name} {word}", wire.query(query_id, slots, action=action, home=home)
        elif tag == f"{{{wire.XDSB}}}RetrieveDocumentSetRequest":
            for home in ("", HOME):
                wanted = (home, REPOSITORY_UID, self.entry.unique_id)
                yield f"{name} {home}", imaging_wire.documents(wanted, action=action)
        elif tag == f"{{{imaging_wire.XDSI}}}RetrieveImagingDocumentSetRequest":
            image = (STUDY, f"{STUDY}.1", f"{STUDY}.1.1")
            yield (
                name,
                imaging_wire.images(image, repository=REPOSITORY_UID, home=HOME, action=action),
            )
        elif tag == f"{{{subscribing.WSNT}}}Subscribe":
            body = subscribing.subscribe(f"{CONSUMER}1", (subscribing.PATIENT, f"'{self.cx}'"))
            yield name, wire.envelope(body, action)
        else:
            yield name, wire.envelope(etree.Element(tag), action)

    def _patients(self) -> Iterator[Aimed]:
        local = f"urn:oid:{TOWNSHIP.oid}|L-1"
        patient = {
            "resourceType": "Patient",
            "identifier": [{"system": f"urn:oid:{TOWNSHIP.oid}", "value": "L-1"}],
        }
        resource = json.dumps(patient)
        parameters = _parameters({"name": "resource", "resource": patient})
        source = _parameters({"name": "sourceIdentifier", "valueString": local})
        for method, path, body, kind in (
            ("GET", f"Patient/$ihe-pix?sourceIdentifier={quote(local)}", "", ""),
            ("POST", "Patient/$ihe-pix", source, "application/fhir+json"),
            ("POST", "Patient/$match", parameters, "application/fhir+json"),
            ("GET", f"Patient?identifier={quote(local)}", "", ""),
            ("POST", "Patient/_search", f"identifier={quote(local)}", _FORM),
            ("PUT", f"Patient?identifier={quote(local)}", resource, "application/fhir+json"),
            ("GET", f"Patient/{self.person}", "", ""),
        ):
            yield _fhir("/fhir", method, path, body, kind)

    def _documents(self) -> Iterator[Aimed]:
        uuid = self.entry.entry_uuid.rpartition(":")[2]
        patient = f"patient.identifier={quote(f'urn:oid:{TOWNSHIP.oid}|L-1')}"
        for kind, key, state in (
            ("DocumentReference", uuid, "status=current"),
            ("List", uuid, "code=submissionset&status=current"),
            ("ImagingStudy", STUDY, ""),
        ):
            search = f"{patient}&{state}".rstrip("&")
            yield _fhir(DOCUMENTS, "GET", f"{kind}?{search}")
            yield _fhir(DOCUMENTS, "POST", f"{kind}/_search", search, _FORM)
            yield _fhir(DOCUMENTS, "GET", f"{kind}/{key}")
        yield _fhir(DOCUMENTS, "GET", f"Binary/{uuid}")
        for path, resource in (("", "Bundle"), ("DocumentReference", "DocumentReference")):
            yield _fhir(DOCUMENTS, "POST", path, f'{{"resourceType": "{resource}"}}', _JSON)

    def unaimed(self) -> list[str]:
        """FHIR routes that no request is aimed at."""
        aimed = [(one.method, one.path.partition("?")[0]) for one in self.aimed()]
        rows = [("/fhir", route.method, route.path) for route in FHIR_ROUTES]
        service = self.registry.documents_over_fhir
        rows += [(DOCUMENTS, route.method, route.path) for route in service.routes]
        return [
            f"{method} {base}/{pattern.pattern}"
            for base, method, pattern in rows
            if not any(
                method == sent and pattern.fullmatch(path[len(base) :].lstrip("/"))
                for sent, path in aimed
                if path == base or path.startswith(f"{base}/")
            )
        ]

    def _with_assertion(self, body: bytes, credential: Credential) -> bytes:
        if credential.again and self._last is not None:
            return headed(body, self._last)
        self._count += 1
        wanted = Wanted(self.clock.now(), assertion_id=f"_n{self._count}")
        unsigned = assertion(replace(wanted, **(credential.says or {})))
        made = signed(unsigned, self.provider.certified)
        if credential.spoil:
            credential.spoil(made)
        if not credential.spoil:
            self._last = made
        return headed(body, made)


def _parameters(*parameters: dict[str, Any]) -> str:
    return json.dumps({"resourceType": "Parameters", "parameter": parameters})


_FORM = "application/x-www-form-urlencoded"
_JSON = "application/fhir+json"
DOCUMENTS = "/documents"
"""Where these tests mount the registry's part of the FHIR endpoint."""


def _fhir(base: str, method: str, path: str, body: str = "", kind: str = "") -> Aimed:
    route = f"{base} {method} {path.partition('?')[0]}"
    address = f"{base}/{path}".rstrip("/")
    return Aimed(route, method, address, body.encode(), kind or _FORM, is_soap=False)


@dataclass(frozen=True)
class DocumentDoor:
    """Who comes in by FHIR to the registry, as the hub wires it."""

    who: Authenticate
    audit: AuditTrail

    def authenticate(self, environ: dict[str, Any]) -> Subject | None:
        return self.who(environ)

    def record_refusal(self, refused: Refused, caller: Subject | None, address: str) -> None:
        subject = caller or ANONYMOUS
        event = AuditEvent(
            "fhir_request", refused.outcome, subject, "document", "", address, refused.why
        )
        self.audit.record_now(event)


def soap_endpoints(registry: Registry) -> dict[str, SoapEndpoint]:
    """Every SOAP endpoint of the registry by its path; a new one is found by itself."""
    found = [one for one in vars(registry).values() if isinstance(one, SoapEndpoint)]
    return {one._name.path: one for one in found}


def _site(site_id: str, issuer: AssigningAuthority) -> Site:
    return Site(
        site_id, site_id, site_id, site_id, "township",
        (f"AE{site_id.upper()}",), ("127.0.0.1/32",), issuer,
    )  # fmt: skip


@contextmanager
def open_doors(root: Path) -> Iterator[Doors]:
    """Open a hub in `root` with its machine doors on one TLS port."""
    clock = FixedClock(datetime.now(UTC))
    outbox = Outbox()
    database = Database(f"sqlite:///{root / 'hub.sqlite'}", clock=clock, outbox=outbox)
    create_tables(database)
    authority = Authority(root)
    provider = Provider(
        authority.issue("idp", rsa_bits=2048),
        trust_changes={"organizations": {"urn:t1": frozenset({"t1"}), "urn:t2": frozenset({"t2"})}},
    )
    sites = SiteDirectory(database, clock)
    sites.add(_site("t1", TOWNSHIP))
    sites.add(_site("t2", OTHER))
    tokens, certificates = MachineTokens(database, clock), MachineCertificates(database, clock)
    authenticate = by_credentials(tokens, certificates, Assertions(database, clock, provider.trust))
    audit = AuditTrail(database, clock, b"k" * 32)
    consents = Consents(database, clock, SamePerson(database))
    settings = Settings()
    identity = build_identity(database, clock, settings, sites)
    patients = identity.patients

    def sites_of(identifiers: Collection[PatientIdentifier]) -> frozenset[str]:
        issuers = {one.issuer for one in identifiers}
        return frozenset(s.site_id for s in sites.all() if s.assigning_authority in issuers)

    backend = FilesystemBackend(root / "archive")
    parts = RegistryParts(
        database, backend, ArchiveIndex(database), patients, sites, audit, authenticate,
        sites_of, consents.refusals,
        vouch=vouching(authenticate),
        understood=frozenset({WSSE}),
    )  # fmt: skip
    names = RegistryNames(
        REPOSITORY_UID,
        HOME,
        "EIRHUB",
        lambda: "https://hub.test/dicom-web",
        notifications=NotificationSettings(allowed_consumers=(CONSUMER,)),
    )
    registry = Registry(parts, names, load_affinity_domain(DOMAIN))
    for subscriber in registry.subscribers():
        outbox.subscribe(subscriber)
    person = patients.observe(_HE)
    archive = ArchiveService(database, backend, clock, quiet_period_s=60)
    archive.store_file(studies.instance(STUDY, 1, 1), studies.ORIGIN)
    clock.advance(seconds=61)
    archive.complete_quiet_studies()
    deliver_all_due(database, outbox)
    entry = registry.manifest_of(STUDY)
    assert entry is not None
    fhir = fhir_application(
        identity, FhirAccess(database, authenticate, sites, consents, audit), settings, clock
    )
    cx = patients.global_identifier(person).cx
    doors = Doors(
        database, clock, audit, consents, registry, authority, provider, person, cx, entry
    )
    doors.credentials = issued_credentials(clock, authority, tokens, certificates, root)
    documents = FhirApplication(
        DocumentDoor(authenticate, audit), [registry.documents_over_fhir], Endpoint(), clock
    )
    mounts = {**soap_endpoints(registry), "/fhir": fhir, DOCUMENTS: documents}
    application = DispatcherMiddleware(NotFound(), mounts)
    hub = authority.issue("hub")
    tls = TlsFiles(hub.certificate_file, hub.key_file, (authority.file,))
    server = HttpServer(application, WebSettings(port=0), tls=tls)
    doors.port = int(server.start().rpartition(":")[2])
    try:
        # One that was used, to be shown again.
        doors.send(next(doors.aimed()), doors.credentials["assertion for the site"])
        yield doors
    finally:
        server.stop()
        database.dispose()


_HE = ObservedPatient(
    identifier=PatientIdentifier("L-1", TOWNSHIP),
    name=PersonName(alphabetic="Wang^XiaoDong", ideographic="王^小东"),
    birth_date=date(1960, 5, 6),
    sex="M",
)
