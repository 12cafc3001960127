"""A real hub around the FHIR endpoint: sites, tokens, audit trail, patient index, HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fhir.resources.R4B import get_fhir_model_class
from stdnum.cn import ric
from waitress.server import create_server
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.audit import AuditQuery, AuditRecord, AuditTrail
from access_control.consent import Consents
from access_control.model import Role, Site
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from hub_kernel.database import Database
from hub_kernel.fhir.requests import Limits
from hub_kernel.fhir.validation import require_valid
from hub_kernel.fhir.xml_format import read_xml
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.outbox import Outbox
from hub_kernel.settings import IdentitySettings
from hub_runtime.identity import FhirAccess
from hub_runtime.machine_authentication import AUTHENTICATIONS
from patient_index.domains import Domain, DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.fhir.exchange import Context
from patient_index.fhir.systems import Systems
from patient_index.fhir.wsgi import Endpoint, FhirApplication
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.same_person import SamePerson
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock
from tests.support.tables import create_tables

T1 = AssigningAuthority("T1", "1.2.826.0.1.3680043.10.1717.9.1")
T2 = AssigningAuthority("T2", "1.2.826.0.1.3680043.10.1717.9.2")
RESIDENTS = AssigningAuthority("CHN-ID", "2.16.156.10011.1.3")
ALIAS = "https://t1.example.cn/mrn"
GLOBAL = IdentitySettings().global_oid
SYSTEM_1, SYSTEM_2, SYSTEM_ID = (f"urn:oid:{one.oid}" for one in (T1, T2, RESIDENTS))
SYSTEM_GLOBAL = f"urn:oid:{GLOBAL}"
MOTHERS = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"

Json = dict[str, Any]

NUMBER = "11010819600506001" + ric.calc_check_digit("110108196005060010")
"""The resident ID number of a man born on 6 May 1960."""


@dataclass(frozen=True)
class HubAccess(FhirAccess):
    """Access control as the hub wires it, and what the tests hand out."""

    tokens: MachineTokens


@dataclass
class FhirHub:
    """The parts behind the endpoint, and the endpoint over HTTP."""

    database: Database
    clock: FixedClock
    access: HubAccess
    patients: PatientIndex
    application: FhirApplication
    base: str = ""
    _tokens: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def token(self, sites: frozenset[str] | None = None, role: Role = Role.RADIOLOGIST) -> str:
        key = (sites, role)
        if key not in self._tokens:
            expires = self.clock.now() + timedelta(days=1)
            name = f"{role}-{','.join(sorted(sites)) if sites is not None else 'region'}"
            self._tokens[key] = self.access.tokens.create(name, {role}, sites, expires)
        return self._tokens[key]

    def headers(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.token()}"}

    def get(self, path: str, token: str | None = None, **more: Any) -> requests.Response:
        headers = self.headers(token) | more.pop("headers", {})
        return checked(requests.get(f"{self.base}/{path}", headers=headers, timeout=20, **more))

    def send(
        self, method: str, path: str, resource: Any, token: str | None = None, **more: Any
    ) -> requests.Response:
        headers = self.headers(token) | {"Content-Type": "application/fhir+json"}
        headers |= more.pop("headers", {})
        body = {"json": resource} if not isinstance(resource, bytes | str) else {"data": resource}
        return checked(
            requests.request(
                method, f"{self.base}/{path}", headers=headers, timeout=20, **body, **more
            )
        )

    def feed(self, patient: Json, token: str | None = None, **more: Any) -> requests.Response:
        """Send a Patient under its first identifier, as its source would."""
        first = patient["identifier"][0]
        params = {"identifier": f"{first['system']}|{first['value']}"}
        return self.send("PUT", "Patient", patient, token, params=params, **more)

    def fed(self, patient: Json) -> str:
        """Feed a Patient that has to be taken; return the global ID."""
        response = self.feed(patient)
        assert response.status_code in {200, 201}, response.text
        return response.headers["Location"].rpartition("/")[2]

    def records(self) -> list[AuditRecord]:
        return list(self.access.audit.search(AuditQuery()).records)


def patient(value: str = "L-1", system: str = SYSTEM_1, **more: Any) -> Json:
    """A Patient as a township would feed it."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": value}],
        "name": [
            {"use": "official", "text": "王小东", "family": "王", "given": ["小东"]},
            {"use": "official", "family": "Wang", "given": ["XiaoDong"]},
        ],
        "gender": "male",
        "birthDate": "1960-05-06",
        **more,
    }


