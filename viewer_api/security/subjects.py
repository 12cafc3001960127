"""Who asks: a session cookie, a machine's token (RFC 6750) or client certificate, or nobody.

A certificate opens DICOMweb and WADO alone: a browser shows it without being asked, so it must not
open a page. What is shown must hold: one that is withdrawn is refused even beside a good token.

Every view needs a signed-in subject unless it is marked `open_to_everyone`, so a forgotten
mark closes a page instead of opening it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast
from urllib.parse import quote

from flask import abort, current_app, g, redirect, request

from access_control.certificates import PEER_CERTIFICATE, Standing
from access_control.model import ANONYMOUS, Role, Subject, SubjectKind
from viewer_api.security.cookies import session_token
from viewer_api.security.remembered import remembered
from viewer_api.services import services

if TYPE_CHECKING:
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
_MACHINE_PATHS = ("/dicom-web/", "/wado", "/api/", "/shl/", "/metrics")
_IMAGING_PATHS = ("/dicom-web/", "/wado")
_ONLY_BROWSERS_SEND = ("Origin", "Sec-Fetch-Site", "Cookie")
_IDENTIFY = "eirhub.identify"

Identify = Callable[[], Subject]
"""Returns who sends the current request; the anonymous subject where nobody is known."""


def install_sign_in(app: Flask, identify: Identify | None = None) -> None:
    """Turn everybody away from `app` who is not signed in, but for views open to everyone.

    `identify` says who asks, where that is not by session, token or certificate.
    """
    app.extensions[_IDENTIFY] = identify or _identify
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
        g.subject = cast("Identify", current_app.extensions[_IDENTIFY])()
    return cast("Subject", g.subject)


def is_anonymous(subject: Subject) -> bool:
    """Say whether `subject` is nobody."""
    return subject.kind is SubjectKind.ANONYMOUS


def authenticated_by_bearer() -> bool:
    """Say whether the asker proved itself by a header a browser never adds by itself."""
    return bool(_bearer()) and not is_anonymous(current_subject())


def authenticated_by_certificate() -> bool:
    """Say whether the asker proved itself by its certificate alone and is no browser.

    A browser adds its certificate by itself, to what other sites make it send too.
    """
    if any(request.headers.get(name) for name in _ONLY_BROWSERS_SEND):
        return False
    return not _bearer() and isinstance(_certified(), Subject)


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
    certified = _certified()
    if certified is Standing.WITHDRAWN:
        return ANONYMOUS
    bearer = _bearer()
    if bearer:
        return _remembered("token", bearer, services().tokens.subject)
    token = session_token()
    if token:
        return _remembered("session", token, services().sessions.subject)
    if isinstance(certified, Subject):
        return certified
    if _machines_need_no_proof():
        return _TRIAL
    return ANONYMOUS


def _remembered(kind: str, secret: str, ask: Callable[[str], Subject | None]) -> Subject:
    """Return whom a secret stands for; the memory holds its digest alone, as the database does."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
    return remembered((kind, digest), lambda: ask(secret)) or ANONYMOUS


def _certified() -> Subject | Standing | None:
    """Whom the certificate of the connection names, on the paths that it opens."""
    der = request.environ.get(PEER_CERTIFICATE)
    if not isinstance(der, bytes) or not request.path.startswith(_IMAGING_PATHS):
        return None
    if "certified" not in g:
        g.certified = services().certificates.subject(der)
    return cast("Subject | Standing", g.certified)


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _machines_need_no_proof() -> bool:
    # Trials only; the start refuses this setting unless every listener is on loopback.
    if services().settings.access.machine_authentication != "none":
        return False
    return request.path.startswith(_IMAGING_PATHS)
