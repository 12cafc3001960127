"""The last run of a published test suite against this hub, for who runs it."""

from __future__ import annotations

from flask import Blueprint, render_template

from access_control.model import Action, Purpose, Resource
from viewer_api.conformance_results import last_result
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

blueprint = Blueprint("conformance", __name__)


@blueprint.get("/operations/conformance")
@signed_in
def page() -> str:
    """Show every test of the last run that `eirhub conformance run` kept."""
    covered = current_subject().sites or frozenset()
    require(Action.VIEW_OPERATIONS, Resource("operations", site_ids=covered), Purpose.OPERATIONS)
    result = last_result(services().settings.hub.data_dir)
    return render_template("conformance.html", result=result)
