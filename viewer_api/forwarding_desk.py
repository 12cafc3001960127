"""The desk of forwarding behind the page and the API: what it shows, who may, what is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import abort

from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import NotFoundError
from viewer_api.security import current_subject, permitted, require
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable

    from viewer_api.forwarding_model import Destination, ForwardingDesk, Row

STATES = ("queued", "leased", "accepted", "parked", "sent", "committed")
DESTINATION_ACTS = ("retry", "release", "hold", "resume")
ROW_ACTS = ("retry", "park")


def desk() -> ForwardingDesk:
    """Return the desk."""
    return services().forwarding


def may_operate() -> bool:
    """Say whether the reader may change something here."""
    return permitted(Action.OPERATE, _everywhere(""), Purpose.OPERATIONS)


def require_view(destination: str = "") -> None:
    """Let in who runs the hub; a destination gets studies of every site, so that takes them all."""
    require(
        Action.VIEW_OPERATIONS,
        _everywhere(destination),
        Purpose.OPERATIONS,
        detail=f"forwarding {destination}".rstrip(),
    )


def found_destination(name: str) -> Destination:
    """Return a destination to who may see it; any other name gets 404."""
    require_view(name[:64])
    try:
        return desk().destination(name)
    except NotFoundError:
        abort(404)


def found_row(row_id: int) -> Row:
    """Return a row to who may see it; any other number gets 404."""
    require_view()
    try:
        return desk().item(row_id)
    except NotFoundError:
        abort(404)


def change_destination(name: str, act: str) -> None:
    """Do one of `DESTINATION_ACTS`; it is on record. Anything else gets 404."""
    found_destination(name)
    acts: dict[str, Callable[[], object]] = {
        "retry": lambda: desk().retry_now(name),
        "release": lambda: desk().release_parked(name),
        "hold": lambda: desk().hold(name, current_subject().display),
        "resume": lambda: desk().resume(name),
    }
    if act not in acts:
        abort(404)
    _on_record(name, f"forwarding: {act}")
    acts[act]()


def change_row(row_id: int, act: str, reason: str) -> None:
    """Do one of `ROW_ACTS`; it is on record. Anything else gets 404.

    Raises:
        InvalidValueError: a row that does not wait cannot be parked.
    """
    row = found_row(row_id)
    if act not in ROW_ACTS:
        abort(404)
    _on_record(row.destination, f"forwarding: {act} row {row_id}")
    if act == "retry":
        desk().retry(row_id)
    else:
        desk().park(row_id, current_subject().display, reason[:200])


def _on_record(destination: str, what: str) -> None:
    require(Action.OPERATE, _everywhere(destination), Purpose.OPERATIONS, detail=what)


def _everywhere(destination: str) -> Resource:
    sites = frozenset(site.site_id for site in services().sites.all())
    return Resource("operations", destination, site_ids=sites)
