"""The sites and their door: calling AE title + address → site (DICOM PS3.8 9.3.2, PS3.15).

An AE title alone proves nothing, anybody can write it; the address must be the site's as well,
and a certificate that the connection has proven must be bound to that site and that AE title.
"""

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from access_control.certificates import (
    MachineCertificate,
    MachineCertificates,
    fingerprint_of,
    pin_fingerprints,
    site_certificates,
)
from access_control.errors import (
    SiteExistsError,
    TlsDemandedError,
    UnknownCallingAeTitleError,
    WrongAddressError,
    WrongCertificateError,
)
from access_control.inert import inert
from access_control.model import Priority, QueryScope, Site
from access_control.site_rules import checked_site
from access_control.tables import SiteAeTitleRow, SiteRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.identifiers import AssigningAuthority

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CACHE_LIFETIME = timedelta(seconds=1)


@dataclass(frozen=True)
class _Known:
    """The sites as read at `read_at`, and the door: AE title → site and that site's networks.

    `certificates` are those of sites by fingerprint, whether they hold or not.
    """

    read_at: datetime
    sites: tuple[Site, ...]
    by_ae_title: Mapping[str, tuple[Site, tuple[_Network, ...]]]
    certificates: Mapping[str, MachineCertificate]


class SiteDirectory:
    """Every site the hub serves, kept in the database.

    `admit` and `all` answer from memory; a site added or a certificate revoked by another process
    is known one second later at most.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._certificates = MachineCertificates(database, clock)

    def add(self, site: Site, *, replace: bool = False) -> Site:
        """Keep `site` and return it as stored; adding the very same site again changes nothing.

        Certificates it names by fingerprint are bound to it; none is ever unbound here.

        Raises:
            InvalidSiteError: a field breaks a rule.
            SiteExistsError: the id is taken by a differing site (and not `replace`), an AE title
                is another site's, or another site spells the same assigning authority differently.
        """
        wanted = checked_site(site)
        try:
            with self._database.unit_of_work() as work:
                self._put(work.session, wanted, replace=replace)
        except IntegrityError as raced:
            raise SiteExistsError(f"site {wanted.site_id} was added at the same time") from raced
        with self._lock:
            self._known = None
        return wanted

    def get(self, site_id: str) -> Site:
        """Return the site called `site_id`.

        Raises:
            NotFoundError: there is none.
        """
        with self._database.read() as session:
            row = session.get(SiteRow, inert(site_id, 64))
            if row is None:
                raise NotFoundError("no site of this id")
            holding = self._holding(site_certificates(session))
            titles = _ae_titles(session, site_id).get(site_id, ())
            return _site(row, titles, holding.get(site_id, ()))

    def all(self) -> tuple[Site, ...]:
        """Return every site, by id, at most one second old."""
        return self._current().sites

    def admit(self, calling_ae_title: str, address: str, certificate: bytes | None = None) -> Site:
        """Return the site that calls itself `calling_ae_title` from `address` (numeric, v4 or v6).

        `certificate` is the one its TLS connection has proven, in DER; None where it proved none.

        Raises:
            UnknownCallingAeTitleError: no site has this AE title.
            WrongAddressError: the address is outside the networks of the site of that AE title.
            TlsDemandedError: the site is admitted with a certificate alone, and there is none.
            WrongCertificateError: the certificate is not this site's for this AE title, or is
                revoked or past its end.
        """
        current, title = self._current(), calling_ae_title.strip(" ")
        known = current.by_ae_title.get(title)
        if known is None:
            raise UnknownCallingAeTitleError("the calling AE title belongs to no site")
        site, networks = known
        caller = _address(address)
        if caller is None or not any(caller in network for network in networks):
            raise WrongAddressError(f"the address is in no network of site {site.site_id}")
        if certificate is not None:
            fingerprint = fingerprint_of(certificate)
            self._prove(current.certificates.get(fingerprint), site, title, fingerprint)
        elif site.tls_only:
            raise TlsDemandedError(f"site {site.site_id} is admitted by TLS with its certificate")
        return site

    def _prove(
        self, bound: MachineCertificate | None, site: Site, title: str, fingerprint: str
    ) -> None:
        """Return when the certificate of that fingerprint is the site's for this AE title.

        Raises:
            WrongCertificateError: it is not.
        """
        said = f"the certificate sha256:{fingerprint[:16]}"
        if bound is None:
            raise WrongCertificateError(f"{said} is bound to no site")
        if bound.site_id != site.site_id:
            raise WrongCertificateError(
                f"{said} is of site {bound.site_id}, the AE title of site {site.site_id}"
            )
        if not bound.holds(self._clock.now()):
            ending = "has ended" if bound.revoked_at is None else "was revoked"
            raise WrongCertificateError(f"{said} of site {site.site_id} {ending}")
        if bound.ae_titles and title not in bound.ae_titles:
            raise WrongCertificateError(
                f"{said} of site {site.site_id} is for {', '.join(bound.ae_titles)} only"
            )
        self._certificates.note_use(bound)

    def _current(self) -> _Known:
        """The cached admissions, re-read after a second; also when the clock was set back."""
        now = self._clock.now()
        with self._lock:
            cached = self._known
        if cached is not None and timedelta(0) <= now - cached.read_at < _CACHE_LIFETIME:
            return cached
        with self._database.read() as session:
            certificates = site_certificates(session)
            sites = _all(session, self._holding(certificates))
        fresh = _Known(now, sites, _by_ae_title(sites), certificates)
        with self._lock:
            self._known = fresh
        return fresh

    def _put(self, session: Session, site: Site, *, replace: bool) -> None:
        known = {other.site_id: other for other in _all(session)}
        present = known.pop(site.site_id, None)
        if present == site:
            pin_fingerprints(
                session, site.site_id, site.certificate_fingerprints, self._clock.now()
            )
            return
        if present is not None and not replace:
            raise SiteExistsError(f"site {site.site_id} exists and differs; replace it expressly")
        for other in known.values():
            _refuse_clash(site, other)
        session.execute(delete(SiteAeTitleRow).where(SiteAeTitleRow.site_id == site.site_id))
        session.merge(_row(site, self._clock.now()))
        session.flush()
        session.add_all(
            SiteAeTitleRow(ae_title=title, site_id=site.site_id, position=position)
            for position, title in enumerate(site.ae_titles)
        )
        pin_fingerprints(session, site.site_id, site.certificate_fingerprints, self._clock.now())

    def _holding(
        self, certificates: Mapping[str, MachineCertificate]
    ) -> dict[str, tuple[str, ...]]:
        """Return the fingerprints of the certificates that hold now, by site."""
        now, holding = self._clock.now(), dict[str, tuple[str, ...]]()
        for fingerprint, one in sorted(certificates.items()):
            if one.site_id is not None and one.holds(now):
                holding[one.site_id] = (*holding.get(one.site_id, ()), fingerprint)
        return holding


def _refuse_clash(site: Site, other: Site) -> None:
    shared = set(site.ae_titles) & set(other.ae_titles)
    if shared:
        raise SiteExistsError(f"AE title {min(shared)} belongs to site {other.site_id}")
    mine, theirs = site.assigning_authority, other.assigning_authority
    if (mine.namespace == theirs.namespace) != (mine.oid == theirs.oid):
        raise SiteExistsError(
            f"assigning authority {mine.namespace} ({mine.oid}) contradicts "
            f"{theirs.namespace} ({theirs.oid}) of site {other.site_id}: one namespace, one OID"
        )


def _all(
    session: Session, fingerprints: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Site, ...]:
    titles, holding = _ae_titles(session), fingerprints or {}
    rows = session.scalars(select(SiteRow).order_by(SiteRow.site_id))
    return tuple(
        _site(row, titles.get(row.site_id, ()), holding.get(row.site_id, ())) for row in rows
    )


def _ae_titles(session: Session, site_id: str | None = None) -> dict[str, tuple[str, ...]]:
    query = select(SiteAeTitleRow).order_by(SiteAeTitleRow.position)
    if site_id is not None:
        query = query.where(SiteAeTitleRow.site_id == site_id)
    titles: dict[str, tuple[str, ...]] = {}
    for row in session.scalars(query):
        titles[row.site_id] = (*titles.get(row.site_id, ()), row.ae_title)
    return titles


def _by_ae_title(sites: tuple[Site, ...]) -> dict[str, tuple[Site, tuple[_Network, ...]]]:
    admitted: dict[str, tuple[Site, tuple[_Network, ...]]] = {}
    for site in sites:
        networks = tuple(ipaddress.ip_network(network) for network in site.networks)
        admitted.update(dict.fromkeys(site.ae_titles, (site, networks)))
    return admitted


def _address(text: str) -> _Address | None:
    """The caller's address; an IPv4 caller on a dual-stack socket is an IPv4 caller."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def _site(row: SiteRow, ae_titles: tuple[str, ...], fingerprints: tuple[str, ...]) -> Site:
    return Site(
        site_id=row.site_id,
        name=row.name,
        name_en=row.name_en,
        institution=row.institution,
        level=row.level,
        ae_titles=ae_titles,
        networks=tuple(row.networks),
        assigning_authority=AssigningAuthority(row.authority_namespace, row.authority_oid),
        claimed_charset=row.claimed_charset,
        used_charset=row.used_charset,
        query_scope=cast("QueryScope", row.query_scope),
        allowed_sop_classes=tuple(row.allowed_sop_classes),
        max_bytes_per_day=row.max_bytes_per_day,
        max_instances_per_day=row.max_instances_per_day,
        max_bytes=row.max_bytes,
        max_instances=row.max_instances,
        max_associations=row.max_associations,
        priority=cast("Priority", row.priority),
        tls_only=row.tls_only,
        certificate_fingerprints=fingerprints,
    )


def _row(site: Site, added_at: datetime) -> SiteRow:
    return SiteRow(
        site_id=site.site_id,
        name=site.name,
        name_en=site.name_en,
        institution=site.institution,
        level=site.level,
        networks=list(site.networks),
        authority_namespace=site.assigning_authority.namespace,
        authority_oid=site.assigning_authority.oid,
        claimed_charset=site.claimed_charset,
        used_charset=site.used_charset,
        query_scope=site.query_scope,
        allowed_sop_classes=list(site.allowed_sop_classes),
        max_bytes_per_day=site.max_bytes_per_day,
        max_instances_per_day=site.max_instances_per_day,
        max_bytes=site.max_bytes,
        max_instances=site.max_instances,
        max_associations=site.max_associations,
        priority=site.priority,
        tls_only=site.tls_only,
        added_at=added_at,
    )
