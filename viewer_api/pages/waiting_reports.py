"""Waiting reports: what came without an examination, what nobody has signed, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from eir_versions.reports import desk
from eir_versions.reports.model import ReportStatus, Standing
from viewer_api import waiting_reports_desk
from viewer_api.pages.people import site_book
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from viewer_api.pages.words import LazyText

blueprint = Blueprint("waiting_reports", __name__)

MOST_ROWS = 100
# Why a result has no examination, and what to do.
WHY: Mapping[str, tuple[LazyText, LazyText]] = {
    desk.NO_STUDY: (
        lazy_gettext("No examination of this number has arrived"),
        lazy_gettext(
            "It is attached by itself when the pictures arrive. If they should be here: ask the"
            " site to send them, or the sender whether the number is right."
        ),
    ),
    desk.SEVERAL_STUDIES: (
        lazy_gettext("Several examinations carry this number"),
        lazy_gettext("Ask the sender to name the Study Instance UID and to send the report again."),
    ),
    desk.OTHER_PATIENT: (
        lazy_gettext("The examination of this number is of somebody else"),
        lazy_gettext(
            "Compare the numbers of both. One person: link them among People, then it is attached"
            " by itself. Two: ask the sender to correct the number."
        ),
    ),
}
STANDING: Mapping[Standing, tuple[LazyText, LazyText]] = {
    Standing.PRELIMINARY: (
        lazy_gettext("Preliminary, not signed"),
        lazy_gettext("Ask the author to sign it. Until then no patient sees it."),
    ),
    Standing.UNREADABLE: (
        lazy_gettext("Cannot be read"),
        lazy_gettext("Ask the site to make the document anew and to send it again."),
    ),
}
STATUS: Mapping[ReportStatus, LazyText] = {
    ReportStatus.FINAL: lazy_gettext("Signed"),
    ReportStatus.CORRECTED: lazy_gettext("Signed, corrected"),
    ReportStatus.PRELIMINARY: lazy_gettext("Preliminary, not signed"),
    ReportStatus.WITHDRAWN: lazy_gettext("Withdrawn"),
    ReportStatus.UNREADABLE: lazy_gettext("Cannot be read"),
}


@blueprint.get("/reports/waiting")
@signed_in
def page() -> str:
    """Show what waits at the subject's sites; longer lists are cut, and say so."""
    waiting_reports_desk.require_desk()
    waiting = waiting_reports_desk.waiting()
    unfinished = waiting_reports_desk.unfinished()
    return render_template(
        "waiting_reports.html",
        waiting=waiting[:MOST_ROWS],
        waiting_count=len(waiting),
        unfinished=unfinished[:MOST_ROWS],
        unfinished_count=len(unfinished),
        why=WHY,
        standing=STANDING,
        status=STATUS,
        book=site_book(),
    )
