"""Forwarding for engineers: every destination, what waits for it and why, down to one instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from hub_kernel.errors import InvalidValueError
from viewer_api import forwarding_desk
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import signed_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response

    from viewer_api.pages.words import LazyText

blueprint = Blueprint("forwarding", __name__)

_ROWS = 50
STATES: Mapping[str, LazyText] = {
    "queued": lazy_gettext("Waiting"),
    "leased": lazy_gettext("Being sent"),
    "accepted": lazy_gettext("Taken, not yet committed"),
    "parked": lazy_gettext("Parked"),
    "sent": lazy_gettext("Sent"),
    "committed": lazy_gettext("Committed"),
}
BREAKERS: Mapping[str, tuple[str, LazyText]] = {
    "closed": ("on", lazy_gettext("Works")),
    "probing": ("wait", lazy_gettext("Is being tried again")),
    "open": ("bad", lazy_gettext("Fails; tried again by itself")),
    "held": ("wait", lazy_gettext("Held by a person")),
}
# By the beginning of the last status: what it means and what to do.
ADVICE: Mapping[str, LazyText] = {
    "0xA7": lazy_gettext(
        "The destination has no room or is too busy. It is tried again by itself."
    ),
    "0x0112": lazy_gettext("The destination does not vouch for it. It is sent again by itself."),
    "0x011": lazy_gettext("The destination failed. Ask whoever runs it, then send again."),
    "0x0124": lazy_gettext("The hub may not store there. Have it allowed, then send again."),
    "0xA9": lazy_gettext(
        "The destination finds a contradiction in it. Correct it at its source, or leave it parked."
    ),
    "0xC": lazy_gettext(
        "The destination cannot read it. Correct it at its source, or leave it parked."
    ),
    "0xB": lazy_gettext("The destination took it with a remark. There is nothing to do."),
    "0x0000": lazy_gettext("The destination has it."),
    "HTTP 2": lazy_gettext("The destination has it."),
    "HTTP 5": lazy_gettext("The destination failed. It is tried again by itself."),
    "HTTP 4": lazy_gettext("The destination refuses it. Ask whoever runs it, then send again."),
    "no context": lazy_gettext(
        "The destination does not take this kind of object. Take it out of the rule, or have it "
        "set up there, then send again."
    ),
    "no bytes": lazy_gettext(
        "Its bytes are missing or damaged here. Run eirhub archive verify, and have it sent anew."
    ),
    "gone": lazy_gettext("The archive shows it no more: deleted, or taken back by its maker."),
    "parked": lazy_gettext("A person has set it aside. Send it again when it may go."),
}

# By the beginning of a destination's last error: what is wrong and what to do.
ERRORS: Mapping[str, LazyText] = {
    "no connection": lazy_gettext("Nobody answers there. See to the line and to the destination."),
    "no TLS": lazy_gettext("It shows or takes no certificate. Compare the certificates."),
    "association rejected for good": lazy_gettext(
        "It does not know the hub. Have the AE title of the hub entered there."
    ),
    "association rejected for now": lazy_gettext("It is busy. It is tried again by itself."),
    "the association broke": lazy_gettext("The line broke. What was not answered is sent again."),
    "the connection broke": lazy_gettext("The line broke. What was not answered is sent again."),
    "storage commitment": lazy_gettext("It could not be asked to vouch for what it took."),
    **ADVICE,
}


@blueprint.get("/forwarding")
@signed_in
def page() -> str:
    """Show every destination with its queue, its breaker and its last error."""
    forwarding_desk.require_view()
    return render_template(
        "forwarding.html",
        destinations=forwarding_desk.desk().destinations(),
        breakers=BREAKERS,
        error_words=error_words,
        may_operate=forwarding_desk.may_operate(),
    )


@blueprint.get("/forwarding/<destination>")
@signed_in
def destination_page(destination: str) -> str:
    """Show one destination and its rows of one state."""
    view = forwarding_desk.found_destination(destination)
    chosen = request.args.get("state", "")
    if chosen not in STATES:
        chosen = next((state for state in ("parked", "queued") if view.counts[state]), "sent")
    after = request.args.get("after", type=int)
    rows = forwarding_desk.desk().items(destination, chosen, limit=_ROWS + 1, after=after)
    return render_template(
        "forwarding_destination.html",
        view=view,
        rows=rows[:_ROWS],
        later=rows[_ROWS - 1].item_id if len(rows) > _ROWS else None,
        chosen=chosen,
        states=STATES,
        breakers=BREAKERS,
        advice=advice,
        error_words=error_words,
        may_operate=forwarding_desk.may_operate(),
    )


@blueprint.get("/forwarding/rows/<int:row_id>")
@signed_in
def row_page(row_id: int) -> str:
    """Show everything the ledger knows of one instance for one destination."""
    row = forwarding_desk.found_row(row_id)
    return render_template(
        "forwarding_row.html",
        row=row,
        states=STATES,
        advice=advice(row.last_status),
        may_operate=forwarding_desk.may_operate(),
        refused=request.args.get("refused", ""),
    )


@blueprint.post("/forwarding/<destination>/<act>")
@signed_in
def change_destination(destination: str, act: str) -> Response:
    """Try again, release what is parked, hold or resume."""
    forwarding_desk.change_destination(destination, act)
    return redirect(url_for("forwarding.destination_page", destination=destination), code=303)


@blueprint.post("/forwarding/rows/<int:row_id>/<act>")
@signed_in
def change_row(row_id: int, act: str) -> Response:
    """Send one instance again, or park it."""
    refused = None
    try:
        forwarding_desk.change_row(row_id, act, request.form.get("reason", ""))
    except InvalidValueError:
        refused = "1"
    return redirect(url_for("forwarding.row_page", row_id=row_id, refused=refused), code=303)


def advice(status: str) -> LazyText | str:
    """Return what a last status means and what to do; empty for one without words."""
    return _words_for(status, ADVICE)


def error_words(error: str) -> LazyText | str:
    """Return what a destination's last error means and what to do; empty without words."""
    return _words_for(error, ERRORS)


def _words_for(text: str, table: Mapping[str, LazyText]) -> LazyText | str:
    return next((words for start, words in table.items() if text.startswith(start)), "")
