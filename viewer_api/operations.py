"""What operators ask: alive (`/healthz`), ready (`/readyz`), numbers (`/metrics`, Prometheus)."""

from __future__ import annotations

import ipaddress
import time

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from access_control.model import Action, Purpose, Resource
from viewer_api.security.access import require
from viewer_api.security.subjects import open_to_everyone
from viewer_api.services import services

blueprint = Blueprint("operations", __name__)


def install_timing(app: Flask) -> None:
    """Measure every answer of `app` from its start to its first byte, by endpoint and status."""
    app.before_request(_start)
    app.after_request(_observe)


@blueprint.get("/healthz")
@open_to_everyone
def healthz() -> Response:
    """Answer 200 while the process serves requests at all."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@open_to_everyone
def readyz() -> tuple[Response, int]:
    """Answer 200 when the database answers and the archive takes instances, else 503."""
    try:
        with services().database.read() as session:
            session.execute(select(text("1")))
    except SQLAlchemyError:
        return jsonify({"status": "not ready", "database": "unreachable"}), 503
    archive = _archive_state()
    status, code = ("ready", 200) if archive == "ok" else ("not ready", 503)
    return jsonify({"status": status, "database": "ok", "archive": archive}), code


@blueprint.get("/metrics")
@open_to_everyone
def metrics() -> Response:
    """Answer the metrics in Prometheus text form, to this machine or to who may see operations."""
    if not _asked_from_this_machine():
        require(Action.VIEW_OPERATIONS, Resource(kind="operations"), Purpose.OPERATIONS)
    return Response(services().metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def _archive_state() -> str:
    try:
        free_bytes = services().archive.backend.free_bytes()
    except OSError:
        return "unreachable"
    return "ok" if free_bytes > 0 else "below its reserve"


def _start() -> None:
    g.started_s = time.perf_counter()


def _observe(response: Response) -> Response:
    spent_s = time.perf_counter() - g.get("started_s", time.perf_counter())
    # The endpoint, never the path: paths hold UIDs and the secrets of shared links.
    endpoint = request.endpoint or "none"
    status = str(response.status_code)
    services().metrics.request_seconds.labels(endpoint, status).observe(spent_s)
    return response


def _asked_from_this_machine() -> bool:
    if services().settings.web.public_url:
        # A proxy stands in front and may ask from here for somebody else.
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
