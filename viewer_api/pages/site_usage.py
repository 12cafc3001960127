"""What each site has used of its quotas, and what happens when one is used up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from access_control.model import Action, Purpose, Resource
from access_control.quotas import Quota
from viewer_api.pages.language import site_name, size_word
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from access_control.model import Site
    from access_control.quotas import QuotaUse, Usage
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("site_usage", __name__)

_WORDS: Mapping[Quota, LazyText] = {
    Quota.BYTES_PER_DAY: lazy_gettext("Bytes today"),
    Quota.INSTANCES_PER_DAY: lazy_gettext("Pictures today"),
    Quota.BYTES: lazy_gettext("Bytes kept"),
    Quota.INSTANCES: lazy_gettext("Pictures kept"),
}


@dataclass(frozen=True)
class Bar:
    """One quota of a site as the page draws it; `state` is on, wait (near its end) or bad."""

    word: str
    used: str
    allowed: str
    percent: int
    state: str
    next: str


@dataclass(frozen=True)
class SiteLine:
    """One site: what it sent today, what is kept of it, and its quotas."""

    name: str
    today: Usage
    held: Usage
    bars: tuple[Bar, ...]


@blueprint.get("/sites/usage")
@signed_in
def page() -> str:
    """Show the sites the reader is responsible for, those without a quota too."""
    subject, everything = current_subject(), services().sites.all()
    sites = [site for site in everything if subject.sites is None or site.site_id in subject.sites]
    covered = frozenset(site.site_id for site in sites)
    require(Action.VIEW_OPERATIONS, Resource("operations", site_ids=covered), Purpose.OPERATIONS)
    lines = [_line(site) for site in sites]
    marks = sorted(services().settings.quotas.warn_at)
    return render_template(
        "site_usage.html", lines=lines, first_percent=int(100 * marks[0]) if marks else 100
    )


def _line(site: Site) -> SiteLine:
    usage = services().usage
    bars = tuple(_bar(use) for use in usage.quotas(site))
    return SiteLine(site_name(site), usage.today(site.site_id), usage.held(site.site_id), bars)


def _bar(use: QuotaUse) -> Bar:
    near = use.mark(services().settings.quotas.warn_at) > 0
    write = size_word if use.quota.of_bytes else "{:,}".format
    return Bar(
        word=str(_WORDS[use.quota]),
        used=write(use.used),
        allowed=write(use.allowed),
        percent=min(100, int(100 * use.share)),
        state="bad" if use.used_up else "wait" if near else "on",
        next=_next(use, near=near),
    )


def _next(use: QuotaUse, *, near: bool) -> str:
    if use.used_up and use.quota.daily:
        return gettext(
            "Used up: new pictures are refused until midnight; the devices keep them and send "
            "them again. Emergencies are taken."
        )
    if use.used_up:
        return gettext(
            "Used up: new pictures are refused until the quota is raised; the devices keep "
            "them. Emergencies are taken."
        )
    if near and use.quota.daily:
        return gettext("Nearly used up: at 100 % new pictures are refused until midnight.")
    if near:
        return gettext("Nearly used up: at 100 % new pictures are refused. Raise it in time.")
    return gettext("There is room.")
