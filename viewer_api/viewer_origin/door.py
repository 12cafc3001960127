"""Who asks at the viewer's origin: a token in a cookie that is bound to one path and one person.

The page that opens the viewer hands its token over in the address's fragment, which no server and
no log sees; it comes back as a cookie that no script can read, for `/g/GRANT/` alone. So two tabs
with two people keep two tokens apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, g, jsonify, request

from access_control.model import ANONYMOUS, Subject
from viewer_api.security.navigation import is_https
from viewer_api.security.remembered import remembered
from viewer_api.security.subjects import open_to_everyone
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

    from access_control.viewer_grants import ViewerGrant

blueprint = Blueprint("viewer_door", __name__)

GRANT_PATH = "/g/"
_MOUNT = re.compile(r"/g/([0-9a-f]{32})(?=/)")
_MOST_TOKEN_BYTES = 2_048


class PerGrant:
    """Mounts an application below `/g/GRANT`, whatever the grant; only there is it asked."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        """Take the application that answers below each grant and beside them."""
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Move the grant from the path to where the application is mounted."""
        mount = _MOUNT.match(environ.get("PATH_INFO", ""))
        if mount:
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{mount[0]}"
            environ["PATH_INFO"] = environ["PATH_INFO"][mount.end() :]
        return self._application(environ, start_response)


def install_door(app: Flask) -> None:
    """Let `app` answer below every grant's path, and keep grants alive that are in use."""
    app.wsgi_app = PerGrant(app.wsgi_app)  # type: ignore[method-assign]
    app.after_request(_keep_alive)


def reader() -> Subject:
    """Return the reader whose grant opens the path that is asked for."""
    grant = _grant()
    if grant is None:
        return ANONYMOUS
    whom = ("viewer", grant.session, grant.patient)
    return remembered(whom, lambda: services().viewer_grants.subject(grant)) or ANONYMOUS


@blueprint.post("/grants")
@open_to_everyone
def take() -> Response:
    """Turn the token in the body into a cookie for its own path; 401 when it opens nothing."""
    if request.root_path or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(404)
    if (request.content_length or 0) > _MOST_TOKEN_BYTES:
        abort(413)
    token = request.get_data(cache=False).decode("ascii", "replace")
    grant = services().viewer_grants.read(token)
    if grant is None or services().viewer_grants.subject(grant) is None:
        abort(401)
    answer = jsonify({"grant": grant.grant_id})
    _set_cookie(answer, grant.grant_id, token)
    return answer


def _grant() -> ViewerGrant | None:
    """Return the valid grant of the path that is asked for."""
    if "viewer_grant" not in g:
        grant = services().viewer_grants.read(request.cookies.get(_cookie_name(), ""))
        here = request.root_path == f"{GRANT_PATH}{grant.grant_id}" if grant else False
        g.viewer_grant = grant if here else None
    found: ViewerGrant | None = g.viewer_grant
    return found


def _keep_alive(answer: Response) -> Response:
    grant: ViewerGrant | None = g.get("viewer_grant")
    renewed = (
        services().viewer_grants.renewed(grant) if grant and answer.status_code < 400 else None
    )
    if grant and renewed:
        _set_cookie(answer, grant.grant_id, renewed)
    return answer


def _set_cookie(answer: Response, grant_id: str, token: str) -> None:
    answer.set_cookie(
        _cookie_name(),
        token,
        path=f"{GRANT_PATH}{grant_id}/",
        secure=is_https(),
        httponly=True,
        samesite="Strict",
    )


def _cookie_name() -> str:
    return "__Secure-eirhub-viewer" if is_https() else "eirhub_viewer"
