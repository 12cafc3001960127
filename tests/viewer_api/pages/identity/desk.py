"""A small region whose people are hard to tell apart, and its registrars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from access_control.consent import Consents
from access_control.model import Role, Site
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_runtime.conflict_room import conflict_room
from hub_runtime.hl7_node import ExchangeAudit, SenderRights
from hub_runtime.hub import Hub
from patient_index.domains import Domain, DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.hl7v2.exchange import Hl7Parts
from patient_index.hl7v2.service import Hl7Service
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.model import (
    Address,
    Demographics,
    FeedOutcome,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)
from patient_index.service import PatientIndex
from tests.viewer_api.pages.region import PASSWORD, Region, open_region
from viewer_api.app import create_app
from viewer_api.services import ViewerServices

RESIDENT_ID = "310117197004270014"
RESIDENTS = AssigningAuthority("GA", "1.2.156.1.100")
REGISTRARS = (
    ("registrar", Role.REGISTRAR, None, "钱登记"),
    ("local", Role.REGISTRAR, ("central",), "中心登记"),
    ("far", Role.REGISTRAR, ("remote",), "外区登记"),
)
REMOTE = Site(
    "remote",
    "偏远卫生院",
    "Remote Clinic",
    "偏远卫生院",
    "township",
    ("REMOTE",),
    ("127.0.0.0/8",),
    AssigningAuthority("REMOTE", "1.2.826.99.9"),
)


@dataclass(frozen=True)
class Desk:
    """The region, the door its statements come through, and its refused messages."""

    region: Region
    feed: PatientFeed
    hl7: Hl7Service
    patients: PatientIndex

    @property
    def hub(self) -> Hub:
        """The hub behind it."""
        return self.region.hub

    @property
    def database(self) -> Database:
        """The hub's database."""
        return self.hub.database

    @property
    def application(self) -> Callable[..., Any]:
        """The pages; what the fixtures of the other pages ask a region for."""
        return self.region.application

    @property
    def consents(self) -> Consents:
        """The consents of the region."""
        return self.hub.access.consents

    def identifier(self, site_id: str, value: str) -> PatientIdentifier:
        """Return a number of a site."""
        return PatientIdentifier(value, self.hub.access.sites.get(site_id).assigning_authority)

    def person(self, site_id: str, value: str) -> str:
        """Return the global ID a number resolves to."""
        found = self.patients.resolve(self.identifier(site_id, value))
        assert found is not None
        return found

    def arrives(
        self, site_id: str, value: str, name: str, born: str, sex: str = "M", **more: Any
    ) -> FeedOutcome:
        """Let a site register somebody; `resident_id`, `phone` and `address` may be given."""
        alphabetic, _, ideographic = name.partition("=")
        identifiers = [TypedIdentifier(self.identifier(site_id, value))]
        if more.get("resident_id"):
            number = PatientIdentifier(more["resident_id"], RESIDENTS)
            identifiers.append(TypedIdentifier(number, IdentifierKind.RESIDENT_ID))
        return self.feed.register(
            PatientStatement(
                tuple(identifiers),
                Demographics(
                    name=PersonName(alphabetic, ideographic),
                    birth_date=date.fromisoformat(born),
                    sex=sex,
                    phones=tuple(filter(None, [more.get("phone", "")])),
                    address=Address(text=more.get("address", "")),
                ),
                source=site_id,
            )
        )

    def asks_about_a_borrowed_card(self, number: int) -> int:
        """Let two people come with one resident ID card; return the review it raises."""
        card = resident_number(number)
        self.arrives(
            "sijing", f"S{number}", f"Wang^Lin{'g' * (number % 2)}=王^琳", "1980-01-01", "F",
            resident_id=card,
        )  # fmt: skip
        outcome = self.arrives(
            "jiuting", f"J{number}", "Zhao^Qiang=赵^强", "1980-01-01", "F", resident_id=card
        )
        assert outcome.review_id is not None
        return outcome.review_id


def resident_number(number: int) -> str:
    """Return a valid resident ID number of a woman born on 1980-01-01 (GB 11643)."""
    return valid_number(f"31011719800101{number % 500 * 2:03d}")


def valid_number(body: str) -> str:
    """Return these seventeen digits with their check digit."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True))
    return body + "10X98765432"[total % 11]


@contextmanager
def open_desk(data: Path) -> Iterator[Desk]:
    """Open the region of the pages with matching, a feed and registrars."""
    with open_region(data) as region:
        hub = region.hub
        hub.access.sites.add(REMOTE)
        for username, role, sites, display in REGISTRARS:
            hub.access.accounts.add_user(
                username, PASSWORD, {role}, frozenset(sites) if sites else None, display
            )
        patients = PatientIndex(
            hub.database, hub.base.clock, hub.settings.identity, matcher=Matcher(load_weights())
        )
        hub = replace(hub, identity=replace(hub.identity, patients=patients))
        domains = DomainDirectory(
            [Domain(RESIDENTS.namespace, RESIDENTS.oid, (), may_assign=False)],
            lambda: [_domain(site) for site in hub.access.sites.all()],
        )
        feed = PatientFeed(patients, domains)
        lookup = PatientLookup(patients, domains)
        parts = Hl7Parts(
            database=hub.database,
            clock=hub.base.clock,
            domains=domains,
            patients=patients,
            feed=feed,
            lookup=lookup,
            audit=ExchangeAudit(hub.database, hub.access.audit),
            may_find=SenderRights(hub.access.consents, hub.access.sites, domains),
        )
        hl7 = Hl7Service(parts, any_address=True)
        yield Desk(Region(hub, create_app(_services(hub, hl7))), feed, hl7, patients)


def _domain(site: Site) -> Domain:
    authority = site.assigning_authority
    senders = (site.site_id, f"HIS|{authority.namespace}")
    return Domain(authority.namespace, authority.oid, senders)


def _services(hub: Hub, hl7: Hl7Service) -> ViewerServices:
    return ViewerServices(
        **vars(hub.access),
        certificates=hub.trust.certificates,
        database=hub.database,
        settings=hub.settings,
        archive=hub.archive,
        index=hub.index,
        patients=hub.patients,
        dicom_port=lambda: hub.address.dicom_port,
        eir=hub.eir,
        registry=hub.registry,
        metrics=hub.base.metrics,
        clock=hub.base.clock,
        refused_messages=hl7.refused,
        conflicts=conflict_room(hub).resolver,
        forwarding=hub.forwarding.desk,
        usage=hub.usage,
    )
