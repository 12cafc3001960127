"""What an operator should do about a site soon: its certificate ends, its quota is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from access_control.certificates import END_UNKNOWN
from access_control.tables import SiteUsageRow
from viewer_api.pages.language import local_today
from viewer_api.pages.words import gettext, ngettext
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from access_control.model import Site

_SOON_DAYS = 30


def site_warnings(session: Session, sites: Iterable[Site]) -> Mapping[str, list[str]]:
    """Return sentences in the reader's language by site; two queries however many sites."""
    ends, used = _last_ends(), _received_today(session)
    return {site.site_id: [*_certificate(site, ends), *_quota(site, used)] for site in sites}


def _certificate(site: Site, ends: Mapping[str, datetime]) -> list[str]:
    end = ends.get(site.site_id)
    if end is None:
        if site.tls_only and not site.certificate_fingerprints:
            return [gettext("TLS only, but no certificate: nothing is admitted")]
        return []
    days = (end - services().clock.now()).days
    if days >= _SOON_DAYS:
        return []
    if days < 0:
        return [gettext("The certificate has ended")]
    return [
        ngettext(
            "The certificate ends in %(num)d day", "The certificate ends in %(num)d days", days
        )
    ]


def _quota(site: Site, used: Mapping[str, int]) -> list[str]:
    if site.max_bytes_per_day and used.get(site.site_id, 0) >= site.max_bytes_per_day:
        return [gettext("The quota of today is used up")]
    return []


def _last_ends() -> dict[str, datetime]:
    """When the last certificate of each site ends; one without a known end warns of nothing."""
    ends: dict[str, datetime] = {}
    for one in services().certificates.all():
        if one.site_id and one.revoked_at is None:
            ends[one.site_id] = max(one.expires_at, ends.get(one.site_id, one.expires_at))
    return {site_id: end for site_id, end in ends.items() if end != END_UNKNOWN}


def _received_today(session: Session) -> dict[str, int]:
    rows = select(SiteUsageRow).where(SiteUsageRow.day == local_today())
    return {row.site_id: row.received_bytes for row in session.scalars(rows)}
