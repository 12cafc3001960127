"""No request that changes something is accepted from another site's page (CWE-352).

With a session the token belongs to the session. Before sign-in, and on shared links, it is
derived from a random cookie that another site can neither read nor set.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import abort, current_app, g, request

from viewer_api.security.cookies import named_cookie, session_token, set_named_cookie
from viewer_api.security.navigation import public_root
from viewer_api.security.subjects import (
    authenticated_by_bearer,
    authenticated_by_certificate,
    current_subject,
    is_anonymous,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

P = ParamSpec("P")
R = TypeVar("R")

FORM_FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
_FORM_COOKIE = "eirhub-form"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_FETCH_SITES = frozenset({"same-origin", "none"})
_NO_COOKIE = "eirhub_believes_no_cookie"


def believes_no_cookie(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view whose requests prove themselves by what they say: apps anywhere may send them.

    The view must act as somebody of its own (`acting.act_as`), never as who is signed in.
    """
    setattr(view, _NO_COOKIE, True)
    return view


def install_csrf(app: Flask) -> None:
    """Check every unsafe request of `app`, and let templates call `csrf_token()`."""
    app.before_request(_check)
    app.after_request(_keep_form_cookie)
    app.jinja_env.globals["csrf_token"] = csrf_token


def csrf_token() -> str:
    """Return the token a form (field `csrf_token`) or script (`X-CSRF-Token`) must send back."""
    if not is_anonymous(current_subject()):
        return services().sessions.csrf(session_token())
    cookie = named_cookie(_FORM_COOKIE) or g.get("form_cookie", "")
    if not cookie:
        cookie = g.form_cookie = secrets.token_urlsafe(32)
    return _derived(cookie)


def _check() -> None:
    if request.method in _SAFE_METHODS or authenticated_by_bearer():
        return
    if authenticated_by_certificate() or _needs_no_cookie():
        return
    if not _comes_from_here():
        abort(403)
    sent = request.headers.get(HEADER) or request.form.get(FORM_FIELD, "")
    if not sent or not hmac.compare_digest(sent.encode(), _expected().encode()):
        abort(403)


def _needs_no_cookie() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return bool(getattr(view, _NO_COOKIE, False))


def _expected() -> str:
    if not is_anonymous(current_subject()):
        return services().sessions.csrf(session_token())
    cookie = named_cookie(_FORM_COOKIE)
    # Without the cookie there is nothing to compare with: a random value never matches.
    return _derived(cookie or secrets.token_urlsafe(32))


def _comes_from_here() -> bool:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in _OWN_FETCH_SITES:
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    sent = urlsplit(origin)
    # A browser cannot be made to lie about Host, so a foreign Origin differs from it.
    return sent.netloc != "" and sent.netloc in {request.host, urlsplit(public_root()).netloc}


def _derived(cookie: str) -> str:
    return hashlib.sha256(b"eirhub form\0" + cookie.encode()).hexdigest()


def _keep_form_cookie(response: Response) -> Response:
    cookie = g.get("form_cookie")
    if cookie:
        set_named_cookie(response, _FORM_COOKIE, cookie)
    return response
