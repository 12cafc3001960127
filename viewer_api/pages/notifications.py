"""Notifications that consumers have not taken: what waits for whom and why, and the way on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from access_control.model import Action, Purpose, Resource
from viewer_api.security import current_subject, record_access, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

blueprint = Blueprint("notifications", __name__)


@blueprint.get("/operations/notifications")
@signed_in
def page() -> str:
    """Show every consumer that is owed something."""
    _require()
    waiting = services().registry.broker.waiting()
    return render_template("notifications.html", consumers=waiting)


@blueprint.post("/operations/notifications/retry")
@signed_in
def retry() -> Response:
    """Owe one consumer again what was parked for it."""
    _require()
    consumer = request.form.get("consumer", "")[:500]
    again = services().registry.broker.retry_parked(consumer)
    resource = Resource("operations", "notifications")
    record_access("retry_notifications", "success", resource, detail=f"{again} owed again")
    return redirect(url_for("notifications.page", again=again))


def _require() -> None:
    covered = current_subject().sites or frozenset()
    require(Action.VIEW_OPERATIONS, Resource("operations", site_ids=covered), Purpose.OPERATIONS)
