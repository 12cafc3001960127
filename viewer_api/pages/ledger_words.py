"""Why something is late and what a line says, in words that tell what to do."""

from __future__ import annotations

from viewer_api.ledger.lateness import LateReason
from viewer_api.pages.words import lazy_gettext

LATE_WORDS = {
    LateReason.DAMAGED: lazy_gettext(
        "A stored picture is damaged. Send this examination again: it mends it."
    ),
    LateReason.EDGE_SILENT: lazy_gettext(
        "The gateway is silent: check its power and the line of the site."
    ),
    LateReason.EDGE_REFUSED: lazy_gettext(
        "The hub does not know the gateway: make it a new token or certificate."
    ),
    LateReason.EDGE_FULL: lazy_gettext("The disk of the gateway is full: give it space."),
    LateReason.HUB_NOT_READY: lazy_gettext(
        "The hub could not take pictures: look at its disk. The gateway tries again by itself."
    ),
    LateReason.PARKED: lazy_gettext(
        "The hub refuses pictures of this site: the page of the gateway says which and why."
    ),
    LateReason.QUEUED: lazy_gettext("Still in the queue of the gateway: the line is slow."),
    LateReason.UNREGISTERED: lazy_gettext(
        "Complete but not registered: look for parked tasks and their reason in the log."
    ),
    LateReason.NOT_RENDERED: lazy_gettext(
        "Complete but without pictures for the wards: look for parked tasks in the log."
    ),
}

# The words of `edge_gateway.reasons`, as the gateway says of itself.
REASON_WORDS = {
    "line_down": lazy_gettext(
        "The hub cannot be reached. Check the network cable and the router; nothing is lost."
    ),
    "hub_unproven": lazy_gettext(
        "Who answers is not the hub: its certificate is of another authority. Nothing is sent "
        "and nothing is lost. Call the regional centre."
    ),
    "hub_other_name": lazy_gettext(
        "Who answers is not the hub: its certificate is for another address. Nothing is sent "
        "and nothing is lost. Call the regional centre."
    ),
    "hub_expired": lazy_gettext(
        "The hub's certificate is not valid today. Check the date of this gateway, then call "
        "the regional centre. Nothing is lost."
    ),
    "not_admitted": lazy_gettext(
        "The hub does not know this gateway. Call the regional centre: the token must be renewed."
    ),
    "hub_not_ready": lazy_gettext(
        "The hub cannot take pictures now. Nothing to do here: it goes on by itself."
    ),
    "spool_full": lazy_gettext(
        "The disk of this gateway is full: new pictures are refused. Call the regional centre now; "
        "do not delete anything at the modality."
    ),
    "spool_low": lazy_gettext(
        "The disk of this gateway is nearly full. Tell the regional centre today."
    ),
    "parked": lazy_gettext("The hub refuses some pictures. They are marked below with what to do."),
}
