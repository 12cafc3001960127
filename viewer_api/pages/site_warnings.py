"""What an operator should do about a site soon: its certificate ends, its quota is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.certificates import END_UNKNOWN
from viewer_api.pages.words import gettext, ngettext
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from access_control.model import Site

_SOON_DAYS = 30


def site_warnings(sites: Iterable[Site]) -> Mapping[str, list[str]]:
    """Return sentences in the reader's language by site; a few queries however many sites."""
    ends = _last_ends()
    return {site.site_id: [*_certificate(site, ends), *_quotas(site)] for site in sites}


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


def _quotas(site: Site) -> Iterator[str]:
    """What is used up is said once, however many quotas there are; what nears its end as well."""
    marks = services().settings.quotas.warn_at
    uses = [one for one in services().usage.quotas(site) if one.mark(marks)]
    used_up = [one for one in uses if one.used_up]
    if any(one.quota.daily for one in used_up):
        yield gettext("The quota of today is used up")
    if any(not one.quota.daily for one in used_up):
        yield gettext("The quota of what is kept is used up")
    if uses and not used_up:
        share = max(one.share for one in uses)
        yield gettext("%(share)s %% of a quota is used", share=int(100 * share))


def _last_ends() -> dict[str, datetime]:
    """When the last certificate of each site ends; one without a known end warns of nothing."""
    ends: dict[str, datetime] = {}
    for one in services().certificates.all():
        if one.site_id and one.revoked_at is None:
            ends[one.site_id] = max(one.expires_at, ends.get(one.site_id, one.expires_at))
    return {site_id: end for site_id, end in ends.items() if end != END_UNKNOWN}
