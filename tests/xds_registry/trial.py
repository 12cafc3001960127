"""A registry and repository for one trial machine that may do everything; run as a program too.

As a program it serves on a free port, which it prints, until its standard input is closed;
with `whole` it holds every body in memory first.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from waitress.server import create_server  # noqa: E402
from werkzeug.exceptions import NotFound  # noqa: E402
from werkzeug.middleware.dispatcher import DispatcherMiddleware  # noqa: E402

from access_control.audit import AuditTrail  # noqa: E402
from access_control.consent import Consents  # noqa: E402
from access_control.model import Role, Subject, SubjectKind  # noqa: E402
from access_control.sites import SiteDirectory  # noqa: E402
from hub_kernel.clock import SystemClock  # noqa: E402
from hub_kernel.database import Database  # noqa: E402
from hub_kernel.events import ObservedPatient  # noqa: E402
from hub_kernel.fhir.exchange import Refused
from hub_kernel.fhir.server import Endpoint, FhirApplication
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier  # noqa: E402
from hub_kernel.outbox import Outbox  # noqa: E402
from hub_kernel.person_names import PersonName  # noqa: E402
from hub_kernel.settings import IdentitySettings  # noqa: E402
from image_archive.backends.filesystem import FilesystemBackend  # noqa: E402
from image_archive.index import ArchiveIndex  # noqa: E402
from patient_index.same_person import SamePerson  # noqa: E402
from patient_index.service import PatientIndex  # noqa: E402
from tests.support.tables import create_tables
from xds_registry.affinity_domain import load_affinity_domain  # noqa: E402
from xds_registry.service import Registry, RegistryNames, RegistryParts  # noqa: E402

PATIENT_DOMAIN = "1.3.6.1.4.1.21367.2005.13.20.1000"
REPOSITORY_UID = "1.19.6.24.109.42.1"
HOME = "urn:oid:1.2.826.0.1.3680043.10.1717.3"
REGION = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"
TRIAL = Subject(
    SubjectKind.MACHINE,
    "trial",
    "trial",
    frozenset({Role.RADIOLOGIST, Role.DOCUMENT_SOURCE, Role.REGISTRAR}),
    None,
)


@dataclass(frozen=True)
class Trial:
    """The parts a test looks into."""

    database: Database
    backend: FilesystemBackend
    patients: PatientIndex
    audit: AuditTrail
    registry: Registry

    def know(self, value: str) -> str:
        """Make a person of the patient domain known; returns the CX."""
        issuer = AssigningAuthority(PATIENT_DOMAIN, PATIENT_DOMAIN)
        identifier = PatientIdentifier(value, issuer)
        name = PersonName(alphabetic=f"TEST^{value}")
        self.patients.observe(
            ObservedPatient(identifier=identifier, name=name, birth_date=date(1970, 1, 1), sex="M")
        )
        return f"{value}^^^&{PATIENT_DOMAIN}&ISO"

    @property
    def application(self) -> Any:
        """Both SOAP endpoints, and documents over FHIR, as one WSGI application."""
        registry = self.registry
        service = registry.documents_over_fhir
        doors = {
            "/fhir": FhirApplication(OpenDoor(), [service], Endpoint(), SystemClock()),
            "/xds/registry": registry.registry_app,
            "/xds/repository": registry.repository_app,
        }
        return DispatcherMiddleware(NotFound(), doors)


class OpenDoor:
    """Everybody is the trial machine."""

    def authenticate(self, environ: dict[str, Any]) -> Subject | None:
        return TRIAL

    def record_refusal(self, refused: Refused, caller: Subject | None, address: str) -> None:
        """Let it pass: refusals are asserted on by what is answered."""


@contextmanager
def trial(root: Path, domain: Path = REGION, *, create: bool = True) -> Iterator[Trial]:
    """Open a registry in `root`, by default an empty one."""
    clock, outbox = SystemClock(), Outbox()
    database = Database(f"sqlite:///{root / 'hub.sqlite'}", clock=clock, outbox=outbox)
    if create:
        create_tables(database)
    backend = FilesystemBackend(root / "archive")
    patients = PatientIndex(database, clock, IdentitySettings())
    audit = AuditTrail(database, clock, b"k" * 32)
    parts = RegistryParts(
        database,
        backend,
        ArchiveIndex(database),
        patients,
        SiteDirectory(database, clock),
        audit,
        lambda _environ: TRIAL,
        lambda _person: frozenset(),
        Consents(database, clock, SamePerson(database)).refusals,
    )
    names = RegistryNames(
        REPOSITORY_UID, HOME, "EIRHUB", lambda: "", patient_domains=frozenset({PATIENT_DOMAIN})
    )
    yield Trial(
        database, backend, patients, audit, Registry(parts, names, load_affinity_domain(domain))
    )
    database.dispose()


@contextmanager
def served(application: Any) -> Iterator[str]:
    """Serve on a free port of this machine; gives the address."""
    channels: dict[int, Any] = {}
    server = create_server(
        application,
        map=channels,
        listen="127.0.0.1:0",
        threads=4,
        max_request_body_size=4 * 1024**3,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        with suppress(OSError):  # woken by the shutdown, the loop may have closed it already
            server.trigger.pull_trigger(lambda: [one.close() for one in list(channels.values())])
        thread.join()


def _whole(application: Any) -> Any:
    """Hold every body in memory before it is read: what must not happen."""

    def read_first(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read())
        return application(environ, start_response)

    return read_first


def main() -> None:
    with trial(Path(sys.argv[1])) as here:
        cx = here.know("P-1")
        application = here.application
        with served(_whole(application) if "whole" in sys.argv else application) as base:
            print(base, cx, flush=True)  # noqa: T201
            sys.stdin.read()


if __name__ == "__main__":
    main()
