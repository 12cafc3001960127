"""The sites and their door: calling AE title + address → site (DICOM PS3.8 9.3.2, PS3.15).

An AE title alone proves nothing, anybody can write it; the address must be the site's as well.
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

from access_control.errors import (
    SiteExistsError,
    UnknownCallingAeTitleError,
    WrongAddressError,
)
from access_control.inert import inert
from access_control.model import QueryScope, Site
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
    """The sites as read at `read_at`, and the door: AE title → site and that site's networks."""

    read_at: datetime
    sites: tuple[Site, ...]
    by_ae_title: Mapping[str, tuple[Site, tuple[_Network, ...]]]


class SiteDirectory:
    """Every site the hub serves, kept in the database.

    `admit` and `all` answer from memory; a site added by another process is known one second
    later at most.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def add(self, site: Site, *, replace: bool = False) -> Site:
        """Keep `site` and return it as stored; adding the very same site again changes nothing.

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
            return _site(row, _ae_titles(session, site_id).get(site_id, ()))

    def all(self) -> tuple[Site, ...]:
        """Return every site, by id, at most one second old."""
        return self._current().sites

    def admit(self, calling_ae_title: str, address: str) -> Site:
        """Return the site that calls itself `calling_ae_title` from `address` (numeric, v4 or v6).

        Raises:
            UnknownCallingAeTitleError: no site has this AE title.
            WrongAddressError: the address is outside the networks of the site of that AE title.
        """
        known = self._current().by_ae_title.get(calling_ae_title.strip(" "))
        if known is None:
            raise UnknownCallingAeTitleError("the calling AE title belongs to no site")
        site, networks = known
        caller = _address(address)
        if caller is None or not any(caller in network for network in networks):
            raise WrongAddressError(f"the address is in no network of site {site.site_id}")
        return site

    def _current(self) -> _Known:
        """The cached admissions, re-read after a second; also when the clock was set back."""
        now = self._clock.now()
        with self._lock:
            cached = self._known
        if cached is not None and timedelta(0) <= now - cached.read_at < _CACHE_LIFETIME:
            return cached
        with self._database.read() as session:
            sites = _all(session)
        fresh = _Known(now, sites, _by_ae_title(sites))
        with self._lock:
            self._known = fresh
        return fresh

    def _put(self, session: Session, site: Site, *, replace: bool) -> None:
        known = {other.site_id: other for other in _all(session)}
        present = known.pop(site.site_id, None)
        if present == site:
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


def _all(session: Session) -> tuple[Site, ...]:
    titles = _ae_titles(session)
    rows = session.scalars(select(SiteRow).order_by(SiteRow.site_id))
    return tuple(_site(row, titles.get(row.site_id, ())) for row in rows)


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


def _site(row: SiteRow, ae_titles: tuple[str, ...]) -> Site:
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
        added_at=added_at,
    )
