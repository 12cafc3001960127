"""Share one study with the patient: make a link with a passcode and a QR code, see it, withdraw it.

Link and passcode are shown once, on the answer to the form; only hashes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import segno
from flask import Blueprint, abort, redirect, render_template, request, url_for
from markupsafe import Markup

from access_control.model import Action, SubjectKind
from access_control.shared_links import ShareRequest
from viewer_api.health_links.payload import page_address, two_doors
from viewer_api.security import (
    current_subject,
    record_access,
    require_study,
    signed_in,
    study_resource,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from access_control.shared_links import LinkStatus, NewLink
    from image_archive.model import StudyRecord

blueprint = Blueprint("sharing", __name__)

DAY_CHOICES = (1, 7, 30, 90)
_DEFAULT_DAYS = 7
VIEW_CHOICES = (0, 1, 5, 20)


@dataclass(frozen=True)
class CreatedLink:
    """A link as it is shown this one time; the code holds `health_link` where there is one."""

    url: str
    health_link: str
    passcode: str = field(repr=False)
    qr: Markup = field(repr=False)
    expires_at: datetime = field()


@dataclass(frozen=True)
class LinkLine:
    """One earlier link and what became of it."""

    status: LinkStatus
    expired: bool

    @property
    def alive(self) -> bool:
        """True while the link can still be opened."""
        over = self.expired or self.status.locked or self.status.revoked_at or self.used_up
        return not over

    @property
    def used_up(self) -> bool:
        """True once the link has been opened as often as it may."""
        return self.status.max_views is not None and self.status.views >= self.status.max_views


@blueprint.get("/studies/<uid:study_uid>/share")
@signed_in
def page(study_uid: str) -> str:
    """Show the form and the links that exist."""
    return _rendered(require_study(study_uid, Action.SHARE), None)


@blueprint.post("/studies/<uid:study_uid>/share")
@signed_in
def create(study_uid: str) -> str:
    """Make a link; the answer is the only place that ever shows it with its passcode."""
    study = require_study(study_uid, Action.SHARE)
    if current_subject().kind is not SubjectKind.USER:
        abort(404)
    days = request.form.get("days", "")
    life = timedelta(days=int(days) if days in map(str, DAY_CHOICES) else _DEFAULT_DAYS)
    # A little less than the longest life allowed: the clock moves on between here and the check.
    wanted = ShareRequest(
        study_instance_uid=study_uid,
        global_id=services().patients.resolve(study.patient) or "",
        created_by=current_subject().subject_id,
        expires_at=services().clock.now() + life - timedelta(seconds=1),
        max_views=_view_cap(request.form.get("views", "")),
    )
    new = services().links.create(wanted)
    record_access("share", "success", study_resource(study), detail=f"link {new.link_id} made")
    return _rendered(study, _shown(new, wanted))


@blueprint.post("/studies/<uid:study_uid>/share/<link_id>/withdraw")
@signed_in
def revoke(study_uid: str, link_id: str) -> Response:
    """Withdraw a link of this study; what was opened with it closes at once."""
    study = require_study(study_uid, Action.SHARE)
    if link_id not in {link.link_id for link in services().links.links_of(study_uid)}:
        abort(404)
    services().links.revoke(link_id)
    record_access("share", "success", study_resource(study), detail=f"link {link_id} withdrawn")
    return redirect(url_for("sharing.page", study_uid=study_uid), code=303)


def _view_cap(text: str) -> int | None:
    """How often the link may be opened; anything but a choice is no cap."""
    return int(text) or None if text in map(str, VIEW_CHOICES) else None


def _rendered(study: StudyRecord, created: CreatedLink | None) -> str:
    now = services().clock.now()
    links = services().links.links_of(study.study_instance_uid)
    return render_template(
        "sharing.html",
        study=study,
        created=created,
        day_choices=DAY_CHOICES,
        view_choices=VIEW_CHOICES,
        links=[LinkLine(link, link.expires_at <= now) for link in links],
        public_ready=services().eir.version(study.study_instance_uid, "public") is not None,
    )


def _shown(new: NewLink, wanted: ShareRequest) -> CreatedLink:
    url = page_address(new.token)
    health_link = two_doors(new.token, wanted.expires_at, once=wanted.max_views is not None)
    drawing = segno.make(health_link or url, error="m").svg_inline(
        border=2, omitsize=True, svgclass=None
    )
    return CreatedLink(
        url=url,
        health_link=health_link,
        passcode=new.passcode,
        qr=Markup(drawing),  # noqa: S704  # drawn by segno from our own address
        expires_at=wanted.expires_at,
    )
