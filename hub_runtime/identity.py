"""The identity side of the hub, wired: domains, matching, feed and lookup, and their two doors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from access_control.atna_query import fhir_search
from access_control.audit import AuditEvent, AuditTrail
from access_control.consent import Consents
from access_control.model import ANONYMOUS, Action, Purpose, Resource, Site, Subject
from access_control.policy import decide
from access_control.sites import SiteDirectory
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.fhir.exchange import Caller, Service
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import Settings
from hub_runtime.machine_authentication import Authenticate
from patient_index.candidates import RESIDENTS
from patient_index.domains import Domain, DomainDirectory, domains_from_tables
from patient_index.feed import PatientFeed
from patient_index.fhir.access import AuditFact, Found
from patient_index.fhir.exchange import Context
from patient_index.fhir.systems import Systems
from patient_index.fhir.wsgi import Endpoint, FhirApplication
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.service import PatientIndex

# Resident ID numbers are the registration authority's; no sender may issue them.
_RESIDENTS = Domain(RESIDENTS.namespace, RESIDENTS.oid, (), may_assign=False)


@dataclass(frozen=True)
class Identity:
    """Who is who: the index, who may issue in which domain, and what is said and asked."""

    domains: DomainDirectory
    patients: PatientIndex
    feed: PatientFeed
    lookup: PatientLookup


def build_identity(
    database: Database, clock: Clock, settings: Settings, sites: SiteDirectory
) -> Identity:
    """Return the identity side; domains come from the settings and from the sites.

    Raises:
        ConfigurationError: a table of `identity.domains` or the weights are wrong.
    """
    identity = settings.identity
    domains = DomainDirectory(
        [*domains_from_tables(identity.domains), _RESIDENTS],
        lambda: [_domain_of(site) for site in sites.all()],
        own=AssigningAuthority(identity.global_namespace, identity.global_oid),
    )
    matcher = Matcher(load_weights(identity.matching_weights))
    patients = PatientIndex(database, clock, identity, matcher=matcher)
    return Identity(
        domains, patients, PatientFeed(patients, domains), PatientLookup(patients, domains)
    )


@dataclass(frozen=True)
class FhirAccess:
    """Access control for the FHIR endpoint: tokens, `decide`, consent, the audit trail."""

    database: Database
    authenticated: Authenticate
    sites: SiteDirectory
    consents: Consents
    audit: AuditTrail

    def authenticate(self, environ: dict[str, Any]) -> Subject | None:
        """Return the machine that asks, None when it proves nothing."""
        return self.authenticated(environ)

    def may_search(self, caller: Caller) -> bool:
        """Tell whether the caller may look for people at all."""
        return decide(
            _subject(caller), Action.FIND_PATIENT, Resource("patient"), Purpose.TREATMENT
        ).allowed

    def may_find(self, caller: Caller, found: Found) -> bool:
        """Tell whether the caller may know of this person."""
        # The OID alone says who issued: a domain may call the same issuer by another name.
        oids = {issuer.oid for issuer in found.issuers}
        known_at = frozenset(
            site.site_id for site in self.sites.all() if site.assigning_authority.oid in oids
        )
        refusals = self.consents.refusals_of(found.global_id)
        resource = Resource("patient", found.global_id, known_at, refusals=refusals)
        return decide(_subject(caller), Action.FIND_PATIENT, resource, Purpose.TREATMENT).allowed

    def reach(self, caller: Caller) -> frozenset[AssigningAuthority] | None:
        """Return the issuers of the caller's sites, None for the whole region."""
        sites = _subject(caller).sites
        if sites is None:
            return None
        mine = (site for site in self.sites.all() if site.site_id in sites)
        return frozenset(site.assigning_authority for site in mine)

    def sender(self, caller: Caller, domain: Domain) -> str | None:
        """Return which of the domain's senders the caller speaks for, None for none."""
        sites = {site.site_id for site in self.sites.all()}
        for sender in domain.senders if domain.may_assign else ():
            if sender not in sites and sender != _subject(caller).display:
                continue
            origin = Resource("patient", origin_site_id=sender if sender in sites else "")
            if decide(_subject(caller), Action.STORE, origin, Purpose.TREATMENT).allowed:
                return sender
        return None

    def record(
        self,
        facts: Sequence[AuditFact],
        caller: Caller | None,
        address: str,
        session: Session | None = None,
    ) -> None:
        """Write the facts, all or none: as part of `session`, else durable on return."""
        if not facts:
            return
        if session is None:
            with self.database.unit_of_work() as work:
                self.record(facts, caller, address, work.session)
            return
        for fact in facts:
            event = AuditEvent(
                action=fact.action,
                outcome=fact.outcome,
                subject=_subject(caller) if caller else ANONYMOUS,
                resource_kind="patient",
                resource_id=fact.global_id,
                address=address,
                detail=fact.detail,
                query=fhir_search(*fact.asked) if fact.asked[1] else "",
            )
            self.audit.record(session, event)


def fhir_application(
    identity: Identity, access: FhirAccess, settings: Settings, clock: Clock, *services: Service
) -> FhirApplication:
    """Return what answers at `/fhir`: the patient index, and `services` beside it."""
    own = AssigningAuthority(settings.identity.global_namespace, settings.identity.global_oid)
    context = Context(
        feed=identity.feed,
        lookup=identity.lookup,
        systems=Systems(identity.domains, own=own, aliases={}),
        access=access,
        clock=clock,
        database=access.database,
    )
    return FhirApplication(context, Endpoint(public_url=settings.web.public_url), *services)


def _domain_of(site: Site) -> Domain:
    authority = site.assigning_authority
    return Domain(authority.namespace, authority.oid, (site.site_id,))


def _subject(caller: Caller) -> Subject:
    """Return the caller as what `authenticate` made it."""
    assert isinstance(caller, Subject)  # noqa: S101 (told to mypy; nothing else is ever made)
    return caller