def checked(response: requests.Response) -> requests.Response:
    """Let every answer pass the oracle, our own check, and the rules of all answers."""
    assert "Traceback" not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    if media_type == "application/fhir+json":
        resource = response.json()
    elif media_type == "application/fhir+xml":
        resource = read_xml(response.content)
    else:
        assert response.content == b""
        return response
    require_valid(resource, resource["resourceType"])
    get_fhir_model_class(resource["resourceType"]).model_validate_json(json.dumps(resource))
    return response


def outcome(response: requests.Response) -> list[Json]:
    """Return the issues of an OperationOutcome."""
    body = response.json()
    assert body["resourceType"] == "OperationOutcome", body
    issues: list[Json] = body["issue"]
    return issues


def ids(response: requests.Response, mode: str = "match") -> list[str]:
    """Return the ids of the Patients in a searchset."""
    assert response.status_code == 200, response.text
    entries = response.json().get("entry", [])
    return [one["resource"]["id"] for one in entries if one["search"]["mode"] == mode]


def _site(site_id: str, issuer: AssigningAuthority) -> Site:
    return Site(
        site_id, f"{site_id}镇卫生院", f"{site_id} clinic", f"{site_id} 卫生院", "township",
        (f"AE{site_id.upper()}",), ("127.0.0.1/32",), issuer,
    )  # fmt: skip


def build(tmp_path: Path, clock: FixedClock) -> FhirHub:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", clock=clock, outbox=Outbox())
    create_tables(database)
    sites = SiteDirectory(database, clock)
    sites.add(_site("t1", T1))
    sites.add(_site("t2", T2))
    own = AssigningAuthority(IdentitySettings().global_namespace, GLOBAL)
    domains = DomainDirectory(
        (Domain(RESIDENTS.namespace, RESIDENTS.oid, may_assign=False),),
        lambda: [
            Domain(s.assigning_authority.namespace, s.assigning_authority.oid, (s.site_id,))
            for s in sites.all()
        ],
        own=own,
    )
    matcher = Matcher(load_weights(None))
    patients = PatientIndex(database, clock, IdentitySettings(), matcher=matcher)
    tokens = MachineTokens(database, clock)
    access = HubAccess(
        database=database,
        authenticated=AUTHENTICATIONS["token"](tokens),
        sites=sites,
        consents=Consents(database, clock, SamePerson(database)),
        audit=AuditTrail(database, clock, b"k" * 32),
        tokens=tokens,
    )
    context = Context(
        feed=PatientFeed(patients, domains),
        lookup=PatientLookup(patients, domains),
        database=database,
        systems=Systems(domains, own, {ALIAS: T1.oid}),
        access=access,
        clock=clock,
    )
    application = FhirApplication(context, Endpoint(version="0.1.0", limits=Limits(256 * 1024)))
    return FhirHub(database, clock, access, patients, application)


def serve(application: Callable[..., Any]) -> Iterator[str]:
    channels: dict[int, Any] = {}
    server = create_server(
        DispatcherMiddleware(NotFound(), {"/fhir": application}),
        map=channels, listen="127.0.0.1:0", threads=4, max_request_body_size=1024 * 1024,
    )  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}/fhir"
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
    with suppress(OSError):  # woken by the shutdown, the loop may have closed the trigger already
        server.trigger.pull_trigger(lambda: [one.close() for one in list(channels.values())])
    thread.join()


@contextmanager
def running(tmp_path: Path) -> Iterator[FhirHub]:
    """A hub with two townships, serving FHIR."""
    built = build(tmp_path, FixedClock())
    for base in serve(built.application):
        built.base = base
        yield built
    built.database.dispose()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FhirHub]:
    """A hub of one's own."""
    with running(tmp_path) as built:
        yield built


@pytest.fixture(scope="module")
def asked_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirHub]:
    """A hub that knows L-1 of T1, for the tests of a module that change nothing."""
    with running(tmp_path_factory.mktemp("asked")) as built:
        built.fed(patient("L-1"))
        yield built


def identifier(value: str, issuer: AssigningAuthority = T1) -> PatientIdentifier:
    return PatientIdentifier(value, issuer)
