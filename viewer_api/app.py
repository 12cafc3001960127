"""The Flask application: every blueprint of the hub behind one security edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from flask import Blueprint, Flask
from flask_babel import Babel  # type: ignore[import-untyped]  # it ships no types

from viewer_api import api, dicomweb, health_links, operations, pages
from viewer_api.edge_services import install_edge_services
from viewer_api.failures import install_failures
from viewer_api.language import asker_language
from viewer_api.security.access import install_access
from viewer_api.security.converters import install_converters
from viewer_api.security.csrf import install_csrf
from viewer_api.security.headers import install_headers
from viewer_api.security.remembered import install_memory
from viewer_api.security.subjects import install_sign_in
from viewer_api.services import install_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from viewer_api.edge_services import EdgeServices
    from viewer_api.services import ViewerServices

P = ParamSpec("P")
R = TypeVar("R")

_MAX_BODY_BYTES = 1 << 20
_MAX_FORM_PARTS = 200


def create_app(services: ViewerServices) -> Flask:
    """Return the application that answers with `services`; opens no socket, starts no thread."""
    return _secured(
        services,
        (
            operations.blueprint,
            *dicomweb.blueprints(),
            *api.blueprints(),
            health_links.blueprint,
            *pages.blueprints(),
        ),
    )


def create_edge_app(services: ViewerServices, own: EdgeServices) -> Flask:
    """Return the application of a township gateway: sign-in and its one page, nothing else."""
    app = _secured(services, (operations.blueprint, *pages.edge_blueprints()))
    install_edge_services(app, own)
    return app


class _Application(Flask):
    """Flask whose views are plain functions: there is no asyncio in the hub."""

    def ensure_sync(self, func: Callable[P, R]) -> Callable[P, R]:
        """Return `func`; to look whether it is a coroutine costs more than most hooks do."""
        return func


def _secured(services: ViewerServices, blueprints: Iterable[Blueprint]) -> Flask:
    """Return an application with `blueprints` behind the security edge.

    Order matters: requests are numbered, then smuggled paths are refused, then who asks is
    settled, then forgery is ruled out; only then does a view run.
    """
    app = _Application("viewer_api")
    app.config.update(
        MAX_CONTENT_LENGTH=min(_MAX_BODY_BYTES, services.settings.web.max_request_bytes),
        MAX_FORM_MEMORY_SIZE=_MAX_BODY_BYTES,
        MAX_FORM_PARTS=_MAX_FORM_PARTS,
        BABEL_DEFAULT_LOCALE="zh",
        BABEL_TRANSLATION_DIRECTORIES="translations",
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    install_services(app, services)
    install_converters(app)
    install_failures(app)
    operations.install_timing(app)
    install_headers(app)
    install_access(app)
    install_memory(app)
    install_sign_in(app)
    install_csrf(app)
    Babel(app, locale_selector=asker_language)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
