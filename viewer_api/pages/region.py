"""The region at a glance: every site with its last contact, what is owed, and the disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from access_control.model import Action, Purpose, Resource
from edge_gateway.contacts import Contacts
from hub_kernel.outbox import Outbox
from viewer_api.ledger.sites import SiteLedger, site_ledgers
from viewer_api.ledger.studies import LedgerView
from viewer_api.pages.activity import SiteFigures, figures_by_site, set_aside_since
from viewer_api.pages.language import local_midnight, site_name
from viewer_api.pages.site_warnings import site_warnings
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from access_control.model import Site

blueprint = Blueprint("region", __name__)

_QUIET = timedelta(hours=24)
_LOOKED_BACK = timedelta(days=7)


@dataclass(frozen=True)
class SiteLine:
    """One site on the strip; `contact` is on, wait (silent for too long) or never.

    Its last contact is the last word of its gateway, else the last picture it sent.
    """

    site: Site
    name: str
    figures: SiteFigures
    ledger: SiteLedger
    contact: str
    last_contact_at: datetime | None


@dataclass(frozen=True)
class Disk:
    """The disk of the archive, in bytes."""

    total: int
    free: int

    @property
    def used_percent(self) -> int:
        """How full the disk is, 0 to 100."""
        return round(100 * (self.total - self.free) / self.total) if self.total else 0


@blueprint.get("/region")
@signed_in
def page() -> str:
    """Show the sites the reader is responsible for."""
    subject, everything = current_subject(), services().sites.all()
    sites = [site for site in everything if subject.sites is None or site.site_id in subject.sites]
    covered = frozenset(site.site_id for site in sites)
    require(Action.VIEW_OPERATIONS, Resource("operations", site_ids=covered), Purpose.OPERATIONS)
    midnight = local_midnight()
    with services().database.read() as session:
        figures = figures_by_site(session, midnight)
        owed = Outbox().status(session)
        set_aside = len(set_aside_since(session, covered, midnight))
        ledgers = _ledgers(session, covered)
    lines = [
        _line(site, figures.get(site.site_id, SiteFigures()), ledgers[site.site_id])
        for site in sites
    ]
    return render_template(
        "region.html",
        lines=lines,
        owed=owed,
        disk=_disk(),
        set_aside=set_aside,
        warnings=site_warnings(sites),
    )


def _ledgers(session: Session, site_ids: frozenset[str]) -> dict[str, SiteLedger]:
    now = services().clock.now()
    contacts = Contacts(services().database, services().clock).all()
    return site_ledgers(session, site_ids, contacts, LedgerView(now - _LOOKED_BACK, now))


def _line(site: Site, figures: SiteFigures, ledger: SiteLedger) -> SiteLine:
    if ledger.contact is None:
        last = figures.last_received_at
        return SiteLine(site, site_name(site), figures, ledger, _contact(last), last)
    spoke = ledger.contact.last_contact_at
    contact = "bad" if ledger.silent else "on"
    return SiteLine(site, site_name(site), figures, ledger, contact, spoke)


def _contact(last: datetime | None) -> str:
    if last is None:
        return "never"
    return "wait" if services().clock.now() - last > _QUIET else "on"


def _disk() -> Disk | None:
    try:
        usage = shutil.disk_usage(services().settings.archive_path)
    except OSError:
        return None
    return Disk(usage.total, usage.free)
