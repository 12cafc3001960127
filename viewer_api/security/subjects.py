"""Who asks: a session cookie, a machine's bearer token (RFC 6750), or nobody.

Every view needs a signed-in subject unless it is marked `open_to_everyone`, so a forgotten
mark closes a page instead of opening it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast
from urllib.parse import quote

from flask import abort, current_app, g, redirect, request

from access_control.model import ANONYMOUS, Role, Subject, SubjectKind
from viewer_api.security.cookies import session_token
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from werkzeug.wrappers import Response

P = ParamSpec("P")
R = TypeVar("R")

SIGN_IN_PATH = "/sign-in"
_TRIAL = Subject(
    kind=SubjectKind.MACHINE,
    subject_id="trial",
    display="machine authentication is off",
    roles=frozenset({Role.RADIOLOGIST}),
    sites=None,
)
_MARK = "eirhub_open_to_everyone"
_MACHINE_PATHS = ("/dicom-web/", "/wado", "/api/", "/metrics")
_TRIAL_PATHS = ("/dicom-web/", "/wado")


def install_sign_in(app: Flask) -> None:
    """Turn everybody away from `app` who is not signed in, but for views open to everyone."""
    app.before_request(_turn_away)


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view as needing a signed-in reader; this is also what an unmarked view needs."""
    setattr(view, _MARK, False)
    return view


def open_to_everyone(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that answers without sign-in: sign-in itself, shared links, health."""
    setattr(view, _MARK, True)
    return view


def current_subject() -> Subject:
    """Return who asks; the anonymous subject when nobody is signed in."""
    if "subject" not in g:
        g.subject = _identify()
    return cast("Subject", g.subject)


def is_anonymous(subject: Subject) -> bool:
    """Say whether `subject` is nobody."""
    return subject.kind is SubjectKind.ANONYMOUS


def authenticated_by_bearer() -> bool:
    """Say whether the asker proved itself by a header a browser never adds by itself."""
    return bool(_bearer()) and not is_anonymous(current_subject())


def wants_page() -> bool:
    """Say whether the asked path belongs to the pages and not to a machine's endpoint."""
    return not request.path.startswith(_MACHINE_PATHS)


def _turn_away() -> Response | None:
    if _is_open() or not is_anonymous(current_subject()):
        return None
    if not wants_page():
        abort(401)
    if request.method not in {"GET", "HEAD"}:
        abort(401)
    wanted = request.full_path if request.query_string else request.path
    return redirect(f"{SIGN_IN_PATH}?next={quote(wanted, safe='')}", code=303)


def _is_open() -> bool:
    endpoint = request.endpoint
    if endpoint is None:
        # An address that does not exist answers 404 to everybody alike.
        return True
    if endpoint == "static" or endpoint.endswith(".static"):
        return True
    return bool(getattr(current_app.view_functions[endpoint], _MARK, False))


def _identify() -> Subject:
    bearer = _bearer()
    if bearer:
        return services().tokens.subject(bearer) or ANONYMOUS
    token = session_token()
    if token:
        return services().sessions.subject(token) or ANONYMOUS
    if _machines_need_no_proof():
        return _TRIAL
    return ANONYMOUS


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _machines_need_no_proof() -> bool:
    # Trials only; the start refuses this setting unless every listener is on loopback.
    if services().settings.access.machine_authentication != "none":
        return False
    return request.path.startswith(_TRIAL_PATHS)
